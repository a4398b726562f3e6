"""Mean field in numba, on the permutohedral lattice. Knows pixels and energies only."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..errors import InputError
from . import lattice
from .jit import jit
from .model import Model

__all__ = ["infer"]

# Pixels or grey levels 5 standard deviations apart share no vertex of the lattice: a smaller scale
# would change nothing, and its features would exceed the precision of float32.
_SMALLEST_SCALE = 1 / 8
_LARGEST_FEATURE = 2.0**17
_WIDTHS = (1, 2, 4, 8)  # labels that are filtered together; each width is compiled for itself
_BLOCK = 256
_LN_2 = float(np.log(2))
_NEAR_LN_2 = 355 / 512  # n times it is exact in float32


def infer(image: np.ndarray, unary: np.ndarray, model: Model) -> np.ndarray:
    """Mean-field probabilities, L×HW float32, from energies L×HW float32.

    Works on the log-odds of each label against label 0. Only differences between labels matter, so
    L labels need L−1 filterings per step and kernel, and two labels need one. The log-odds are in
    groups of labels, groups×HW×W: what is read and written together lies together.
    """
    height, width = image.shape[:2]
    position = _position_lattice(height, width, model.gaussian_sxy)
    place = _positions(height, width, model.bilateral_sxy)
    bilateral = lattice.build(np.concatenate([place, _colours(image, model.bilateral_srgb)]))
    start = _grouped(unary[0] - unary[1:])
    kernels = [
        (kernel, weight, lattice.scratch_for(kernel, start.shape[2]))
        for kernel, weight in (
            (position, model.gaussian_compat),
            (bilateral, model.bilateral_compat),
        )
    ]
    odds, lead = start.copy(), np.zeros_like(start)
    for _ in range(model.iterations):
        _lead(odds, len(unary), lead)
        np.copyto(odds, start)
        for kernel, weight, scratch in kernels:
            for values, out in zip(lead, odds, strict=True):
                lattice.add_filtered(kernel, values, weight, out, scratch)
    found = odds.transpose(0, 2, 1).reshape(-1, unary.shape[1])
    return _softmax(found[: len(unary) - 1])


def _grouped(odds: np.ndarray) -> np.ndarray:
    """L×HW as groups×HW×W; labels beyond L are 0."""
    width = next((each for each in _WIDTHS if each >= len(odds)), _WIDTHS[-1])
    groups = -(-len(odds) // width)
    padded = np.pad(odds, ((0, groups * width - len(odds)), (0, 0)))
    return padded.reshape(groups, width, odds.shape[1]).transpose(0, 2, 1).copy()


@jit
def _lead(odds, labels, out):  # type: ignore[no-untyped-def]
    """The probability of each other label minus that of label 0, which has odds 0."""
    width = odds.shape[2]
    scores = np.empty((labels, _BLOCK), np.float32)
    for start in range(0, odds.shape[1], _BLOCK):
        count = min(_BLOCK, odds.shape[1] - start)
        top = np.zeros(_BLOCK, np.float32)
        total = np.zeros(_BLOCK, np.float32)
        for label in range(labels - 1):
            for p in range(count):
                score = odds[label // width, start + p, label % width]
                scores[label + 1, p] = score
                top[p] = max(top[p], score)
        scores[0] = 0
        for label in range(labels):
            for p in range(count):
                scores[label, p] = _exp(scores[label, p] - top[p])
                total[p] += scores[label, p]
        for label in range(labels - 1):
            for p in range(count):
                lead = (scores[label + 1, p] - scores[0, p]) / total[p]
                out[label // width, start + p, label % width] = lead


@jit
def _exp(x):  # type: ignore[no-untyped-def]
    """exp(x) for x ≤ 0, float32, to 1e-7 of its value; 1e-38 for x < −87.

    2^n · exp(r) with |r| ≤ ln 2 / 2, and Taylor's series for exp(r). Unlike np.exp, it is compiled
    to vector instructions.
    """
    x = max(x, np.float32(-87))
    n = np.rint(x * np.float32(1 / _LN_2))
    r = (x - n * np.float32(_NEAR_LN_2)) - n * np.float32(_LN_2 - _NEAR_LN_2)
    y = np.float32(1)
    for degree in (7, 6, 5, 4, 3, 2, 1):
        y = np.float32(1) + y * r * np.float32(1 / degree)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return y * power


def _softmax(odds: np.ndarray) -> np.ndarray:
    scores = np.pad(odds, ((1, 0), (0, 0)))  # label 0 has odds 0
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores


@lru_cache(maxsize=16)  # image sizes repeat in a data set; a lattice takes 25 bytes per pixel
def _position_lattice(height: int, width: int, sxy: float) -> lattice.Lattice:
    return lattice.build(_positions(height, width, sxy))


def _positions(height: int, width: int, sxy: float) -> np.ndarray:
    """x and y of each pixel in standard deviations, 2×HW float32."""
    scale = np.float32(max(sxy, _SMALLEST_SCALE))
    if max(height, width) / scale > _LARGEST_FEATURE:
        raise InputError(
            f"the image of {height}×{width} pixels is too large for sxy {sxy}; take a larger sxy"
        )
    x = np.arange(width, dtype=np.float32) / scale
    y = np.arange(height, dtype=np.float32) / scale
    return np.stack([np.tile(x, height), np.repeat(y, width)])


def _colours(image: np.ndarray, srgb: float) -> np.ndarray:
    """R, G and B of each pixel in standard deviations, 3×HW float32."""
    scale = np.float32(max(srgb, _SMALLEST_SCALE))
    return image.reshape(-1, 3).T.astype(np.float32, order="C") / scale
