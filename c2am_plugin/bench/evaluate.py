"""Folders against ground truth: CAM files at all thresholds in one pass, or label PNGs.

The arithmetic is in metrics.py; here are the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..cams import CamAdapter
from ..errors import InputError
from ..files.folders import find_files, first_names
from ..files.labels import VOC_CLASSES, read_label
from ..files.lists import wanted_ids
from ..registry import choose_adapter
from ..runs.parallel import run_images
from .metrics import Scores, confusion, cumulate, score_histogram, scores

__all__ = ["THRESHOLDS", "evaluate_cams", "evaluate_labels", "scored_ids"]

# 0.01 … 0.60
THRESHOLDS = np.round(np.arange(1, 61) / 100, 2)


# Most of an image's counts are 0; 10,000 dense ones of 81 classes would not fit into memory.
_Counts = tuple[np.ndarray, np.ndarray]


def _sparse(counts: np.ndarray) -> _Counts:
    index = np.flatnonzero(counts)
    return index, counts.ravel()[index]


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What goes wrong is said with the name of the file that it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _SweepJob:
    adapter: CamAdapter
    cams: dict[str, Path]
    truths: dict[str, Path]
    thresholds: np.ndarray
    n_classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.n_classes, self.n_classes, len(self.thresholds) + 1

    def only(self, image_id: str) -> _SweepJob:
        cams, truths = {image_id: self.cams[image_id]}, {image_id: self.truths[image_id]}
        return replace(self, cams=cams, truths=truths)

    def __call__(self, image_id: str) -> _Counts:
        content = self.adapter.load(self.cams[image_id])
        cams = self.adapter.parse(content, image_id)
        truth = read_label(self.truths[image_id])
        with _naming(self.truths[image_id]):
            return _sparse(
                score_histogram(cams.maps, cams.class_ids, truth, self.thresholds, self.n_classes)
            )


@dataclass(frozen=True)
class _LabelJob:
    labels: dict[str, Path]
    truths: dict[str, Path]
    n_classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.n_classes, self.n_classes

    def only(self, image_id: str) -> _LabelJob:
        labels, truths = {image_id: self.labels[image_id]}, {image_id: self.truths[image_id]}
        return replace(self, labels=labels, truths=truths)

    def __call__(self, image_id: str) -> _Counts:
        label, truth = read_label(self.labels[image_id]), read_label(self.truths[image_id])
        with _naming(self.truths[image_id]):
            return _sparse(confusion(label, truth, self.n_classes))


def evaluate_cams(
    cam_dir: str | Path,
    gt_dir: str | Path,
    *,
    method: str = "auto",
    thresholds: Sequence[float] | np.ndarray = THRESHOLDS,
    ids: str | Path | Sequence[str] | None = None,
    n_classes: int = len(VOC_CLASSES),
    workers: int | None = None,
    progress: bool = True,
) -> list[Scores]:
    """Scores of stored CAMs at every threshold (rising), in their order, from one pass.

    gt_dir: `<id>.png` of class indices 0 … n_classes − 1, 255 = ignore. ids: default every image
    that has both. Raises InputError where a file is missing or bad.
    """
    cams, truths = find_files(cam_dir, (".npy",)), find_files(gt_dir, (".png",))
    chosen = scored_ids(cams, truths, cam_dir, gt_dir, ids)
    adapter = choose_adapter(method, [cams[image_id] for image_id in chosen])
    job = _SweepJob(adapter, cams, truths, np.asarray(thresholds, np.float64), n_classes)
    return [scores(matrix) for matrix in cumulate(_total(job, chosen, workers, progress))]


def evaluate_labels(
    label_dir: str | Path,
    gt_dir: str | Path,
    *,
    ids: str | Path | Sequence[str] | None = None,
    n_classes: int = len(VOC_CLASSES),
    workers: int | None = None,
    progress: bool = True,
) -> Scores:
    """Scores of a folder of label PNGs. Arguments as in `evaluate_cams`."""
    labels, truths = find_files(label_dir, (".png",)), find_files(gt_dir, (".png",))
    chosen = scored_ids(labels, truths, label_dir, gt_dir, ids)
    return scores(_total(_LabelJob(labels, truths, n_classes), chosen, workers, progress))


def scored_ids(
    found: dict[str, Path],
    truths: dict[str, Path],
    folder: str | Path,
    gt_dir: str | Path,
    ids: str | Path | Sequence[str] | None,
) -> list[str]:
    """The ids to score: those that are asked for, or all that have both. Raises InputError."""
    if ids is None:
        chosen = [image_id for image_id in found if image_id in truths]
        if not chosen:
            raise InputError(f"no image has a file in both {folder} and {gt_dir}")
        return chosen
    wanted = wanted_ids(ids)
    if not wanted:
        raise InputError("no image is listed to evaluate")
    for files, where in ((found, folder), (truths, gt_dir)):
        if lacking := [image_id for image_id in wanted if image_id not in files]:
            raise InputError(
                f"{where}: {len(lacking)} of {len(wanted)} images are missing "
                f"({first_names(lacking)})"
            )
    return wanted


def _total(
    job: _SweepJob | _LabelJob, ids: list[str], workers: int | None, progress: bool
) -> np.ndarray:
    outcome = run_images(
        job, ids, workers=workers, title="evaluating", prefer="processes", progress=progress
    )
    if outcome.failures:
        first = next(iter(outcome.failures.values()))
        raise InputError(f"{len(outcome.failures)} of {len(ids)} images failed; first: {first}")
    total = np.zeros(job.shape, np.int64)
    for index, counts in outcome.results.values():
        total.reshape(-1)[index] += counts
    return total
