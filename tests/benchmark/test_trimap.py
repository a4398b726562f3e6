"""The band along outlines, against a search of every pair of pixels."""

from __future__ import annotations

import numpy as np
import pytest

from c2am_plugin.bench.trimap import boundary_band


def brute_force(truth, width):
    """Keep a pixel nearer than `width` to one that has a neighbour of another class."""
    height, length = truth.shape
    outline = []
    for y, x in np.ndindex(truth.shape):
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            if 0 <= y + dy < height and 0 <= x + dx < length:
                outline += [(y, x)] * int(truth[y, x] != truth[y + dy, x + dx])
    band = np.full_like(truth, 255)
    for y, x in np.ndindex(truth.shape):
        if any((y - v) ** 2 + (x - u) ** 2 < width**2 for v, u in outline):
            band[y, x] = truth[y, x]
    return band


@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_against_all_pairs(width, seed):
    blocks = np.random.default_rng(seed).choice([0, 0, 1, 7], (4, 5)).astype(np.uint8)
    truth = blocks.repeat(6, axis=0).repeat(5, axis=1)
    np.testing.assert_array_equal(boundary_band(truth, width), brute_force(truth, width))


def test_the_outline_lies_in_the_middle_of_an_ignored_strip():
    truth = np.zeros((3, 20), np.uint8)
    truth[:, 8:12] = 255
    truth[:, 12:] = 3
    band = boundary_band(truth, 4)
    expected = np.full_like(truth, 255)
    expected[:, 6:8], expected[:, 12:14] = 0, 3
    np.testing.assert_array_equal(band, expected)


def test_without_an_outline_nothing_is_left():
    for value in (0, 5, 255):
        truth = np.full((6, 7), value, np.uint8)
        assert (boundary_band(truth, 3) == 255).all()


def test_the_truth_is_left_alone():
    truth = np.zeros((6, 8), np.uint8)
    truth[:, 4:] = 2
    kept = truth.copy()
    boundary_band(truth, 2)
    np.testing.assert_array_equal(truth, kept)
