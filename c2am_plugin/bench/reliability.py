"""Whether a soft cue means what it says: of the pixels that it gives 0.8, are 80 % foreground?

A cue is read as odds, so this matters as much as its outlines do. Everything here comes from one
table: how many foreground and background pixels of the ground truth each of a cue's 256 levels has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files.cue_folders import find_cues
from ..files.cues import CueForm, read_saliency
from ..files.labels import IGNORE, read_label
from ..files.roots import label_files
from ..registry import MapReader
from ..runs.parallel import run_images
from .evaluate import ScoredFiles, scored_files

__all__ = ["LEVELS", "Reliability", "auc", "count_levels", "evaluate_cues", "reliability"]

LEVELS = 256


@dataclass(frozen=True)
class Reliability:
    """A reliability curve over equally wide bins of saliency, and what follows from the counts.

    stated     float64 [bins], mean saliency of a bin's pixels; NaN where it has none
    found      float64 [bins], share of them that ground truth calls foreground; NaN likewise
    pixels     int64 [bins]
    ece        expected calibration error, Σ pixels · |stated − found| / Σ pixels, in [0, 1]
    log_loss   mean −log of the probability given to what is there, in nats; ln 2 = 0.693 for 0.5
               everywhere. Levels 0 and 255 count as half a level from the end
    auc        the chance that a foreground pixel has a higher value than a background pixel, ties
               counting half; NaN where ground truth has one side only. No calibration changes it
    foreground share of the pixels that are foreground
    """

    stated: np.ndarray
    found: np.ndarray
    pixels: np.ndarray
    ece: float
    log_loss: float
    auc: float
    foreground: float


def count_levels(saliency: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pixels of one image by ground truth and saliency: int64 [2, 256], row 1 the foreground.

    saliency: H×W in [0, 1], 1 = foreground, rounded to 8 bits. truth: H×W class indices, 0 =
    background, 255 = ignored. Counts of images add up. Raises InputError for other shapes.
    """
    if saliency.shape != truth.shape:
        raise InputError(f"the cue is {saliency.shape} and its ground truth {truth.shape} pixels")
    valid = truth != IGNORE
    level = np.rint(saliency[valid] * (LEVELS - 1)).astype(np.intp)
    place = level + LEVELS * (truth[valid] > 0)
    return np.bincount(place, minlength=2 * LEVELS).reshape(2, LEVELS)


def reliability(counts: np.ndarray, bins: int = 10) -> Reliability:
    """The curve and the numbers of `count_levels`, summed over images.

    The ECE is C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks"
    (ICML 2017), for the probability of foreground. Raises InputError where no pixel was counted.
    """
    if not counts.sum():
        raise InputError("no pixel has ground truth, so the cues cannot be scored")
    value = np.arange(LEVELS) / (LEVELS - 1)
    place = np.minimum((value * bins).astype(np.intp), bins - 1)
    at_level = counts.sum(axis=0)
    pixels = np.bincount(place, at_level, bins)
    claimed = np.bincount(place, at_level * value, bins)
    there = np.bincount(place, counts[1], bins)
    with np.errstate(invalid="ignore"):
        stated, found = claimed / pixels, there / pixels
    inner = (np.arange(LEVELS) + 0.5) / LEVELS
    surprise = -(counts[1] * np.log(inner) + counts[0] * np.log1p(-inner))
    return Reliability(
        stated,
        found,
        pixels.astype(np.int64),
        ece=float(np.abs(claimed - there).sum() / pixels.sum()),
        log_loss=float(surprise.sum() / pixels.sum()),
        auc=auc(counts),
        foreground=float(counts[1].sum() / pixels.sum()),
    )


def auc(counts: np.ndarray) -> float:
    """The share of pairs of a foreground and a background pixel that the values rank rightly.

    counts: [2, 256], pixels of background and foreground by value. Ties count half; NaN of no pair.
    """
    background, foreground = counts.astype(np.float64)
    pairs = background.sum() * foreground.sum()
    lower = background.cumsum() - background
    return float((foreground * (lower + background / 2)).sum() / pairs) if pairs else float("nan")


def _count_image(image: ScoredFiles, form: CueForm) -> np.ndarray:
    saliency, truth = read_saliency(image.file, form=form), read_label(image.truth)
    try:
        return count_levels(saliency, truth)
    except InputError as error:
        raise InputError(f"{image.file}: {error}") from error


def evaluate_cues(
    cue_dir: str | Path,
    gt_dir: str | Path,
    *,
    ids: str | Path | Sequence[str] | None = None,
    bins: int = 10,
    workers: int | None = None,
    progress: bool = True,
) -> Reliability:
    """The reliability of a folder of cues, 255 = foreground, against ground-truth class indices.

    cue_dir    `<id>.png`, or float `.npy` in [0, 1], high = foreground
    gt_dir     `<id>.png` of class indices, 0 = background, 255 = ignore, or a VOC root
    ids        a list file or image ids; default every image that has both
    bins       number of equal intervals of [0, 1] that the cues' values are counted in
    workers    images processed at once; default one per core
    progress   show a bar on stderr

    Raises InputError where a file is missing or bad.

    >>> from c2am_plugin import evaluate_cues
    >>> evaluate_cues("cues", "VOC2012", bins=10)  # doctest: +SKIP
    """
    cues = find_cues(cue_dir, label_files(gt_dir), read_map=MapReader.find())
    chosen = scored_files(cues.files, cue_dir, gt_dir, ids)
    outcome = run_images(
        partial(_count_image, form=cues.form),
        chosen,
        workers=workers,
        title="evaluating",
        progress=progress,
    )
    if outcome.failures:
        first = next(iter(outcome.failures.values()))
        raise InputError(f"{len(outcome.failures)} of {len(chosen)} images failed; first: {first}")
    return reliability(np.sum(list(outcome.results.values()), axis=0), bins)
