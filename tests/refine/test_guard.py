"""The guard: which cues it distrusts, that it only ever moves a cue towards t, what it is worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from c2am_plugin.bench.metrics import confusion, scores
from c2am_plugin.errors import InputError
from c2am_plugin.files.cues import read_cue, resize_cue, write_cue
from c2am_plugin.files.labels import VOC_CLASSES, pseudo_label, read_label
from c2am_plugin.refine.formula import refine
from c2am_plugin.refine.guard import CONFIDENT, class_trust, guard_cue
from c2am_plugin.refine.run import refine_cams

T = 0.2


@st.composite
def maps_and_cue(draw):
    unit = st.floats(0, 1, width=32)
    classes = draw(st.integers(1, 3))
    maps = draw(hnp.arrays(np.float32, (classes, 4, 5), elements=unit))
    return maps, draw(hnp.arrays(np.float32, (4, 5), elements=unit))


def two_halves():
    """Class 0 sure of the left half, class 1 of the right half; both 0.1 elsewhere."""
    maps = np.full((2, 10, 20), 0.1, np.float32)
    maps[0, :, :10] = 0.8
    maps[1, :, 10:] = 0.7
    return maps


def test_a_cue_that_agrees_is_left_as_it_is():
    maps = two_halves()
    cue = np.zeros((10, 20), np.float32)
    assert guard_cue(maps, cue, T) is cue


def test_a_cue_that_erases_everything_leaves_exactly_the_cam():
    maps = two_halves()
    cue = guard_cue(maps, np.ones((10, 20), np.float32), T)
    np.testing.assert_array_equal(refine(maps, cue, T), maps)


def test_only_the_class_that_would_be_erased_is_guarded():
    maps = two_halves()
    cue = np.zeros((10, 20), np.float32)
    cue[:, :10] = 1
    cue[:, 18:] = 1
    refined = refine(maps, guard_cue(maps, cue, T), T)
    np.testing.assert_array_equal(refined[..., :10], maps[..., :10])
    np.testing.assert_array_equal(refined[..., 10:], refine(maps, cue, T)[..., 10:])


@pytest.mark.parametrize(("kept", "trust"), [(0, 0), (2, 0.5), (4, 1), (7, 1), (10, 1)])
def test_trust_rises_with_the_share_that_is_kept(kept, trust):
    maps = two_halves()
    cue = np.zeros((10, 20), np.float32)
    cue[kept:, :10] = 1
    np.testing.assert_allclose(class_trust(maps, cue), [trust, 1])


def test_without_confident_area_nothing_speaks_against_the_cue():
    maps = np.full((1, 4, 4), np.nextafter(np.float32(CONFIDENT), np.float32(0)))
    assert class_trust(maps, np.ones((4, 4), np.float32)) == [1]


@pytest.mark.slow
@given(maps_and_cue(), st.sampled_from([0.05, 0.15, 0.2, 0.26, 0.5, 0.9]))
@settings(max_examples=200, deadline=None)
def test_the_cue_moves_towards_t_and_never_beyond(drawn, t):
    maps, cue = drawn
    guarded = guard_cue(maps, cue, t)
    slack = 1e-6
    assert guarded.dtype == np.float32
    assert np.all((guarded >= 0) & (guarded <= 1))
    assert np.all(guarded >= np.minimum(cue, t) - slack)
    assert np.all(guarded <= np.maximum(cue, t) + slack)
    full = (class_trust(maps, cue) == 1)[maps.argmax(axis=0)]
    np.testing.assert_array_equal(guarded[full], cue[full])


def test_a_cue_of_another_size_and_an_image_without_a_class():
    maps = two_halves()
    small = np.ones((5, 10), np.float32)
    np.testing.assert_allclose(guard_cue(maps, small, T), np.full((10, 20), T), atol=1e-6)
    assert guard_cue(maps[:0], small, T) is small
    with pytest.raises(InputError, match="so different images"):
        guard_cue(maps, np.ones((10, 10), np.float32), T)
    with pytest.raises(InputError, match="background_score"):
        guard_cue(maps, small, 1.0)


@pytest.mark.slow
def test_on_real_cues_it_gains_and_the_worst_class_loses_less(coco_voc):
    totals = dict.fromkeys(("cam", "cues", "guard"), 0)
    for image_id in (coco_voc / "ids.txt").read_text().split():
        with np.load(coco_voc / "cams" / f"{image_id}.npz") as stored:
            class_ids, maps = stored["keys"], stored["cam"].astype(np.float32)
        truth = read_label(coco_voc / "SegmentationClass" / f"{image_id}.png")
        cue = resize_cue(read_cue(coco_voc / "cues_crf" / f"{image_id}.png"), truth.shape)
        variants = {
            "cam": maps,
            "cues": refine(maps, cue, T),
            "guard": refine(maps, guard_cue(maps, cue, T), T),
        }
        for name, values in variants.items():
            label = pseudo_label(values, class_ids, T)
            totals[name] = totals[name] + confusion(label, truth, len(VOC_CLASSES))
    found = {name: scores(matrix) for name, matrix in totals.items()}
    assert found["guard"].miou > found["cues"].miou + 0.01
    worst = {name: np.nanmin(found[name].iou - found["cam"].iou) for name in ("cues", "guard")}
    assert worst["cues"] < -0.25
    assert worst["guard"] > -0.10


def test_refine_takes_the_guard(tmp_path):
    maps = two_halves()
    (tmp_path / "cams").mkdir()
    np.save(tmp_path / "cams" / "a.npy", {0: maps[0], 1: maps[1]}, allow_pickle=True)
    cue = np.zeros((10, 20), bool)
    cue[:, 12:] = True
    write_cue(tmp_path / "cues" / "a.png", cue)
    for guard in (False, True):
        refine_cams(
            tmp_path / "cams",
            tmp_path / "cues",
            tmp_path / f"out{guard}",
            method="psa",
            guard=guard,
            progress=False,
        )
    plain, guarded = (
        np.load(tmp_path / f"out{guard}" / "a.npy", allow_pickle=True).item()
        for guard in (False, True)
    )
    assert plain[0][:, :10].max() == 0
    np.testing.assert_array_equal(guarded[0][:, :10], maps[0][:, :10])
    np.testing.assert_array_equal(guarded[1][:, 12:], plain[1][:, 12:])
