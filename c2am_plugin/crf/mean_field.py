"""Mean field in numba, on the permutohedral lattice. Knows pixels and energies only.

numba's cache does not see changes of rows.py, which is compiled into `_step`: delete __pycache__
after one.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from . import lattice
from .jit import jit, jit_fused
from .model import Model
from .rows import slice_row, splat_row

__all__ = ["infer", "is_compiled"]

# Pixels or grey levels 5 standard deviations apart share no vertex of the lattice: a smaller scale
# would change nothing, and its features would exceed the precision of float32.
_SMALLEST_SCALE = 1 / 8
_LARGEST_FEATURE = 2.0**17
_WIDTHS = (1, 2, 4, 8)  # labels that are filtered together; each width is compiled for itself
_BLOCK = 512
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
    together = next((each for each in _WIDTHS if each >= len(unary) - 1), _WIDTHS[-1])
    start = _grouped(unary, together)
    zeros = (0,) * together
    kernels = [
        _Kernel(made, np.float32(compat), *lattice.vertices_for(made, len(start), together))
        for made, compat in (
            (position, model.gaussian_compat),
            (bilateral, model.bilateral_compat),
        )
    ]
    for _ in range(model.iterations):
        _step(start, len(unary), *kernels, zeros)
        kernels = [_blurred(kernel, zeros) for kernel in kernels]
    return _probabilities(start, len(unary), *kernels, zeros)


def is_compiled() -> bool:
    """Whether the loops are compiled, in this process or in numba's cache by an earlier one."""
    if _step.signatures:
        return True
    folder = _step.stats.cache_path  # None without a cache
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    cached = Path(folder).glob(f"mean_field._step-*.{python}*.nbi") if folder else ()
    return any(entry.stat().st_mtime >= Path(__file__).stat().st_mtime for entry in cached)


class _Kernel(NamedTuple):
    """A kernel of the model during inference: compat · K is the weighted kernel.

    filtered, splatted  values of the lattice's vertices, groups×(M+1)×W float32: of the last step,
                        and those that the next step adds up, from 0
    """

    lattice: lattice.Lattice
    compat: np.float32
    filtered: np.ndarray
    splatted: np.ndarray


def _blurred(kernel: _Kernel, zeros: tuple[int, ...]) -> _Kernel:
    filtered, other = lattice.blur(kernel.lattice, kernel.splatted, kernel.filtered, zeros)
    other.fill(0)
    return kernel._replace(filtered=filtered, splatted=other)


@jit
def _grouped(unary, width):  # type: ignore[no-untyped-def]
    """Energies, L×HW → the log-odds against label 0, groups×HW×W; labels beyond L are 0."""
    labels, count = unary.shape
    grouped = np.zeros((-((1 - labels) // width), count, width), np.float32)
    for label in range(1, labels):
        column = grouped[(label - 1) // width, :, np.uint64((label - 1) % width)]
        for p in range(count):
            column[p] = unary[0, p] - unary[label, p]
    return grouped


@jit
def _step(start, labels, position, bilateral, zeros):  # type: ignore[no-untyped-def]
    """From the values filtered in the last step to those splatted for the next.

    A block of pixels passes through all stages while the processor's cache has it.
    """
    for first in range(0, start.shape[1], _BLOCK):
        odds = _odds(start, first, first + _BLOCK, position, bilateral, zeros)
        _lead(odds, labels)
        for group in range(len(odds)):
            _splat(position, bilateral, group, odds[group], first, zeros)


@jit
def _odds(start, first, end, position, bilateral, zeros):  # type: ignore[no-untyped-def]
    """The log-odds of the pixels from `first` to `end`: groups×(end−first)×W."""
    odds = start[:, first:end].copy()
    for group in range(len(odds)):
        _add_slice(position, bilateral, group, odds[group], first, zeros)
    return odds


@jit
def _splat(position, bilateral, group, values, first, zeros):  # type: ignore[no-untyped-def]
    """Both lattices in turn: one adds while the other waits for its sums of the last pixel."""
    near, alike = position.lattice, bilateral.lattice
    places, colours = position.splatted[group], bilateral.splatted[group]
    one, other = position.compat, bilateral.compat
    for p in range(len(values)):
        i, j = np.uint64(p), np.uint64(first + p)
        splat_row(places, near.corners, near.weights, j, one, values, i, zeros, near.zeros)
        splat_row(colours, alike.corners, alike.weights, j, other, values, i, zeros, alike.zeros)


@jit
def _add_slice(position, bilateral, group, odds, first, zeros):  # type: ignore[no-untyped-def]
    near, alike = position.lattice, bilateral.lattice
    places, colours = position.filtered[group], bilateral.filtered[group]
    for p in range(len(odds)):
        i, j = np.uint64(p), np.uint64(first + p)
        slice_row(odds, i, near.corners, near.weights, j, places, zeros, near.zeros)
        slice_row(odds, i, alike.corners, alike.weights, j, colours, zeros, alike.zeros)


@jit
def _lead(odds, labels):  # type: ignore[no-untyped-def]
    """Log-odds → the probability of each other label minus that of label 0, which has odds 0."""
    width = odds.shape[2]
    scores, share = _exponentials(odds, labels)
    for label in range(1, labels):
        for p in range(len(share)):
            scores[label, p] = (scores[label, p] - scores[0, p]) * share[p]
        column = odds[(label - 1) // width, :, np.uint64((label - 1) % width)]
        for p in range(len(share)):
            column[p] = scores[label, p]


@jit
def _probabilities(start, labels, position, bilateral, zeros):  # type: ignore[no-untyped-def]
    found = np.empty((labels, start.shape[1]), np.float32)
    for first in range(0, start.shape[1], _BLOCK):
        odds = _odds(start, first, first + _BLOCK, position, bilateral, zeros)
        scores, share = _exponentials(odds, labels)
        for label in range(labels):
            for p in range(len(share)):
                found[label, first + p] = scores[label, p] * share[p]
    return found


@jit
def _exponentials(odds, labels):  # type: ignore[no-untyped-def]
    """Log-odds → L×count, in proportion to the probabilities, and 1 / their sum.

    Label by label, as one value per vector lane.
    """
    count, width = odds.shape[1:]
    scores = np.zeros((labels, count), np.float32)
    top = np.zeros(count, np.float32)
    total = np.zeros(count, np.float32)
    for label in range(1, labels):
        column = odds[(label - 1) // width, :, np.uint64((label - 1) % width)]
        for p in range(count):
            scores[label, p] = column[p]
        for p in range(count):  # a maximum in two steps, which becomes vector instructions
            top[p] += max(scores[label, p] - top[p], np.float32(0))
    for label in range(labels):
        for p in range(count):
            scores[label, p] = _exp(scores[label, p] - top[p])
            total[p] += scores[label, p]
    for p in range(count):
        total[p] = np.float32(1) / total[p]
    return scores, total


@jit_fused
def _exp(x):  # type: ignore[no-untyped-def]
    """exp(x) for x ≤ 0, float32, to 1e-7 of its value; 1e-38 for x < −87.

    2^n · exp(r) with |r| ≤ ln 2 / 2, and Taylor's series for exp(r). Unlike np.exp, it is compiled
    to vector instructions.
    """
    x = max(x, np.float32(-87))
    n = np.rint(x * np.float32(1 / _LN_2))
    r = (x - n * np.float32(_NEAR_LN_2)) - n * np.float32(_LN_2 - _NEAR_LN_2)
    y = np.float32(1 / 5040)
    for factorial in (720, 120, 24, 6, 2, 1, 1):
        y = y * r + np.float32(1 / factorial)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return y * power


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
