"""Seeds of all five pipelines, before and after refining, against ground truth.

    python examples/compare_seeds.py DATA CUES -o OUT > table.md

DATA holds `cams/<id>.npz` (`keys` int [K] 0-based, `cam` K×H×W in [0, 1]), `JPEGImages/<id>.jpg`
and `SegmentationClass/<id>.png`; CUES holds `<id>.png` cues. Writes the CAMs in the five formats,
makes seeds of them, refines them and makes seeds of that by the installed command, and prints the
table of the README: of the pixels with ground truth, how many percent the seeds call foreground,
background or nothing, and how many percent of those rightly, before → after. OUT/seeds.png shows
images from the one that gains most to the one that loses most: in right pixels less wrong ones.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from five_formats import FORMATS, write_formats
from PIL import Image, ImageDraw

from c2am_plugin import get_adapter, make_seeds, read_label, read_photo
from c2am_plugin.files.labels import IGNORE, palette

HEAD = (
    "| format | foreground | right | background | right | ignored |\n|---|---:|---:|---:|---:|---:|"
)
NAMES = ("CAMs", "refined CAMs")
SIDE, GAP = 150, 6
IGNORED = (224, 224, 192)  # as VOC's label files show it


def make_both(cams: Path, cues: Path, images: Path, method: str, out: Path) -> None:
    """`<out>/before` from the CAMs as they are, `<out>/after` by c2am-refine --seeds."""
    make_seeds(cams, out / "before", images, method=method)
    command = Path(sys.executable).with_name("c2am-refine")
    options = ["--method", method, "--seeds", str(out / "after"), "--images", str(images)]
    call = [str(command), str(cams), str(cues), "-o", str(out / "refined"), *options]
    if subprocess.run(call, check=False, stdout=sys.stderr).returncode:
        sys.exit(1)  # the command has said why


def read_all(method: str, folder: Path, ids: Sequence[str]) -> list[np.ndarray]:
    """The labels uint8 H×W that the method's next stage trains on."""
    adapter = get_adapter(method)
    folders = [folder / each for each in adapter.seed_folders(adapter.seed_settings)]
    return [adapter.read_seeds([f / f"{i}{adapter.seed_suffix}" for f in folders]) for i in ids]


def count(label: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pixels called foreground, right of them, background, right of them, ignored: int64 [5]."""
    label, truth = label[truth != IGNORE], truth[truth != IGNORE]
    foreground, background = (label > 0) & (label != IGNORE), label == 0
    kinds = (foreground, foreground & (label == truth), background, background & (truth == 0))
    return np.array([np.count_nonzero(kind) for kind in (*kinds, label == IGNORE)])


def percents(counts: np.ndarray) -> np.ndarray:
    """Share of all pixels and share of right ones, for the columns of the table: float64 [5]."""
    called = counts[[0, 0, 2, 2, 4]].astype(float)
    called[[1, 3]] = counts[[1, 3]]
    whole = np.array([counts[[0, 2, 4]].sum(), counts[0], counts[2]])[[0, 1, 0, 2, 0]]
    return 100 * called / np.maximum(whole, 1)


def row(method: str, before: np.ndarray, after: np.ndarray) -> str:
    pairs = zip(percents(before), percents(after), strict=True)
    return f"| {method} | " + " | ".join(f"{old:.1f} → {new:.1f}" for old, new in pairs) + " |"


def picture(
    data: Path, ids: Sequence[str], labels: dict[str, list[list[np.ndarray]]]
) -> Image.Image:
    """One line an image: photograph, truth, then before beside after for every format."""
    titles = ["photograph", "ground truth", *(f"{m}, {x}" for m in labels for x in NAMES)]
    lines = [headings(titles)]
    for index, image_id in enumerate(ids):
        truth = read_label(data / "SegmentationClass" / f"{image_id}.png")
        panels = [read_photo(data / "JPEGImages" / f"{image_id}.jpg"), colours(truth)]
        panels += [colours(both[index]) for pair in labels.values() for both in pair]
        height = round(SIDE * truth.shape[0] / truth.shape[1])
        line = np.full((height + GAP, left_of(len(panels)), 3), 255, np.uint8)
        for place, panel in enumerate(panels):
            small = Image.fromarray(panel).resize((SIDE, height), Image.Resampling.BOX)
            line[:height, left_of(place) : left_of(place) + SIDE] = small
        lines.append(line)
    return Image.fromarray(np.concatenate(lines))


def headings(titles: Sequence[str]) -> np.ndarray:
    image = Image.new("RGB", (left_of(len(titles)), 14), "white")
    for place, title in enumerate(titles):
        ImageDraw.Draw(image).text((left_of(place) + 2, 0), title, fill="black")
    return np.asarray(image)


def left_of(place: int) -> int:
    """Two and two stand together."""
    return place * (SIDE + 1) + place // 2 * GAP


def colours(label: np.ndarray) -> np.ndarray:
    table = palette()
    table[IGNORE] = IGNORED
    return table[label]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("cues", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--show", type=int, default=4, help="images in the picture")
    args = parser.parse_args()

    ids = write_formats(args.data, args.out / "cams")
    truths = [read_label(args.data / "SegmentationClass" / f"{i}.png") for i in ids]
    labels: dict[str, list[list[np.ndarray]]] = {}
    gains = np.zeros(len(ids))
    print(HEAD)
    for method in FORMATS:
        out = args.out / method
        make_both(args.out / "cams" / method, args.cues, args.data / "JPEGImages", method, out)
        labels[method] = [read_all(method, out / name, ids) for name in ("before", "after")]
        counts = np.array(
            [[count(*pair) for pair in zip(each, truths, strict=True)] for each in labels[method]]
        )
        print(row(method, *counts.sum(axis=1)))
        # Right pixels less wrong ones: ignoring all gains nothing.
        balance = 2 * counts[..., [1, 3]].sum(axis=2) - counts[..., [0, 2]].sum(axis=2)
        gains += (balance[1] - balance[0]) / counts[0][:, [0, 2, 4]].sum(axis=1)
    shown = np.argsort(-gains)[np.linspace(0, len(ids) - 1, args.show).astype(int)]
    chosen = {m: [[each[i] for i in shown] for each in pair] for m, pair in labels.items()}
    picture(args.data, [ids[i] for i in shown], chosen).save(args.out / "seeds.png")


if __name__ == "__main__":
    main()
