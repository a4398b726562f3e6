"""The components of a map above every threshold, from one pass over its pixels.

MaxBoxAcc needs a map's boxes at each of hundreds of thresholds. Labelling the map for each of them
would visit every pixel hundreds of times. Here pixels are added from the highest to the lowest, and
components only ever merge (union-find), so each pixel is visited once. Needs numba.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..crf.jit import jit

__all__ = ["THRESHOLDS", "Sweep", "sweep"]

# All thresholds that differ for an 8-bit map: a value v/255 is above k/255 if v > k.
THRESHOLDS = (np.arange(255) / 255).astype(np.float32)


class Sweep(NamedTuple):
    """The components of a map at each of T thresholds.

    largest  int64 [T, 4], the box of the largest component (see `components.Components` for
             ties), in pixels of the map; 0 0 0 0 if nothing is above the threshold
    areas    int64 [T], the pixels of that component
    best     float64 [T], the best overlap of any component's box with any ground truth box
    """

    largest: np.ndarray
    areas: np.ndarray
    best: np.ndarray


def sweep(
    values: np.ndarray,
    truth: np.ndarray,
    size: tuple[int, int],
    thresholds: np.ndarray = THRESHOLDS,
) -> Sweep:
    """The components of `values > t` for every t of the ascending `thresholds`.

    values: float32 H×W. truth: float64 [M, 4], boxes in pixels of the image. size: (width, height)
    of the image, to which the boxes of components are scaled as in `components.scale_boxes`.
    """
    # A pixel of level l is above the first l thresholds.
    levels = np.searchsorted(thresholds, values.ravel(), side="left")
    order = np.argsort(levels, kind="stable")
    starts = np.searchsorted(levels[order], np.arange(len(thresholds) + 2))
    return Sweep(*_sweep(order, starts, values.shape, truth, np.array(size)))


@jit
def _root(parent, pixel):  # type: ignore[no-untyped-def]
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]
        pixel = parent[pixel]
    return pixel


@jit
def _overlap(box, shape, truth, size):  # type: ignore[no-untyped-def]
    """The best overlap of one component's box, scaled to the image, with the ground truth."""
    height, width = shape
    x0, y0 = box[0] * size[0] // width, box[1] * size[1] // height
    x1, y1 = -(-box[2] * size[0] // width), -(-box[3] * size[1] // height)
    best = 0.0
    for tx0, ty0, tx1, ty1 in truth:
        w, h = min(x1, tx1) - max(x0, tx0), min(y1, ty1) - max(y0, ty0)
        if w > 0 and h > 0:
            union = (x1 - x0) * (y1 - y0) + (tx1 - tx0) * (ty1 - ty0) - w * h
            best = max(best, w * h / union)
    return best


@jit
def _precedes(area, box, other_area, other):  # type: ignore[no-untyped-def]
    """Whether a component precedes another one: larger, then upper, then left."""
    if area != other_area:
        return area > other_area
    for side in (1, 0, 3, 2):
        if box[side] != other[side]:
            return box[side] < other[side]
    return False


@jit
def _sweep(order, starts, shape, truth, size):  # type: ignore[no-untyped-def]
    height, width = shape
    count = len(starts) - 2
    parent = np.full(height * width, -1, np.int32)  # −1: not yet above any threshold
    area = np.zeros(height * width, np.int32)
    boxes = np.zeros((height * width, 4), np.int32)
    overlap = np.full(height * width, -1.0)  # −1: to be computed, as the component has grown
    alive = np.zeros(height * width, np.int32)
    n_alive = 0
    largest = np.zeros((count, 4), np.int64)
    areas = np.zeros(count, np.int64)
    best = np.zeros(count)
    for t in range(count - 1, -1, -1):
        joining = order[starts[t + 1] : starts[t + 2]]
        for pixel in joining:
            y, x = divmod(pixel, width)
            parent[pixel], area[pixel] = pixel, 1
            boxes[pixel] = (x, y, x + 1, y + 1)
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    if parent[v * width + u] < 0:
                        continue
                    one, two = _root(parent, pixel), _root(parent, v * width + u)
                    if one == two:
                        continue
                    if area[one] < area[two]:
                        one, two = two, one
                    parent[two] = one
                    area[one] += area[two]
                    boxes[one, 0] = min(boxes[one, 0], boxes[two, 0])
                    boxes[one, 1] = min(boxes[one, 1], boxes[two, 1])
                    boxes[one, 2] = max(boxes[one, 2], boxes[two, 2])
                    boxes[one, 3] = max(boxes[one, 3], boxes[two, 3])
                    overlap[one] = -1.0
        for pixel in joining:
            if parent[pixel] == pixel:
                alive[n_alive] = pixel
                n_alive += 1
        kept = 0
        for k in range(n_alive):
            root = alive[k]
            if parent[root] != root:
                continue
            alive[kept] = root
            kept += 1
            if overlap[root] < 0:
                overlap[root] = _overlap(boxes[root], shape, truth, size)
            best[t] = max(best[t], overlap[root])
            if _precedes(area[root], boxes[root], areas[t], largest[t]):
                largest[t], areas[t] = boxes[root], area[root]
        n_alive = kept
    return largest, areas, best
