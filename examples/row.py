"""The picture of the README: one photograph from CAM to label, of a run of `photographs.py`.

    python examples/row.py OUT PHOTO -o row.png

OUT is the folder that `photographs.py` wrote, PHOTO one of its photographs. The README's is
`chelsea` of scikit-image's package (CC0, Stefan van der Walt), with the CAM of torchvision's
squeezenet1_0 and ImageNet weights; its C²AM was trained with `c2am-train --backbone squeezenet1_0`
on 143 photographs of VOC 2012.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from c2am_plugin import get_adapter, pseudo_label, read_cams, read_photo

METHOD, GAP = "psa", 6


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="OUT", help="of photographs.py")
    parser.add_argument("photo", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("row.png"))
    args = parser.parse_args(argv)
    draw(panels(args.run, args.photo), args.out)


def panels(run: Path, photo: Path) -> list[np.ndarray]:
    """Photograph, CAM, cue, refined CAM, label before and after: uint8 H×W×3 each."""
    adapter, name, pixels = get_adapter(METHOD), photo.stem, read_photo(photo)
    before, after = (
        read_cams(adapter, run / folder / f"{name}.npy", name) for folder in ("cams", "refined")
    )
    cue = np.asarray(Image.open(run / "cues" / f"{name}.png"))
    label = Image.open(run / "labels" / f"{name}.png")
    plain = label.copy()  # its palette
    t = adapter.background_score
    plain.putdata(pseudo_label(before.maps, before.class_ids, t).ravel().tolist())
    return [
        pixels,
        heat(before.maps.max(0), pixels),
        np.repeat(cue[..., None], 3, axis=2),
        heat(after.maps.max(0), pixels),
        overlay(plain, pixels),
        overlay(label, pixels),
    ]


def heat(cam: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Blue to red over the grey photograph."""
    value = cam[..., None] * 4
    colours = np.clip(1.5 - np.abs(value - np.array([3, 2, 1])), 0, 1) * 255
    grey = pixels.mean(axis=2, keepdims=True)
    return np.rint(0.55 * colours + 0.45 * grey).astype(np.uint8)


def overlay(label: Image.Image, pixels: np.ndarray) -> np.ndarray:
    """The label's colours over the photograph, where there are any."""
    colours = np.asarray(label.convert("RGB"), np.float32)
    share = 0.65 * (np.asarray(label) > 0)[..., None]
    return np.rint((1 - share) * pixels + share * colours).astype(np.uint8)


def draw(panels: list[np.ndarray], out: Path, height: int = 150) -> None:
    """The panels in a row, at one height."""
    images = [Image.fromarray(panel) for panel in panels]
    images = [
        each.resize((round(each.width * height / each.height), height), Image.Resampling.LANCZOS)
        for each in images
    ]
    row = Image.new("RGB", (sum(each.width + GAP for each in images) - GAP, height), "white")
    left = 0
    for each in images:
        row.paste(each, (left, 0))
        left += each.width + GAP
    row.save(out, optimize=True)


if __name__ == "__main__":
    main()
