"""How well boxes of cues and maps localise, against boxes made from ground truth masks.

    python tests/bench/bench_boxes.py --gt MASKS NAME=DIR [NAME=DIR …]

MASKS holds <id>.png of class indices (0 background, 255 ignored), each DIR cues or maps. Two kinds
of ground truth are made: the box of the largest connected component of one class, one object an
image as in WSOL; and the boxes of all components of at least 1 % of the image, with their classes.
Two trivial boxes stand beside: half of each side in the middle, and the whole image. Prints a
Markdown table, and how much faster one pass over all thresholds is than a labelling for each.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from c2am_plugin.boxes.components import find_components
from c2am_plugin.boxes.make_boxes import make_boxes
from c2am_plugin.boxes.scores import Localisation, Measures
from c2am_plugin.boxes.sweep import THRESHOLDS, sweep
from c2am_plugin.files.cues import read_saliency, write_cue
from c2am_plugin.files.folders import find_files
from c2am_plugin.files.labels import VOC_CLASSES, read_label

LEAST_SHARE = 0.01
COLUMNS = ("gt_known", "corloc_by_class", "max_box_acc", "max_box_acc_v2")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--gt", type=Path, required=True, metavar="MASKS")
    parser.add_argument("folders", nargs="+", metavar="NAME=DIR")
    args = parser.parse_args()
    folders = dict(each.split("=", 1) for each in args.folders)
    with tempfile.TemporaryDirectory() as temporary:
        everything = {**folders, "the whole image": write_whole(args.gt, Path(temporary, "whole"))}
        for kind in ("largest", "all"):
            truth = Path(temporary) / f"{kind}.json"
            count = write_truth(args.gt, truth, kind)
            print(f"\n{kind}: {count} boxes\n")
            print_table({name: score(folder, truth) for name, folder in everything.items()})
    print_speed(folders)


def write_truth(masks: Path, path: Path, kind: str) -> int:
    """COCO's JSON of the boxes of masks; returns how many."""
    images, annotations = [], []
    for number, (image_id, file) in enumerate(find_files(masks, (".png",)).items()):
        label = read_label(file)
        height, width = label.shape
        images.append({"id": number, "file_name": image_id, "width": width, "height": height})
        for name, (x0, y0, x1, y1) in mask_boxes(label, kind):
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append({"image_id": number, "category_id": name, "bbox": box})
    categories = [{"id": index, "name": name} for index, name in enumerate(VOC_CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return len(annotations)


def mask_boxes(label: np.ndarray, kind: str) -> list[tuple[int, list[int]]]:
    """(class index, box) of the largest component of one class, or of all that are not slivers."""
    found = []
    for index in np.unique(label):
        if index not in (0, 255):
            boxes, areas, _ = find_components((label == index).astype(np.float32), 0.5)
            found += [(int(area), int(index), box) for area, box in zip(areas, boxes, strict=True)]
    found.sort(key=lambda each: -each[0])
    kept = found[:1] if kind == "largest" else found
    least = 0 if kind == "largest" else LEAST_SHARE * label.size
    return [(index, box.tolist()) for area, index, box in kept if area >= least]


def write_whole(masks: Path, folder: Path) -> Path:
    """Cues that are foreground everywhere."""
    for image_id, file in find_files(masks, (".png",)).items():
        write_cue(folder / f"{image_id}.png", np.ones(read_label(file).shape, bool))
    return folder


def score(folder: str | Path, truth: Path) -> Localisation:
    found = make_boxes(folder, gt=truth, progress=False).localisation
    assert found is not None
    return found


def print_table(rows: dict[str, Localisation]) -> None:
    print("| | GT-known | CorLoc by class | MaxBoxAcc (threshold) | MaxBoxAccV2 |")
    print("|---|---:|---:|---:|---:|")
    for name, found in rows.items():
        print(_row(name, found.boxes, f" ({found.thresholds['0.5 largest']:.2f})"))
    first = next(iter(rows.values()))
    print(_row(f"centre box, {first.images} images", first.centre, ""))


def _row(name: str, measures: Measures, note: str) -> str:
    cells = [f"{100 * getattr(measures, key):.1f}" for key in COLUMNS]
    cells[2] += note
    return f"| {name} | {' | '.join(cells)} |"


def print_speed(folders: dict[str, str]) -> None:
    paths = [*find_files(next(iter(folders.values())), (".png", ".npy")).values()]
    values = [read_saliency(path) for path in paths[:8] if path.suffix == ".png"]
    if not values:
        return
    truth = np.array([[8.0, 8.0, 64.0, 64.0]])
    sweep(values[0], truth, values[0].shape[::-1])
    passes, labellings = 0.0, 0.0
    for each in values:
        start = time.process_time()
        sweep(each, truth, each.shape[::-1])
        middle = time.process_time()
        for threshold in THRESHOLDS:
            find_components(each, threshold)
        passes += middle - start
        labellings += time.process_time() - middle
    print(f"\none pass over all thresholds: {labellings / passes:.0f}× as fast as a labelling each")


if __name__ == "__main__":
    main()
