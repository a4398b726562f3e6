"""The picture of the README: one photograph from CAM to label.

    python examples/row.py PHOTO --weights squeezenet1_0.pth --checkpoint RUN/last.pt -o row.png

The CAM is that of torchvision's squeezenet1_0 with ImageNet weights, its classes 281 to 285 (cats)
together; the cue is that of a C²AM checkpoint; the label is `c2am-refine --crf`'s, PSA's format.
The README's photograph is `chelsea` of scikit-image's wheel (CC0, Stefan van der Walt); its C²AM
was trained with `c2am-train --backbone squeezenet1_0` on 143 photographs of VOC 2012.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import models

from c2am_plugin import make_cues, refine_cams

CATS, VOC_CAT = (281, 282, 283, 284, 285), 7
SCALES = (0.75, 1.0, 1.5)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GAP = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="state dict of squeezenet1_0")
    parser.add_argument("--checkpoint", type=Path, required=True, help="of c2am-train")
    parser.add_argument("-o", "--out", type=Path, default=Path("row.png"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / "images"
        images.mkdir()
        photo = images / arguments.photo.name
        shutil.copy(arguments.photo, photo)
        pixels = np.asarray(Image.open(photo).convert("RGB"))
        (folder / "cams").mkdir()
        cam = classifier_cam(pixels, arguments.weights)
        np.save(folder / "cams" / f"{photo.stem}.npy", {VOC_CAT: cam}, allow_pickle=True)  # type: ignore[arg-type]
        make_cues(images, arguments.checkpoint, folder / "cues", progress=False)
        options: dict[str, Any] = {"method": "psa", "progress": False}
        refine_cams(
            folder / "cams",
            folder / "cues",
            labels=folder / "after",
            crf=True,
            images=images,
            **options,
        )
        # Strength 0 leaves the CAM alone: its label is what one has without cues.
        refine_cams(
            folder / "cams",
            folder / "cues",
            labels=folder / "before",
            labels_only=True,
            strength=0,
            **options,
        )
        refined = np.load(folder / "cams_c2am" / f"{photo.stem}.npy", allow_pickle=True).item()
        cue = np.asarray(Image.open(folder / "cues" / f"{photo.stem}.png"))
        labels = [Image.open(folder / n / f"{photo.stem}.png") for n in ("before", "after")]
        panels = [pixels, heat(cam, pixels), np.repeat(cue[..., None], 3, axis=2)]
        panels += [heat(refined[VOC_CAT], pixels), *(overlay(label, pixels) for label in labels)]
    draw(panels, arguments.out)


def classifier_cam(pixels: np.ndarray, weights: Path) -> np.ndarray:
    """uint8 H×W×3 → float32 H×W in [0, 1]: ReLU of the class scores, three scales and mirror."""
    network = models.squeezenet1_0()
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
    image = (image - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    size, total = image.shape[2:], torch.zeros(image.shape[2:])
    with torch.inference_mode():
        for scale in SCALES:
            scaled = torch.nn.functional.interpolate(image, scale_factor=scale, mode="bilinear")
            for flip in (False, True):
                view = scaled.flip(3) if flip else scaled
                scores = network.classifier[1](network.features(view))[:, CATS].relu()
                scores = scores.flip(3) if flip else scores
                grown = torch.nn.functional.interpolate(scores, size, mode="bilinear")
                total += grown.sum(dim=(0, 1))
    return (total / (total.max() + 1e-5)).numpy()


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
