"""The images that `compare_classifiers.py` trains on, and how a classifier of each is trained."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generated import CLASSES, SIDE, make_folder

Numbers = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Data:
    """A set of images. further: what the arms' recipe has beside `training`, that of all."""

    name: str
    out: Path
    images: Path
    labels: Path
    shown: Path  # labels of the classes that get CAMs
    truths: Path
    n_classes: int
    backbone: str
    weights: str
    training: Numbers
    further: Numbers = field(default_factory=dict)
    cues: Numbers = field(default_factory=dict)
    cams: Numbers = field(default_factory=dict)
    cue_scales: tuple[float, ...] | None = None
    classes: Path | None = None

    @property
    def ids(self) -> Path:
        return self.out / "ids.txt"

    def run(self, seed: int, arm: str) -> Path:
        return self.out / f"seed{seed}" / re.sub(r"[^\w.=-]", "_", arm)


def generated(out: Path, count: int) -> Data:
    make_folder(out, count)
    write_lines(out / "ids.txt", [f"{seed:04d}" for seed in range(count)])
    batch, masks, scales = min(32, count), out / "SegmentationClass", (1.0, 1.5, 2.0)
    training: Numbers = {"batch_size": batch, "crop": SIDE, "long_side": (SIDE, SIDE)}
    training |= {"turns": True, "jitter": False, "pooling": "smooth_max", "lr": 3e-3}
    return Data(
        name="generated",
        out=out,
        images=out / "JPEGImages",
        labels=masks,
        shown=masks,
        truths=masks,
        n_classes=len(CLASSES),
        backbone="shufflenet_v2_x0_5",
        weights="random",
        training=training,
        further={"lr": 1e-3, "scales": scales, "threshold": 0.1},
        cues={"batch_size": batch, "epochs": 10, "resize": SIDE, "crop": SIDE * 7 // 8},
        cams={"scales": scales},
        cue_scales=(2.0, 3.0),
        classes=out / "names.txt",
    )


def voc_animals(out: Path, shared: Path, count: int | None) -> Data:
    """All photographs with labels are trained on, those with masks scored; with count, that many of
    these alone are both."""
    source = shared / "voc-animals"
    rows = [line.split("\t") for line in (source / "labels.tsv").read_text().splitlines()[1:]]
    known = {image_id: names.split() for image_id, names in rows}
    scored = (source / "ids.txt").read_text().split()[:count]
    kept = scored if count else list(known)
    (out / "images").mkdir(parents=True, exist_ok=True)
    for image_id in kept:
        link = out / "images" / f"{image_id}.jpg"
        places = (source / folder / link.name for folder in ("JPEGImages", "unlabelled"))
        if not link.exists():
            link.symlink_to(next(path for path in places if path.exists()).resolve())
    # Persons are ignored in the ground truth: a CAM of theirs would only count against others.
    tables = {"labels.csv": known, "shown.csv": {i: set(known[i]) - {"person"} for i in kept}}
    for name, table_of in tables.items():
        write_lines(out / name, [",".join((i, *sorted(table_of[i]))) for i in kept])
    write_lines(out / "ids.txt", scored)
    return Data(
        name="voc-animals",
        out=out,
        images=out / "images",
        labels=out / "labels.csv",
        shown=out / "shown.csv",
        truths=source / "SegmentationClass",
        n_classes=21,
        backbone="squeezenet1_0",
        weights=str(shared / "squeezenet1_0_imagenet.pth"),
        training={},
    )


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")
