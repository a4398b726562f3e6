"""Confusion matrices and scores, against counting pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2am_plugin.bench.metrics import confusion, cumulate, score_histogram, scores
from c2am_plugin.errors import InputError
from c2am_plugin.files.labels import pseudo_label

THRESHOLDS = np.round(np.arange(1, 61) / 100, 2)


def naive_confusion(prediction, truth, n_classes):
    matrix = np.zeros((n_classes, n_classes), np.int64)
    for true, predicted in zip(truth.ravel(), prediction.ravel(), strict=True):
        if true != 255:
            matrix[true, predicted] += 1
    return matrix


def image(rng, n_classes, classes, shape=(9, 11), dtype=np.float32):
    """(maps, class_ids, truth) with ties at thresholds and 255 in the truth."""
    maps = (rng.integers(0, 101, (classes, *shape)) / 100).astype(dtype)
    class_ids = rng.choice(n_classes - 1, classes, replace=False)
    truth = rng.integers(0, n_classes, shape).astype(np.uint8)
    truth[rng.random(shape) < 0.2] = 255
    return maps, class_ids, truth


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([2, 3, 21, 81]),
    st.integers(0, 4),
    st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_one_pass_is_a_pass_per_threshold(seed, n_classes, classes, dtype):
    rng = np.random.default_rng(seed)
    images = [image(rng, n_classes, min(classes, n_classes - 1), dtype=dtype) for _ in range(2)]
    thresholds = np.sort(rng.choice(np.arange(1, 100) / 100, rng.integers(1, 8), replace=False))
    total = sum(
        score_histogram(maps, ids, truth, thresholds, n_classes) for maps, ids, truth in images
    )
    matrices = cumulate(total)
    assert matrices.shape == (len(thresholds), n_classes, n_classes)
    for t, matrix in zip(thresholds, matrices, strict=True):
        expected = sum(
            naive_confusion(pseudo_label(maps, ids, t), truth, n_classes)
            for maps, ids, truth in images
        )
        np.testing.assert_array_equal(matrix, expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 21, 255]))
def test_confusion_counts_pixels(seed, n_classes):
    rng = np.random.default_rng(seed)
    _, _, truth = image(rng, n_classes, 1)
    prediction = rng.integers(0, n_classes, truth.shape).astype(np.uint8)
    matrix = confusion(prediction, truth, n_classes)
    np.testing.assert_array_equal(matrix, naive_confusion(prediction, truth, n_classes))
    assert matrix.sum() == (truth != 255).sum()


def test_scores_by_hand():
    #  truth 0 0 0 1 1 2, predicted 0 1 0 1 0 2; class 3 nowhere
    matrix = confusion(np.array([0, 1, 0, 1, 0, 2]), np.array([0, 0, 0, 1, 1, 2]), 4)
    result = scores(matrix)
    np.testing.assert_allclose(result.iou, [2 / 4, 1 / 3, 1, np.nan])
    np.testing.assert_allclose(result.fp, [1 / 4, 1 / 3, 0, np.nan])
    np.testing.assert_allclose(result.fn, [1 / 4, 1 / 3, 0, np.nan])
    assert result.miou == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)
    assert result.mean_fp == result.mean_fn == pytest.approx(1 / 6)
    absent = result.counting_absent()
    assert absent.miou == pytest.approx((1 / 2 + 1 / 3 + 1) / 4)
    assert absent.mean_fp == pytest.approx(1 / 9)


def test_every_class_has_iou_fp_and_fn_that_make_one():
    matrix = np.random.default_rng(0).integers(0, 50, (21, 21))
    result = scores(matrix)
    np.testing.assert_allclose(result.iou + result.fp + result.fn, 1)


def test_a_class_only_predicted_or_only_true_counts_as_0():
    result = scores(confusion(np.array([1, 1]), np.array([2, 0]), 4))
    np.testing.assert_array_equal(result.iou, [0, 0, 0, np.nan])
    np.testing.assert_array_equal(result.fp[:3], [0, 1, 0])
    np.testing.assert_array_equal(result.fn[:3], [1, 0, 1])


def test_nothing_at_all():
    truth = np.full((3, 4), 255, np.uint8)
    matrix = confusion(np.zeros((3, 4), np.uint8), truth, 21)
    assert matrix.sum() == 0
    assert np.isnan(scores(matrix).miou)
    assert scores(matrix).counting_absent().miou == 0
    maps = np.ones((2, 3, 4), np.float32)
    assert score_histogram(maps, np.array([0, 1]), truth, THRESHOLDS, 21).sum() == 0


def test_bad_input_is_refused():
    maps, truth = np.ones((1, 3, 4), np.float32), np.zeros((3, 4), np.uint8)
    with pytest.raises(InputError, match=r"\(4, 3\).*\(3, 4\)"):
        score_histogram(maps, np.array([0]), truth.T, THRESHOLDS, 21)
    with pytest.raises(InputError, match="class 20 is outside the 21"):
        score_histogram(maps, np.array([20]), truth, THRESHOLDS, 21)
    with pytest.raises(InputError, match="ground truth contains class 30"):
        score_histogram(maps, np.array([0]), truth + 30, THRESHOLDS, 21)
    with pytest.raises(InputError, match="ground truth contains class 21"):
        score_histogram(maps[:0], np.array([], int), truth + 21, THRESHOLDS, 21)
    for bad in (THRESHOLDS[::-1], np.array([0.2, 0.2])):
        with pytest.raises(InputError, match="rise"):
            score_histogram(maps, np.array([0]), truth, bad, 21)
    with pytest.raises(InputError, match="label 21 is outside"):
        confusion(truth + 21, truth, 21)
    with pytest.raises(InputError, match="differ in shape"):
        confusion(truth.T, truth, 21)
