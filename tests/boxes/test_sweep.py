"""One pass over all thresholds gives what a labelling at each threshold gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from c2am_plugin.boxes.components import find_components, overlaps, scale_boxes
from c2am_plugin.boxes.sweep import THRESHOLDS, sweep

TRUTH = np.array([[1, 2, 9.5, 8], [0, 0, 20, 5], [4, 4, 5, 5.0]])


def expected(values, size, threshold):
    """The same from a labelling of its own."""
    found = find_components(values, threshold)
    if not len(found.areas):
        return [0, 0, 0, 0], 0, 0.0
    scaled = scale_boxes(found.boxes, values.shape[::-1], size)
    return found.boxes[0].tolist(), found.areas[0], overlaps(scaled, TRUTH).max()


def check(values, size, thresholds=THRESHOLDS):
    found = sweep(values, TRUTH, size, thresholds)
    for index, threshold in enumerate(thresholds):
        box, area, best = expected(values, size, threshold)
        assert found.largest[index].tolist() == box
        assert found.areas[index] == area
        assert found.best[index] == pytest.approx(best, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [1, 4, 255, None])
@pytest.mark.parametrize("smooth", [False, True])
def test_random_maps(levels, smooth):
    """Few levels make many ties, single pixels many components."""
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 9), (13, 1), (17, 22)):
        values = rng.random(shape)
        if smooth:
            values = gaussian_filter(values, 1.5)
            values = (values - values.min()) / max(np.ptp(values), 1e-6)
        if levels:
            values = np.rint(values * levels) / levels
        values = values.astype(np.float32)
        check(values, shape[::-1])
        check(values, (shape[1] * 2 + 1, shape[0] * 3))


def test_constant_maps():
    for value in (0.0, 0.5, 1.0):
        check(np.full((6, 7), value, np.float32), (7, 6))


def test_8_bit_values_are_above_all_lower_ones():
    """Pixel v of 255 is in the mask of threshold k/255 exactly where v > k."""
    values = (np.arange(256) / 255).astype(np.float32)[None]
    found = sweep(values, TRUTH, (256, 1))
    assert found.areas.tolist() == [255 - k for k in range(255)]


def test_without_truth_there_is_no_overlap():
    found = sweep(np.ones((3, 3), np.float32), np.zeros((0, 4)), (3, 3))
    assert not found.best.any()
    assert (found.largest == [0, 0, 3, 3]).all()
