"""Scoring CAMs at 60 thresholds: one pass over the files against a pass a threshold.

    python tests/bench/bench_metrics.py [IMAGES]

Both read the same files, use one worker, and must give equal confusion matrices. The pass per
threshold is what the pipelines' own evaluators do: read each CAM, pad it with the threshold, take
the argmax, and add up TP, P and T, class after class; a second one counts with one bincount.
The images are those of coco-voc where it is at hand, else generated.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from c2am_plugin import evaluate_cams
from c2am_plugin.bench.evaluate import THRESHOLDS
from c2am_plugin.bench.metrics import confusion
from c2am_plugin.cams import ImageCams
from c2am_plugin.files.labels import IGNORE, read_label, write_label
from c2am_plugin.registry import get_adapter

N_CLASSES = 21
DATA = Path(__file__).parents[3] / "shared" / "data" / "coco-voc"


def prepare(folder: Path, source: Path | None, count: int) -> dict[str, Path]:
    """CAM files in PSA's format, and the ground truth that belongs to them."""
    adapter = get_adapter("psa")
    truths = {}
    for image_id, class_ids, maps, truth in images(source, count):
        adapter.dump(ImageCams(image_id, class_ids, maps), folder / f"{image_id}.npy")
        truths[image_id] = folder / f"{image_id}.png"
        write_label(truths[image_id], truth)
    return truths


def images(source: Path | None, count: int):
    if source is None:
        rng = np.random.default_rng(0)
        for i in range(count):
            class_ids = rng.choice(N_CLASSES - 1, rng.integers(1, 4), replace=False)
            blocks = rng.random((len(class_ids), 24, 32), dtype=np.float32)
            maps = blocks.repeat(16, axis=1).repeat(16, axis=2)[:, :375, :500]
            blocks = rng.choice([0, *(class_ids + 1), IGNORE], (24, 32)).astype(np.uint8)
            yield f"{i:04d}", class_ids, maps, blocks.repeat(16, 0).repeat(16, 1)[:375, :500]
        return
    for path in sorted((source / "cams").glob("*.npz"))[:count]:
        with np.load(path) as stored:
            truth = read_label(source / "SegmentationClass" / f"{path.stem}.png")
            yield path.stem, stored["keys"], stored["cam"].astype(np.float32), truth


def pass_per_threshold(folder: Path, truths: dict[str, Path], count) -> np.ndarray:
    """The same. count: label and ground truth → TP, P and T, int64 3×C."""
    adapter = get_adapter("psa")
    counts = np.zeros((len(THRESHOLDS), 3, N_CLASSES), np.int64)
    for index, background_score in enumerate(THRESHOLDS):
        for image_id, path in truths.items():
            content = adapter.load(folder / f"{image_id}.npy")
            cams = adapter.parse(content, image_id)
            keys = np.pad(cams.class_ids + 1, (1, 0)).astype(np.uint8)
            padded = np.pad(cams.maps, ((1, 0), (0, 0), (0, 0)), constant_values=background_score)
            counts[index] += count(keys[padded.argmax(axis=0)], read_label(path))
    hits, predicted, true = counts.swapaxes(0, 1)
    with np.errstate(invalid="ignore"):
        return hits / (predicted + true - hits)


def class_after_class(label: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """As the released evaluators count."""
    valid = truth != IGNORE
    hit = (label == truth) * valid
    counts = [
        [np.sum((truth == c) * hit), np.sum((label == c) * valid), np.sum((truth == c) * valid)]
        for c in range(N_CLASSES)
    ]
    return np.array(counts).T


def with_bincount(label: np.ndarray, truth: np.ndarray) -> np.ndarray:
    matrix = confusion(label, truth, N_CLASSES)
    return np.stack([np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)])


def one_pass(folder: Path) -> np.ndarray:
    """IoU of every threshold and class, T×C."""
    found = evaluate_cams(folder, folder, method="psa", workers=1, progress=False)
    return np.stack([each.iou for each in found])


def rows(count: int = 10) -> list[tuple[str, str, str, str, str]]:
    """For the table of all benchmarks: work, ours, reference, ratio, agreement."""
    source = DATA if DATA.is_dir() else None
    table = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truths = prepare(folder, source, count)
        one_pass(folder)  # so that all find the files in the system's cache
        for counting in (class_after_class, with_bincount):
            fast, ours = timed(one_pass, folder)
            slow, reference = timed(pass_per_threshold, folder, truths, counting)
            work = (
                f"score {count} CAMs at {len(THRESHOLDS)} thresholds, 1 worker, against a pass a "
                f"threshold, {counting.__name__.replace('_', ' ')}"
            )
            times = f"{ours:.2f} s", f"{reference:.2f} s", f"{reference / ours:.0f} ×"
            table.append(
                (
                    work,
                    *times,
                    "equal" if np.allclose(fast, slow, 0, 1e-12, equal_nan=True) else "DIFFERENT",
                )
            )
    return table


def timed(work, *args):
    started = time.perf_counter()
    return work(*args), time.perf_counter() - started


if __name__ == "__main__":
    for row in rows(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        print(" | ".join(row))
