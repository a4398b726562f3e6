"""Gaussian filtering of many points in few dimensions, on the permutohedral lattice.

A. Adams, J. Baek, M. A. Davis: Fast High-Dimensional Filtering Using the Permutohedral Lattice,
Eurographics 2010. Each point spreads its value over the d+1 vertices of the simplex around it
(splat), the vertices exchange values along the lattice's d+1 axes (blur), and each point reads the
result back (slice). With unit-variance features, that approximates K_ij = exp(-|f_i - f_j|^2 / 2).

Knows points and values; knows nothing of images, labels or random fields. Needs numba.

Two choices make it fast. A vertex's coordinates are packed linearly into one integer, so that a
step along an axis is one addition. The loops run over blocks of points, with the short loop over
dimensions outside, so that the compiler can use vector instructions.
"""

from __future__ import annotations

from itertools import accumulate
from operator import mul
from typing import NamedTuple

import numpy as np

from .jit import jit
from .rows import blur_row, slice_row, splat_row

__all__ = ["Lattice", "add_filtered", "blur", "build", "vertices_for"]

_BLOCK = 256
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: multiplicative hashing
_RANDOM_STRIDES = np.random.default_rng(0).integers(2**62, 2**63 - 1, 8) | 1


class Lattice(NamedTuple):
    """The lattice of N points in d dimensions, with M vertices numbered from 1.

    Number 0 stands for a missing vertex; its value stays 0.
    """

    corners: np.ndarray  # N×(d+1) int32: the vertices around each point
    weights: np.ndarray  # N×(d+1) float32: the point's share in each of them
    neighbours: np.ndarray  # (d+1)×2×(M+1) int32: one step along each axis, back and forth
    zeros: tuple[int, ...]  # d+1 of them: the length is part of the type, known to the compiler


def build(features: np.ndarray) -> Lattice:
    """Build the lattice of N points, with the kernel normalised symmetrically.

    features: d×N float32, C-contiguous, in standard deviations, from 0 to 2^17. Beyond that,
        float32 does not resolve the cells of the lattice.
    """
    d, count = features.shape
    scale = np.sqrt(2 / 3) * (d + 1) / np.sqrt(np.arange(1, d + 1) * np.arange(2, d + 2))
    strides = _strides(features.max(axis=1).astype(np.float64) * scale)
    steps = (d + 1) * np.append(strides, 0) - strides.sum()
    corners, weights, keys, slots = _index(features, scale.astype(np.float32), strides, steps)
    lattice = Lattice(corners, weights, _neighbours(keys, slots, steps), (0,) * (d + 1))

    total = np.zeros((count, 1), np.float32)
    add_filtered(lattice, np.ones_like(total), 1.0, total)
    _divide(weights, np.sqrt(total[:, 0]))
    return lattice


def add_filtered(lattice: Lattice, values: np.ndarray, scale: float, out: np.ndarray) -> None:
    """Add scale · K · values to `out`, both N×W float32, C-contiguous; K is the lattice's kernel.

    Each W is compiled separately.
    """
    vertices, other = vertices_for(lattice, 1, values.shape[1])
    width = (0,) * values.shape[1]
    _splat(lattice, np.float32(scale), values, vertices[0], width)
    (blurred,), _ = blur(lattice, vertices, other, width)
    _add_slice(lattice, blurred, out, width)


