"""The boxes of a map: its connected components above a threshold.

Knows arrays only. A box is x0 y0 x1 y1 in pixels, half-open: it covers the columns x0 … x1 − 1 and
the rows y0 … y1 − 1, so the box of a single pixel at the origin is 0 0 1 1. Pixels that touch at a
corner are connected (8 neighbours), as in PSOL and the WSOL evaluation of Choe et al., CVPR 2020.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

__all__ = ["Components", "centre_box", "find_components", "overlaps", "scale_boxes"]

NEIGHBOURS = np.ones((3, 3), bool)


class Components(NamedTuple):
    """The components of a mask, the largest first; among equally large ones the upper, then the
    left one.

    boxes   int64 [N, 4], x0 y0 x1 y1, half-open pixels of the map
    areas   int64 [N], pixels
    scores  float64 [N], the mean of the map over the component
    """

    boxes: np.ndarray
    areas: np.ndarray
    scores: np.ndarray


def find_components(values: np.ndarray, threshold: float) -> Components:
    """The components of `values > threshold`. values: float H×W, high = foreground."""
    labels, count = ndimage.label(values > threshold, NEIGHBOURS)
    if count == 0:
        return Components(np.zeros((0, 4), np.int64), np.zeros(0, np.int64), np.zeros(0))
    found = ndimage.find_objects(labels)
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in found], np.int64)
    areas = np.bincount(labels.ravel())[1:]
    sums = np.bincount(labels.ravel(), values.ravel())[1:]
    x0, y0, x1, y1 = boxes.T
    order = np.lexsort((x1, y1, x0, y0, -areas))
    return Components(boxes[order], areas[order], (sums / areas)[order])


def scale_boxes(boxes: np.ndarray, old: tuple[int, int], new: tuple[int, int]) -> np.ndarray:
    """Boxes int [N, 4] on a map of (width, height) `old` → int64 [N, 4] on an image of size `new`.

    Width and height are scaled separately. A box becomes the smallest box of whole pixels that
    covers the scaled one: it is never empty and never outside the image.
    """
    old_sizes, new_sizes = np.array([*old, *old]), np.array([*new, *new])
    scaled = boxes * new_sizes
    return np.concatenate(
        [scaled[:, :2] // old_sizes[:2], -(-scaled[:, 2:] // old_sizes[2:])], axis=1
    )


def centre_box(size: tuple[int, int]) -> np.ndarray:
    """The trivial guess: a centred box of half the width and height. size (width, height) →
    float64 [4]."""
    width, height = size
    return np.array([width / 4, height / 4, width * 3 / 4, height * 3 / 4])


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each pair: [N, 4] and [M, 4] → float64 [N, M] in [0, 1]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2, dtype=np.float64)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1, dtype=np.float64) for each in (boxes, others)]
    return common / (areas[0][:, None] + areas[1][None] - common)
