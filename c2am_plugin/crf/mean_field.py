"""Mean field in numba, on the permutohedral lattice. Knows pixels and energies only."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..errors import InputError
from . import lattice
from .model import Model

__all__ = ["infer"]

# Pixels or grey levels 5 standard deviations apart share no vertex of the lattice: a smaller scale
# would change nothing, and its features would exceed the precision of float32.
_SMALLEST_SCALE = 1 / 8
_LARGEST_FEATURE = 2.0**17


def infer(image: np.ndarray, unary: np.ndarray, model: Model) -> np.ndarray:
    """Mean-field probabilities, L×HW float32, from energies L×HW float32.

    Works on the log-odds of each label against label 0. Only differences between labels matter, so
    L labels need L−1 filterings per step and kernel, and two labels need one.
    """
    height, width = image.shape[:2]
    position = _position_lattice(height, width, model.gaussian_sxy)
    place = _positions(height, width, model.bilateral_sxy)
    bilateral = lattice.build(np.concatenate([place, _colours(image, model.bilateral_srgb)]))
    kernels = ((position, model.gaussian_compat), (bilateral, model.bilateral_compat))
    start = unary[0] - unary[1:]
    odds = start
    for _ in range(model.iterations):
        lead = _lead(odds)
        odds = start.copy()
        for kernel, weight in kernels:
            for values, out in zip(lead, odds, strict=True):
                lattice.add_filtered(kernel, values, weight, out)
    return _softmax(odds)


def _lead(odds: np.ndarray) -> np.ndarray:
    """The probability of each other label minus that of label 0."""
    if len(odds) == 1:
        return np.tanh(odds / 2)
    probabilities = _softmax(odds)
    return probabilities[1:] - probabilities[0]


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
