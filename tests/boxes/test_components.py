"""Boxes of drawn masks: known boxes, ties, nothing, one pixel, borders."""

from __future__ import annotations

import numpy as np
import pytest

from c2am_plugin.boxes.components import centre_box, find_components, overlaps, scale_boxes


def draw(height, width, *rectangles):
    """float32 H×W, 1 inside the rectangles x0 y0 x1 y1."""
    values = np.zeros((height, width), np.float32)
    for x0, y0, x1, y1 in rectangles:
        values[y0:y1, x0:x1] = 1
    return values


def boxes_of(values, threshold=0.5):
    return find_components(values, threshold).boxes.tolist()


def test_a_rectangle_is_its_own_box():
    assert boxes_of(draw(20, 30, (3, 5, 11, 9))) == [[3, 5, 11, 9]]


def test_largest_first():
    found = find_components(draw(20, 30, (0, 0, 2, 2), (5, 5, 15, 15), (20, 3, 25, 7)), 0.5)
    assert found.boxes.tolist() == [[5, 5, 15, 15], [20, 3, 25, 7], [0, 0, 2, 2]]
    assert found.areas.tolist() == [100, 20, 4]


def test_it_is_pixels_that_count_not_the_box():
    """A long diagonal has the larger box and fewer pixels."""
    values = draw(20, 20, (0, 12, 5, 17))
    values[np.arange(1, 19), np.arange(1, 19)] = 1  # passes by the rectangle
    assert boxes_of(values) == [[0, 12, 5, 17], [1, 1, 19, 19]]


def test_corners_connect():
    values = np.zeros((6, 6), np.float32)
    values[1, 1] = values[2, 2] = values[3, 1] = 1
    assert boxes_of(values) == [[1, 1, 3, 4]]


@pytest.mark.parametrize("transpose", [False, True])
def test_of_equal_ones_the_upper_then_the_left(transpose):
    values = draw(20, 20, (12, 2, 15, 5), (2, 12, 5, 15), (12, 12, 15, 15), (2, 2, 5, 5))
    values = values.T if transpose else values
    assert [box[:2] for box in boxes_of(values)] == [[2, 2], [12, 2], [2, 12], [12, 12]]


def test_nothing_above_the_threshold():
    for values in (np.zeros((4, 5), np.float32), np.full((4, 5), 0.5, np.float32)):
        found = find_components(values, 0.5)
        assert found.boxes.shape == (0, 4)
        assert len(found.areas) == len(found.scores) == 0


def test_one_pixel():
    for x, y in ((0, 0), (29, 0), (0, 19), (29, 19), (7, 8)):
        assert boxes_of(draw(20, 30, (x, y, x + 1, y + 1))) == [[x, y, x + 1, y + 1]]


def test_the_whole_image():
    assert boxes_of(np.ones((20, 30), np.float32)) == [[0, 0, 30, 20]]


def test_a_hole_is_not_a_component():
    values = draw(20, 20, (2, 2, 18, 18))
    values[5:15, 5:15] = 0
    values[9, 9] = 1
    found = find_components(values, 0.5)
    assert found.boxes.tolist() == [[2, 2, 18, 18], [9, 9, 10, 10]]
    assert found.areas.tolist() == [156, 1]


def test_the_score_is_the_mean_inside():
    values = np.zeros((5, 5), np.float32)
    values[1, 1:3] = 0.6, 0.8
    np.testing.assert_allclose(find_components(values, 0.5).scores, [0.7], atol=1e-7)


@pytest.mark.parametrize(
    ("old", "new", "box", "expected"),
    [
        ((10, 10), (10, 10), (2, 3, 4, 5), (2, 3, 4, 5)),
        ((10, 10), (40, 20), (2, 3, 4, 5), (8, 6, 16, 10)),
        ((10, 10), (33, 7), (2, 3, 4, 5), (6, 2, 14, 4)),  # 6.6 2.1 13.2 3.5, outwards
        ((100, 100), (10, 10), (55, 55, 56, 56), (5, 5, 6, 6)),  # never empty
        ((7, 3), (100, 100), (0, 0, 7, 3), (0, 0, 100, 100)),  # never outside
        ((448, 448), (500, 375), (447, 0, 448, 448), (498, 0, 500, 375)),
    ],
)
def test_boxes_at_another_size(old, new, box, expected):
    assert scale_boxes(np.array([box]), old, new).tolist() == [list(expected)]


def test_no_boxes_at_another_size():
    assert scale_boxes(np.zeros((0, 4), np.int64), (3, 3), (9, 9)).shape == (0, 4)


def test_overlaps():
    one = np.array([[0, 0, 10, 10], [5, 5, 6, 6]])
    other = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [0, 0, 10, 20.0]])
    expected = [[1, 1 / 3, 0, 0.5], [0.01, 0.01, 0, 0.005]]
    np.testing.assert_allclose(overlaps(one, other), expected)


def test_the_centre_box_is_half_of_each_side():
    assert centre_box((40, 20)).tolist() == [10, 5, 30, 15]
    whole = np.array([[0, 0, 40, 20]])
    assert overlaps(centre_box((40, 20))[None], whole)[0, 0] == 0.25
