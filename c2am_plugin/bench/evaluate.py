"""Folders against ground truth: CAM files at all thresholds in one pass, or label PNGs.

The arithmetic is in metrics.py; here are the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cams import BROUGHT_TO, CamAdapter, read_cams
from ..errors import InputError
from ..files.folders import find_files, first_names
from ..files.labels import VOC_CLASSES, read_label
from ..files.lists import wanted_ids
from ..files.names import under_ids, unlike
from ..files.roots import label_files
from ..files.value_ranges import check_labels
from ..refine.formula import with_constant
from ..registry import choose_adapter, find_cams
from ..runs.parallel import run_images
from .metrics import Scores, TooFewClasses, confusion, cumulate, score_histogram, scores

__all__ = ["THRESHOLDS", "evaluate_cams", "evaluate_labels", "scored_files"]

# 0.01 … 0.60
THRESHOLDS = np.round(np.arange(1, 61) / 100, 2)


# Most of an image's counts are 0; 10,000 dense ones of 81 classes would not fit into memory.
_Counts = tuple[np.ndarray, np.ndarray]


def _sparse(counts: np.ndarray) -> _Counts:
    index = np.flatnonzero(counts)
    return index, counts.ravel()[index]


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors name the file that they are about."""
    try:
        yield
    except TooFewClasses as error:
        raise InputError(f"{path}: {error}; set `n_classes` to count them all") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@dataclass(frozen=True)
class ScoredFiles:
    """The file of one image that is scored (CAMs, a label, a cue), and its ground truth."""

    image_id: str
    file: Path
    truth: Path


@dataclass(frozen=True)
class SweepJob:
    """One image's counts at all thresholds."""

    adapter: CamAdapter
    thresholds: np.ndarray
    n_classes: int
    clip: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return self.n_classes, self.n_classes, len(self.thresholds) + 1

    def __call__(self, image: ScoredFiles) -> _Counts:
        cams = read_cams(self.adapter, image.file, image.image_id, clip=self.clip)
        maps = cams.maps
        if cams.background is not None:
            maps = with_constant(maps, cams.background, BROUGHT_TO)
        truth = read_label(image.truth)
        with _naming(image.truth):
            return _sparse(
                score_histogram(maps, cams.class_ids, truth, self.thresholds, self.n_classes)
            )


@dataclass(frozen=True)
class LabelJob:
    """One image's confusion matrix."""

    n_classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.n_classes, self.n_classes

    def __call__(self, image: ScoredFiles) -> _Counts:
        label, truth = read_label(image.file), read_label(image.truth)
        with _naming(image.truth):
            return _sparse(confusion(label, truth, self.n_classes))


def evaluate_cams(
    cam_dir: str | Path,
    gt_dir: str | Path,
    *,
    method: str = "auto",
    thresholds: Sequence[float] | np.ndarray = THRESHOLDS,
    scale_by: float | None = None,
    ids: str | Path | Sequence[str] | None = None,
    n_classes: int = len(VOC_CLASSES),
    clip: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> list[Scores]:
    """Scores of stored CAMs at every threshold (rising), in their order, from one pass.

    CAMs whose files contain a background are brought to a constant of 0.5 first: the scores at 0.5
    are those of the pipeline's own labels.

    cam_dir    a pipeline's CAM files
    gt_dir     `<id>.png` of class indices 0 … n_classes − 1, 255 = ignore, or a VOC root
    method     the name of the pipeline, or "auto" to detect the layout from the files
    thresholds  background scores t, rising; default 0.01 to 0.60 in steps of 0.01
    ids        a list file or image ids; default every image that has both
    n_classes  classes of the ground truth, the background among them; default VOC's 21
    clip, scale_by  as in `refine_cams`
    workers    images processed at once; default one per core
    progress   show a bar on stderr

    Raises InputError where a file is missing or bad.

    >>> from c2am_plugin import evaluate_cams
    >>> scores = evaluate_cams("psa_cam", "VOC2012", thresholds=[0.15, 0.2])  # doctest: +SKIP
    >>> [round(100 * each.miou, 1) for each in scores]  # doctest: +SKIP
    """
    chosen = scored_files(find_cams(cam_dir, method), cam_dir, gt_dir, ids, n_classes)
    adapter = choose_adapter(method, [image.file for image in chosen], scale_by=scale_by)
    job = SweepJob(adapter, np.asarray(thresholds, np.float64), n_classes, clip)
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
    """Scores of a folder of label PNGs against ground truth.

    label_dir  `<id>.png` of class indices, 0 = background, 255 = ignore
    gt_dir, ids, n_classes, workers, progress  as in `evaluate_cams`

    Raises InputError where a file is missing or bad.

    >>> from c2am_plugin import evaluate_labels
    >>> scores = evaluate_labels("labels", "VOC2012")  # doctest: +SKIP
    >>> scores.miou, scores.iou[15]  # the mean, and that of class 14 (person)  # doctest: +SKIP
    """
    chosen = scored_files(find_files(label_dir, (".png",)), label_dir, gt_dir, ids, n_classes)
    return scores(_total(LabelJob(n_classes), chosen, workers, progress))


def scored_files(
    found: dict[str, Path],
    folder: str | Path,
    gt_dir: str | Path,
    ids: str | Path | Sequence[str] | None,
    n_classes: int | None = None,
) -> list[ScoredFiles]:
    """The images to score: those that are asked for, or all that have both. Raises InputError."""
    truths = under_ids(label_files(gt_dir), found, "labels")
    if ids is None:
        wanted = [image_id for image_id in found if image_id in truths]
        if not wanted:
            raise InputError(
                f"no image has a file in both {folder} and {gt_dir}: {unlike(found, truths)}"
            )
    else:
        wanted = wanted_ids(ids, found, [gt_dir])
    for files, where in ((found, folder), (truths, gt_dir)):
        if lacking := [image_id for image_id in wanted if image_id not in files]:
            raise InputError(
                f"{where}: {len(lacking)} of {len(wanted)} images are missing "
                f"({first_names(lacking)})"
            )
    check_labels([truths[image_id] for image_id in wanted], gt_dir, n_classes)
    return [ScoredFiles(image_id, found[image_id], truths[image_id]) for image_id in wanted]


def _total(
    job: SweepJob | LabelJob, images: list[ScoredFiles], workers: int | None, progress: bool
) -> np.ndarray:
    outcome = run_images(
        job, images, workers=workers, title="evaluating", prefer="processes", progress=progress
    )
    if outcome.failures:
        first = next(iter(outcome.failures.values()))
        raise InputError(f"{len(outcome.failures)} of {len(images)} images failed; first: {first}")
    total = np.zeros(job.shape, np.int64)
    for index, counts in outcome.results.values():
        total.reshape(-1)[index] += counts
    return total
