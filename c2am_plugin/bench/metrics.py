"""How good CAMs and labels are: confusion matrices, mIoU, over- and under-activation.

A confusion matrix is int64 C×C, rows ground truth, columns prediction, class 0 the background.
Ground-truth pixels of value 255 are ignored. Matrices of images add up; scores are made from sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..files.labels import IGNORE

__all__ = ["Scores", "TooFewClasses", "confusion", "cumulate", "score_histogram", "scores"]


class TooFewClasses(InputError):
    """A label is of a class that is not among those that are scored."""


@dataclass(frozen=True)
class Scores:
    """Scores of one confusion matrix. Arrays are float64 [C], NaN where a class is absent.

    iou   TP / union
    fp    (P − TP) / union, over-activation: predicted pixels that are not of the class
    fn    (T − TP) / union, under-activation: pixels of the class that are not predicted
    """

    iou: np.ndarray
    fp: np.ndarray
    fn: np.ndarray

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that ground truth or prediction hold, in [0, 1]."""
        return _mean(self.iou)

    @property
    def mean_fp(self) -> float:
        """Mean over-activation of the foreground classes that are present, in [0, 1]."""
        return _mean(self.fp[1:])

    @property
    def mean_fn(self) -> float:
        """Mean under-activation of the foreground classes that are present, in [0, 1]."""
        return _mean(self.fn[1:])

    def counting_absent(self) -> Scores:
        """The same with 0 for absent classes, as the evaluators of most pipelines count them."""
        return Scores(*(np.nan_to_num(values, nan=0.0) for values in (self.iou, self.fp, self.fn)))


def _mean(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def confusion(prediction: np.ndarray, truth: np.ndarray, n_classes: int) -> np.ndarray:
    """The confusion matrix of two label images of the same shape. Raises InputError."""
    _check(truth, prediction.shape, n_classes)
    if prediction.size and prediction.max() >= n_classes:
        raise TooFewClasses(f"label {prediction.max()} is outside the {n_classes} classes")
    valid = truth != IGNORE
    pairs = truth[valid].astype(np.int64) * n_classes + prediction[valid]
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def scores(matrix: np.ndarray) -> Scores:
    """IoU, over- and under-activation of every class of one confusion matrix."""
    hits = np.diag(matrix).astype(np.float64)
    truth, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    union = np.where(truth + predicted > 0, truth + predicted - hits, np.nan)
    return Scores(hits / union, (predicted - hits) / union, (truth - hits) / union)


def score_histogram(
    maps: np.ndarray,
    class_ids: np.ndarray,
    truth: np.ndarray,
    thresholds: np.ndarray,
    n_classes: int,
) -> np.ndarray:
    """What one image adds to the confusion matrices of all thresholds, counted in one pass.

    maps K×H×W and class_ids int [K] as in ImageCams, truth H×W of class indices, thresholds
    rising. Returns int64 C×C×(T+1): pixels by true class, winning class, and the number of
    thresholds that the winning score exceeds. Sum over images, then `cumulate`.
    """
    thresholds = np.asarray(thresholds)
    if np.any(np.diff(thresholds) <= 0):
        raise InputError("thresholds must rise")
    shape = (n_classes, n_classes, len(thresholds) + 1)
    valid = truth != IGNORE
    if len(class_ids) == 0:
        _check(truth, truth.shape, n_classes)
        histogram = np.zeros(shape, np.int64)
        histogram[:, 0, 0] = np.bincount(truth[valid], minlength=n_classes)
        return histogram
    _check(truth, maps.shape[1:], n_classes)
    if class_ids.max() + 1 >= n_classes:
        raise TooFewClasses(f"class {class_ids.max()} is outside the {n_classes} classes")
    maps = maps[:, valid]
    # Rounded like the pipelines round t when they pad their CAMs with it.
    passed = np.searchsorted(thresholds.astype(maps.dtype), maps.max(axis=0), side="left")
    winner = np.asarray(class_ids)[maps.argmax(axis=0)] + 1
    index = (truth[valid].astype(np.int64) * n_classes + winner) * shape[2] + passed
    return np.bincount(index, minlength=n_classes * n_classes * shape[2]).reshape(shape)


def cumulate(histogram: np.ndarray) -> np.ndarray:
    """Confusion matrices int64 T×C×C of all thresholds, from a sum of `score_histogram`s."""
    # Above a threshold the winner is predicted, at or below it the background.
    total = histogram.sum(axis=2, keepdims=True)
    at_or_below = np.cumsum(histogram, axis=2)[..., :-1]
    matrices = np.moveaxis(total - at_or_below, 2, 0).copy()
    matrices[:, :, 0] += np.moveaxis(at_or_below, 2, 0).sum(axis=2)
    return matrices


def _check(truth: np.ndarray, shape: tuple[int, ...], n_classes: int) -> None:
    if truth.shape != shape:
        raise InputError(f"ground truth {truth.shape} and prediction {shape} differ in shape")
    classes = truth[truth != IGNORE]
    if classes.size and classes.max() >= n_classes:
        raise TooFewClasses(
            f"ground truth contains class {classes.max()}, outside the {n_classes} classes"
        )
