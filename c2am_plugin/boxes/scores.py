"""How well boxes localise objects: the hits of one image, and the measures over many.

GT-known       share of images whose box (of the largest component) overlaps an object with
               IoU ≥ 0.5, whatever its class: the class counts as known
CorLoc         the same with IoU > 0.5, PASCAL's criterion, as used in unsupervised discovery and by
               C2AM's authors; and by class: the share of the images of a class in which an object
               of that class is hit, averaged over classes (Deselaers et al., IJCV 2012)
MaxBoxAcc      GT-known at the best map threshold (Choe et al., CVPR 2020)
MaxBoxAccV2    the box of any component may hit any object; the mean over IoU 0.3, 0.5 and 0.7, each
               at its best map threshold (the same authors, arXiv 2007.04178)
top-1, top-5   GT-known, and the class of a hit object is among the first 1 or 5 predictions

All boxes are in half-open pixels of the photographs. The evaluator of Choe et al. resizes maps and
boxes to 224×224 and includes the last pixel, so its last digit can differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .components import centre_box, overlaps, scale_boxes
from .sweep import THRESHOLDS, sweep
from .truths import Truth

__all__ = ["IOUS", "Hits", "Localisation", "Measures", "count_hits", "localisation"]

IOUS = (0.3, 0.5, 0.7)
HALF = IOUS.index(0.5)


class Hits(NamedTuple):
    """The contribution of one image.

    names     class of each of G objects
    box       float64 [G], IoU of the image's box with each object; 0 without a box
    centre    float64 [G], IoU of the centre box with each object
    largest   bool [3, T], whether the box of the largest component overlaps an object with each
              IoU of IOUS, at each of sweep.THRESHOLDS
    any_of    bool [3, T], the same for the best of all components
    """

    names: tuple[str, ...]
    box: np.ndarray
    centre: np.ndarray
    largest: np.ndarray
    any_of: np.ndarray


@dataclass(frozen=True)
class Measures:
    """Shares of images in [0, 1], see the top of this module. None without predictions."""

    gt_known: float
    corloc: float
    corloc_by_class: float
    max_box_acc: float
    max_box_acc_v2: float
    top1: float | None = None
    top5: float | None = None


@dataclass(frozen=True)
class Localisation:
    """The measures over a set of images.

    boxes         measures of these boxes
    centre        measures of the trivial box, centred with half the width and height; it has no
                  threshold to optimise
    thresholds    the best map threshold of MaxBoxAcc ("0.5 largest") and of each IoU of MaxBoxAccV2
    shares        MaxBoxAccV2's share at each IoU
    classes       CorLoc of each class
    unpredicted   number of images without a predicted class; they count as wrong
    """

    images: int
    boxes: Measures
    centre: Measures
    thresholds: dict[str, float]
    shares: dict[str, float]
    classes: dict[str, float]
    unpredicted: int = 0


def count_hits(values: np.ndarray, boxes: np.ndarray, size: tuple[int, int], truth: Truth) -> Hits:
    """The hits of one image. values: float32 H×W map. boxes: [N, 4] in pixels of the image, the
    image's own box first. size: (width, height) of the image."""
    swept = sweep(values, truth.boxes, size)
    largest = scale_boxes(swept.largest, values.shape[::-1], size)
    at_largest = overlaps(largest, truth.boxes).max(axis=1)
    wanted = np.array(IOUS)[:, None]
    own = overlaps(boxes[:1], truth.boxes)[0] if len(boxes) else np.zeros(len(truth.boxes))
    return Hits(
        truth.names,
        own,
        overlaps(centre_box(size)[None], truth.boxes)[0],
        at_largest >= wanted,
        swept.best >= wanted,
    )


def localisation(
    hits: Mapping[str, Hits], predictions: Mapping[str, list[str]] | None = None
) -> Localisation:
    """The measures over images (at least one); predictions: classes by image, the best first."""
    largest = np.mean([each.largest[HALF] for each in hits.values()], axis=0)
    any_of = np.mean([each.any_of for each in hits.values()], axis=0)
    shares = {f"{iou}": float(row.max()) for iou, row in zip(IOUS, any_of, strict=True)}
    thresholds = {f"{iou}": _best(row) for iou, row in zip(IOUS, any_of, strict=True)}
    ious = {image_id: each.box for image_id, each in hits.items()}
    centre = {image_id: each.centre for image_id, each in hits.items()}
    of_centre = [np.mean([each.max() >= iou for each in centre.values()]) for iou in IOUS]
    classes = _class_corloc(hits, ious)
    return Localisation(
        len(hits),
        _measures(
            hits, ious, predictions, float(largest.max()), float(np.mean([*shares.values()]))
        ),
        _measures(hits, centre, predictions, float(of_centre[HALF]), float(np.mean(of_centre))),
        {"0.5 largest": _best(largest), **thresholds},
        shares,
        classes,
        sum(image_id not in predictions for image_id in hits) if predictions is not None else 0,
    )


def _best(accuracy: np.ndarray) -> float:
    """The threshold of the highest accuracy; the middle one of several equally good ones."""
    best = np.flatnonzero(accuracy == accuracy.max())
    return round(float(THRESHOLDS[best[len(best) // 2]]), 4)


def _measures(
    hits: Mapping[str, Hits],
    ious: Mapping[str, np.ndarray],
    predictions: Mapping[str, list[str]] | None,
    max_box_acc: float,
    max_box_acc_v2: float,
) -> Measures:
    top = [
        None if predictions is None else _top(hits, ious, predictions, count) for count in (1, 5)
    ]
    return Measures(
        float(np.mean([each.max() >= 0.5 for each in ious.values()])),
        float(np.mean([each.max() > 0.5 for each in ious.values()])),
        float(np.mean([*_class_corloc(hits, ious).values()])),
        max_box_acc,
        max_box_acc_v2,
        *top,
    )


def _class_corloc(hits: Mapping[str, Hits], ious: Mapping[str, np.ndarray]) -> dict[str, float]:
    found: dict[str, list[bool]] = {}
    for image_id, each in hits.items():
        names = np.array(each.names)
        for name in sorted(set(each.names)):
            found.setdefault(name, []).append(bool((ious[image_id][names == name] > 0.5).any()))
    return {name: float(np.mean(each)) for name, each in sorted(found.items())}


def _top(
    hits: Mapping[str, Hits],
    ious: Mapping[str, np.ndarray],
    predictions: Mapping[str, list[str]],
    count: int,
) -> float:
    right = [
        any(
            iou >= 0.5 and name in predictions.get(image_id, [])[:count]
            for iou, name in zip(ious[image_id], each.names, strict=True)
        )
        for image_id, each in hits.items()
    ]
    return float(np.mean(right))