def vertices_for(lattice: Lattice, groups: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of zeros for the vertices' values, groups×(M+1)×width float32."""
    shape = groups, lattice.neighbours.shape[2], width
    return np.zeros(shape, np.float32), np.zeros(shape, np.float32)


def _strides(reach: np.ndarray) -> np.ndarray:
    """The d numbers whose weighted sum packs a vertex's first d coordinates into an int64.

    reach: float64 [d], the largest scaled feature of each dimension. If 63 bits are too few for an
    exact packing, the numbers are random: the probability that any two of a million vertices share
    a key is then about 1e-7. This needs features far larger than those of any image.
    """
    below = np.append(0, reach[:-1]) * np.arange(len(reach))
    above = reach[::-1].cumsum()[::-1]
    margin = 6 * (len(reach) + 1)  # to the simplex's other vertices and their neighbours
    spans = [int(span) + margin for span in below + above]
    *strides, total = accumulate(spans, mul, initial=1)
    return _RANDOM_STRIDES[: len(reach)] if total >= 2**63 else np.array(strides, np.int64)


@jit
def _elevate(features, scale, start, count):  # type: ignore[no-untyped-def]
    """Embed `count` points from `start` in the hyperplane of d+1 coordinates that sum to 0."""
    d = len(features)
    elevated = np.zeros((d + 1, count), np.float32)
    for i in range(d, 0, -1):
        for p in range(count):
            feature = features[i - 1, start + p] * scale[i - 1]
            elevated[i, p] = elevated[0, p] - np.float32(i) * feature
            elevated[0, p] += feature
    return elevated


@jit
def _enclose(elevated):  # type: ignore[no-untyped-def]
    """Find each point's simplex: its vertex of remainder 0, and the rank of each coordinate.

    `elevated` becomes the offset from that vertex.
    """
    corners, count = elevated.shape
    origin = np.empty((corners, count), np.int32)
    rank = np.zeros((corners, count), np.int32)
    excess = np.zeros(count, np.int32)
    for i in range(corners):
        for p in range(count):
            nearest = np.rint(elevated[i, p] / np.float32(corners))
            elevated[i, p] -= nearest * np.float32(corners)
            origin[i, p] = np.int32(nearest) * np.int32(corners)
            excess[p] += np.int32(nearest)
    for i in range(corners):
        for j in range(i + 1, corners):
            for p in range(count):
                below = np.int32(elevated[i, p] < elevated[j, p])
                rank[i, p] += below
                rank[j, p] += np.int32(1) - below
    # Rounding may leave the hyperplane; move back the coordinates that were rounded furthest.
    for i in range(corners):
        for p in range(count):
            shifted = rank[i, p] + excess[p]
            wrap = np.int32(corners) * (np.int32(shifted < 0) - np.int32(shifted >= corners))
            rank[i, p] = shifted + wrap
            origin[i, p] += wrap
            elevated[i, p] -= np.float32(wrap)
    return origin, rank


@jit
def _locate(features, scale, strides, steps, start, count):  # type: ignore[no-untyped-def]
    """The keys and barycentric weights, (d+1)×count, of the vertices around each point."""
    offset = _elevate(features, scale, start, count)
    origin, rank = _enclose(offset)
    corners = len(offset)
    ordered = np.empty((corners, count), np.float32)
    axis = np.empty((corners, count), np.int32)
    for i in range(corners):
        for p in range(count):
            place = np.int32(corners - 1) - rank[i, p]
            ordered[place, p] = offset[i, p] / np.float32(corners)
            axis[place, p] = i

    keys = np.zeros((corners, count), np.int64)
    weights = np.empty((corners, count), np.float32)
    for i in range(corners - 1):
        for p in range(count):
            keys[0, p] += origin[i, p] * strides[i]
    for p in range(count):
        weights[0, p] = np.float32(1) + ordered[0, p] - ordered[corners - 1, p]
    # The vertices of a simplex form a path with one step along each axis, in order of rank.
    for r in range(1, corners):
        for p in range(count):
            keys[r, p] = keys[r - 1, p] - steps[axis[r - 1, p]]
            weights[r, p] = ordered[r, p] - ordered[r - 1, p]
    return keys, weights


@jit
def _first_slot(slots, key):  # type: ignore[no-untyped-def]
    spread = np.uint64(key) * _SPREAD
    return (spread ^ (spread >> np.uint64(32))) & np.uint64(len(slots) - 1)


@jit
def _find(slots, keys, key):  # type: ignore[no-untyped-def]
    """The slot of `key`, or the empty slot for it: open addressing, linear probing."""
    slot = _first_slot(slots, key)
    while slots[slot] != 0 and keys[slots[slot]] != key:
        slot = (slot + np.uint64(1)) & np.uint64(len(slots) - 1)
    return slot


@jit
def _glance(slots, keys, key):  # type: ignore[no-untyped-def]
    """The vertex in the first slot of `key`, and the same if its key is `key`; 0 for none.

    No branch, as the processor could not predict it.
    """
    vertex = np.uint32(slots[_first_slot(slots, key)])
    return vertex, vertex * np.uint32(keys[vertex] == key)


@jit
def _grown(slots, keys, used):  # type: ignore[no-untyped-def]
    larger = np.zeros(4 * len(slots), np.int32)
    for vertex in range(1, used + 1):
        larger[_find(larger, keys, keys[vertex])] = vertex
    return larger


@jit
def _index(features, scale, strides, steps):  # type: ignore[no-untyped-def]
    """Number the vertices in the order in which the points use them.

    Returns corners, weights, keys int64 [M+1] by vertex, and the hash table, whose slots contain
    the number of a vertex or 0.
    """
    d, total = features.shape
    corners = np.empty((total, d + 1), np.int32)
    weights = np.empty((total, d + 1), np.float32)
    keys = np.empty(total * (d + 1) + 1, np.int64)
    keys[0] = 0
    size = 64
    while size < 2 * total:
        size *= 2
    slots = np.zeros(size, np.int32)
    used = 0
    for start in range(0, total, _BLOCK):
        count = min(_BLOCK, total - start)
        block_keys, block_weights = _locate(features, scale, strides, steps, start, count)
        if 2 * (used + block_keys.size) > len(slots):
            slots = _grown(slots, keys, used)
        for p in range(count):
            for r in range(d + 1):
                key = block_keys[r, p]
                _, vertex = _glance(slots, keys, key)
                if vertex == 0:
                    slot = _find(slots, keys, key)
                    if slots[slot] == 0:
                        used += 1
                        keys[used] = key
                        slots[slot] = used
                    vertex = np.uint32(slots[slot])
                corners[start + p, r] = vertex
                weights[start + p, r] = block_weights[r, p]
    return corners, weights, keys[: used + 1].copy(), slots


@jit
def _divide(weights, norm):  # type: ignore[no-untyped-def]
    for p in range(len(norm)):
        for r in range(weights.shape[1]):
            weights[p, r] /= norm[p]


@jit
def _neighbours(keys, slots, steps):  # type: ignore[no-untyped-def]
    neighbours = np.zeros((len(steps), 2, len(keys)), np.int32)
    for axis in range(len(steps)):
        back, forth = neighbours[axis]
        for vertex in range(1, len(keys)):
            key = keys[vertex] + steps[axis]
            first, other = _glance(slots, keys, key)
            if first != other:
                other = np.uint32(slots[_find(slots, keys, key)])
            back[vertex] = other
            forth[other] = vertex
        forth[0] = 0
    return neighbours


# Below, unsigned indices avoid numba's check for negative ones, and `width` is a tuple of W zeros.


@jit
def _splat(lattice, scale, values, vertices, width):  # type: ignore[no-untyped-def]
    """Spread scale · values over the vertices around the points."""
    corners, weights = lattice.corners, lattice.weights
    for p in range(len(values)):
        i = np.uint64(p)
        splat_row(vertices, corners, weights, i, scale, values, i, width, lattice.zeros)


@jit
def blur(lattice, before, after, width):  # type: ignore[no-untyped-def]
    """Let the vertices exchange values along each axis: groups×(M+1)×W, to and fro.

    Returns the two arrays, that of the result first.
    """
    for axis in range(len(lattice.zeros)):
        back, forth = lattice.neighbours[axis]
        for group in range(len(before)):
            rows, blurred = before[group], after[group]
            for v in range(len(rows)):
                one, other = np.uint32(back[v]), np.uint32(forth[v])
                blur_row(blurred, np.uint64(v), rows, one, other, width)
        before, after = after, before
    return before, after


@jit
def _add_slice(lattice, vertices, out, width):  # type: ignore[no-untyped-def]
    """Add to `out` the values of the vertices around each point."""
    for p in range(len(out)):
        i = np.uint64(p)
        slice_row(out, i, lattice.corners, lattice.weights, i, vertices, width, lattice.zeros)
