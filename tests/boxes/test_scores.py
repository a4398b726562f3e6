"""GT-known, CorLoc, MaxBoxAcc, MaxBoxAccV2, top-1 and top-5, against numbers worked out by hand and
against a plain transcription of their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from c2am_plugin.boxes.components import find_components, overlaps
from c2am_plugin.boxes.scores import IOUS, count_hits, localisation
from c2am_plugin.boxes.sweep import THRESHOLDS
from c2am_plugin.boxes.truths import Truth

SIZE = (40, 20)


def drawn(*rectangles):
    """float32 20×40; (value, x0, y0, x1, y1), later ones on top."""
    values = np.zeros((20, 40), np.float32)
    for value, x0, y0, x1, y1 in rectangles:
        values[y0:y1, x0:x1] = value
    return values


def truth(*boxes, names=None):
    return Truth(np.array(boxes, np.float64), names or ("",) * len(boxes))


def hits_of(values, objects, threshold=0.5):
    return count_hits(values, find_components(values, threshold).boxes, SIZE, objects)


def test_a_perfect_box():
    found = localisation({"a": hits_of(drawn((1, 3, 4, 13, 14)), truth((3, 4, 13, 14)))})
    own = found.boxes
    assert (own.gt_known, own.corloc, own.max_box_acc, own.max_box_acc_v2) == (1, 1, 1, 1)
    assert (own.top1, own.top5) == (None, None)
    # 100 pixels and the centre's 200 from (10, 5): 3×9 of them in common.
    assert found.centre.gt_known == found.centre.max_box_acc_v2 == 0


def test_half_an_overlap_is_enough_for_gt_known_and_not_for_corloc():
    found = localisation({"a": hits_of(drawn((1, 0, 0, 10, 10)), truth((0, 0, 10, 20)))})
    assert found.boxes.gt_known == 1
    assert found.boxes.corloc == 0
    assert found.boxes.corloc_by_class == 0


def test_no_box_is_a_miss():
    empty = hits_of(drawn(), truth((0, 0, 10, 10)))
    assert empty.box.tolist() == [0]
    full = hits_of(drawn((1, 0, 0, 10, 10)), truth((0, 0, 10, 10)))
    found = localisation({"a": empty, "b": full})
    assert found.boxes.gt_known == found.boxes.max_box_acc_v2 == 0.5


def test_the_centre_box_beside():
    """The centre of 40×20 is 10 5 30 15; against the whole image its IoU is 1/4."""
    hits = {
        "same": hits_of(drawn(), truth((10, 5, 30, 15))),
        "whole": hits_of(drawn(), truth((0, 0, 40, 20))),
        "third": hits_of(drawn(), truth((10, 5, 30, 18))),  # 20/26
        "part": hits_of(drawn(), truth((10, 5, 30, 9))),  # 4/10
    }
    centre = localisation(hits).centre
    assert centre.gt_known == centre.max_box_acc == 0.5
    np.testing.assert_allclose(centre.max_box_acc_v2, (3 / 4 + 2 / 4 + 2 / 4) / 3)


def test_the_threshold_that_suits_best():
    """Two images: one is right above 0.2 and up to 0.6, the other above 0.4 and up to 0.8."""
    hits = {
        "a": hits_of(drawn((0.2, 0, 0, 40, 20), (0.6, 0, 0, 10, 10)), truth((0, 0, 10, 10)), 0.7),
        "b": hits_of(drawn((0.4, 0, 0, 40, 20), (0.8, 5, 5, 15, 15)), truth((5, 5, 15, 15)), 0.7),
    }
    found = localisation(hits)
    assert found.boxes.gt_known == 0.5
    assert found.boxes.max_box_acc == 1
    assert 0.4 <= found.thresholds["0.5 largest"] < 0.6
    assert found.boxes.max_box_acc_v2 == 1


def test_any_component_counts_in_the_second_version():
    """The object is the smaller component: MaxBoxAcc never finds it, MaxBoxAccV2 does."""
    values = drawn((1, 0, 0, 20, 20), (1, 30, 5, 35, 10))
    found = localisation({"a": hits_of(values, truth((30, 5, 35, 10)))})
    assert found.boxes.gt_known == found.boxes.max_box_acc == 0
    assert found.boxes.max_box_acc_v2 == 1


def test_each_overlap_has_its_own_threshold():
    """Loose boxes at a low threshold, tight ones at a high one: 0.3 and 0.5 are met at any."""
    values = drawn((0.3, 0, 0, 12, 10), (0.9, 0, 0, 10, 6))  # IoU 0.83 and 0.6
    found = localisation({"a": hits_of(values, truth((0, 0, 10, 10)))})
    assert found.shares == {"0.3": 1, "0.5": 1, "0.7": 1}
    assert found.thresholds["0.7"] < 0.3
    found = localisation({"a": hits_of(np.where(values > 0.5, values, 0), truth((0, 0, 10, 10)))})
    assert found.shares == {"0.3": 1, "0.5": 1, "0.7": 0}


def test_corloc_by_class_is_the_mean_over_classes():
    """The dog is hit in one of its two images, the cat in none, though it stands in both."""
    one = truth((0, 0, 10, 10), (20, 0, 40, 20), names=("dog", "cat"))
    two = truth((0, 0, 30, 20), (20, 10, 40, 20), names=("dog", "cat"))
    hits = {
        name: hits_of(drawn((1, 0, 0, 10, 10)), each)
        for name, each in zip("ab", (one, two), strict=True)
    }
    found = localisation(hits)
    assert found.boxes.corloc == 0.5
    assert found.classes == {"cat": 0, "dog": 0.5}
    assert found.boxes.corloc_by_class == 0.25


def test_two_objects_of_a_class_are_one_image_of_it():
    both = truth((0, 0, 10, 10), (20, 0, 40, 20), names=("dog", "dog"))
    assert localisation({"a": hits_of(drawn((1, 0, 0, 10, 10)), both)}).classes == {"dog": 1}


def test_top_1_and_top_5_need_the_class_of_the_object_that_is_hit():
    objects = truth((0, 0, 10, 10), (20, 0, 40, 20), names=("dog", "cat"))
    hit, miss = drawn((1, 0, 0, 10, 10)), drawn((1, 12, 12, 18, 18))
    predictions = {
        "first": ["dog"],
        "fifth": ["a", "b", "c", "d", "dog"],
        "sixth": ["a", "b", "c", "d", "e", "dog"],
        "other": ["cat", "a"],  # it is there, but another object is hit
        "missed": ["dog"],
    }
    images = {name: miss if name == "missed" else hit for name in (*predictions, "unpredicted")}
    found = localisation(
        {name: hits_of(values, objects) for name, values in images.items()}, predictions
    )
    assert found.boxes.gt_known == 5 / 6
    assert found.boxes.top1 == 1 / 6
    assert found.boxes.top5 == 2 / 6
    assert found.centre.top1 == 0
    assert found.unpredicted == 1


def test_against_the_definitions_at_every_threshold():
    """MaxBoxAcc and MaxBoxAccV2 of random maps, each image labelled anew at each threshold."""
    rng = np.random.default_rng(5)
    hits, largest, best = {}, [], []
    for index in range(6):
        values = gaussian_filter(rng.random((20, 40)), 2.5)
        values = ((values - values.min()) / np.ptp(values)).astype(np.float32)
        corners = np.sort(rng.integers(0, (20, 20), (2, 2)), axis=0) * (2, 1)
        objects = truth((*corners[0], *(corners[1] + 4)), (0, 0, 25, 12))
        hits[str(index)] = hits_of(values, objects)
        rows = [overlaps(find_components(values, t).boxes, objects.boxes) for t in THRESHOLDS]
        largest.append([row[0].max() if len(row) else 0 for row in rows])
        best.append([row.max() if len(row) else 0 for row in rows])
    found = localisation(hits).boxes
    assert 0 < found.max_box_acc < 1
    assert found.max_box_acc == (np.array(largest) >= 0.5).mean(axis=0).max()
    shares = [(np.array(best) >= iou).mean(axis=0).max() for iou in IOUS]
    assert found.max_box_acc_v2 == pytest.approx(np.mean(shares))
