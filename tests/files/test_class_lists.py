"""Class lists by name, and the message for a class that a list does not have."""

from __future__ import annotations

import numpy as np
import pytest

from c2am_plugin.bench.metrics import confusion, score_histogram
from c2am_plugin.errors import InputError
from c2am_plugin.files.class_lists import COCO_CLASSES, COCO_IDS, UNUSED, class_names
from c2am_plugin.files.labels import VOC_CLASSES


def test_coco_has_80_classes_and_90_ids():
    assert (len(COCO_CLASSES), len(set(COCO_CLASSES))) == (81, 81)
    assert (len(COCO_IDS), COCO_IDS.count(UNUSED)) == (91, 10)
    assert [name for name in COCO_IDS if name != UNUSED] == list(COCO_CLASSES)


@pytest.mark.parametrize(
    ("name", "index", "coco_id"),
    [("person", 1, 1), ("stop sign", 12, 13), ("toilet", 62, 70), ("toothbrush", 80, 90)],
)
def test_the_two_numberings_differ_from_the_12th_class_on(name, index, coco_id):
    assert (COCO_CLASSES.index(name), COCO_IDS.index(name)) == (index, coco_id)


def test_lists_by_name_and_own_ones(tmp_path):
    assert class_names("voc") == class_names(None) == VOC_CLASSES
    assert (class_names("coco"), class_names("coco91")) == (COCO_CLASSES, COCO_IDS)
    (tmp_path / "names.txt").write_text("background\ncat\n")
    assert class_names(tmp_path / "names.txt") == ("background", "cat")


def test_a_class_outside_the_list_is_named():
    """A CAM of COCO's id 90 (toothbrush, stored as 89) against the list of 80."""
    maps, truth = np.ones((1, 2, 2), np.float32), np.zeros((2, 2), np.uint8)
    with pytest.raises(InputError, match="class 89 is outside the 81 classes"):
        score_histogram(maps, np.array([89]), truth, np.array([0.5]), 81)
    score_histogram(maps, np.array([89]), truth, np.array([0.5]), 91)
    with pytest.raises(InputError, match="label 90 is outside the 81"):
        confusion(np.full((2, 2), 90, np.uint8), truth, 81)
    with pytest.raises(InputError, match="ground truth contains class 85, outside the 21"):
        confusion(truth, np.full((2, 2), 85, np.uint8), 21)
