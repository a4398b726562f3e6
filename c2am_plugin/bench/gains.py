"""From pixel counts of many images to scores, and to gains with their uncertainty.

Counts are int64 [3, C] per image: pixels hit, pixels of ground truth, pixels predicted, for
each class, class 0 the background. They are what IoU needs, C instead of C² numbers per image,
so that those of a whole data set fit into memory and can be drawn again and again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..files.labels import IGNORE
from .metrics import Scores

__all__ = ["Gain", "count_scores", "image_ious", "label_counts", "paired_gain"]

DRAWS = 1000
CHUNK = 50


@dataclass(frozen=True)
class Gain:
    """What `after` has over `before`, in [−1, 1], with bootstrap 95 % intervals over images.

    miou, low, high             floats: of the mean over the classes that are present
    iou, iou_low, iou_high      float64 [C]: of each class, NaN where it is absent
    """

    miou: float
    low: float
    high: float
    iou: np.ndarray
    iou_low: np.ndarray
    iou_high: np.ndarray


def label_counts(label: np.ndarray, truth: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts int64 [3, C] of one image. label, truth: uint8 H×W, truth 255 = ignore."""
    valid = truth != IGNORE
    predicted, actual = label[valid], truth[valid]
    parts = (actual[predicted == actual], actual, predicted)
    return np.stack([np.bincount(part, minlength=n_classes) for part in parts])


def count_scores(counts: np.ndarray) -> Scores:
    """IoU, over- and under-activation from counts […, 3, C]; each float64 […, C]."""
    hits, truth, predicted = np.moveaxis(np.asarray(counts, np.float64), -2, 0)
    union = truth + predicted - hits
    union = np.where(union > 0, union, np.nan)
    return Scores(hits / union, (predicted - hits) / union, (truth - hits) / union)


def image_ious(counts: np.ndarray) -> np.ndarray:
    """Each image's mean IoU over the foreground classes of its ground truth: float64 [N].

    counts: int64 [N, 3, C]. 0 where an image has none of them.
    """
    present = counts[:, 1, 1:] > 0
    iou = np.where(present, count_scores(counts).iou[:, 1:], 0.0)
    return iou.sum(axis=1) / np.maximum(present.sum(axis=1), 1)


def paired_gain(before: np.ndarray, after: np.ndarray, seed: int = 0) -> Gain:
    """The gain of counts `after` over `before`, int64 [N, 3, C] of the same N images.

    The interval comes from 1000 draws of N images with replacement, the same draws for both; its
    ends are the 2.5th and 97.5th percentile. The same input gives the same interval.
    """
    n_images, _, n_classes = before.shape
    both = np.stack([before, after], axis=1).astype(np.float64).reshape(n_images, -1)
    whole = _difference(both.sum(axis=0, keepdims=True), n_classes)[0]
    rng = np.random.default_rng(seed)
    draws = []
    for start in range(0, DRAWS, CHUNK):
        size = min(CHUNK, DRAWS - start)
        times = rng.multinomial(n_images, np.full(n_images, 1 / n_images), size)
        draws.append(_difference(times @ both, n_classes))
    low, high = _percentiles(np.concatenate(draws))
    return Gain(whole[0], low[0], high[0], whole[1:], low[1:], high[1:])


def _difference(sums: np.ndarray, n_classes: int) -> np.ndarray:
    """Summed counts [D, 2·3·C] → [D, 1 + C]: the difference of the mIoU, then of each class."""
    iou = count_scores(sums.reshape(len(sums), 2, 3, n_classes)).iou
    present = ~np.isnan(iou)
    miou = np.nansum(iou, axis=2) / np.maximum(present.sum(axis=2), 1)
    difference = np.concatenate([miou[..., None], iou], axis=2)
    return difference[:, 1] - difference[:, 0]


def _percentiles(values: np.ndarray) -> np.ndarray:
    """2.5th and 97.5th percentile of each column, of the draws that contain its class."""
    ends = np.full((2, values.shape[1]), np.nan)
    known = ~np.isnan(values).all(axis=0)
    ends[:, known] = np.nanpercentile(values[:, known], [2.5, 97.5], axis=0)
    return ends
