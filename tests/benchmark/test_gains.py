"""Counts, gains and their intervals, against the confusion matrices of metrics.py."""

from __future__ import annotations

import numpy as np
import pytest

from c2am_plugin.bench.gains import DRAWS, count_scores, image_ious, label_counts, paired_gain
from c2am_plugin.bench.metrics import confusion, scores

N_CLASSES = 5


def random_images(rng, count=12, classes=(0, 1, 2, 4)):
    """Pairs of a label and a truth, 9×11; class 3 never occurs, a tenth of the truth is ignored."""
    for _ in range(count):
        truth = rng.choice(classes, (9, 11)).astype(np.uint8)
        label = np.where(rng.random((9, 11)) < 0.6, truth, rng.choice(classes, (9, 11)))
        truth[rng.random((9, 11)) < 0.1] = 255
        yield label.astype(np.uint8), truth


def counts_of(images):
    return np.stack([label_counts(label, truth, N_CLASSES) for label, truth in images])


def test_counts_score_as_confusion_matrices_do():
    images = list(random_images(np.random.default_rng(0)))
    matrix = sum(confusion(label, truth, N_CLASSES) for label, truth in images)
    expected, found = scores(matrix), count_scores(counts_of(images).sum(axis=0))
    for name in ("iou", "fp", "fn"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert np.isnan(found.iou[3])


def test_interval_is_that_of_a_plain_paired_bootstrap():
    rng = np.random.default_rng(1)
    before, after = counts_of(random_images(rng)), counts_of(random_images(rng))
    found = paired_gain(before, after, seed=7)

    draws = np.random.default_rng(7)
    gains = []
    for _ in range(DRAWS // 50):
        for times in draws.multinomial(12, np.full(12, 1 / 12), 50):
            picked = np.repeat(np.arange(12), times)
            base, new = (count_scores(each[picked].sum(axis=0)) for each in (before, after))
            gains.append(new.miou - base.miou)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(gains, [2.5, 97.5])))
    whole = [count_scores(each.sum(axis=0)) for each in (before, after)]
    assert found.miou == pytest.approx(whole[1].miou - whole[0].miou)
    np.testing.assert_allclose(found.iou, whole[1].iou - whole[0].iou)


def test_the_same_labels_gain_nothing_whatever_is_drawn():
    counts = counts_of(random_images(np.random.default_rng(2)))
    gain = paired_gain(counts, counts)
    assert (gain.miou, gain.low, gain.high) == (0, 0, 0)


def test_a_better_label_in_every_image_gains_for_sure():
    images = list(random_images(np.random.default_rng(3)))
    perfect = [(np.where(truth == 255, 0, truth).astype(np.uint8), truth) for _, truth in images]
    gain = paired_gain(counts_of(images), counts_of(perfect))
    assert 0 < gain.low <= gain.miou <= gain.high
    assert np.isnan(gain.iou[3])
    assert np.isnan(gain.iou_low[3])


def test_a_class_of_one_image_has_an_interval_of_the_draws_that_hold_it():
    rng = np.random.default_rng(4)
    images = [*random_images(rng, 11, (0, 1)), *random_images(rng, 1, (0, 2))]
    base = [(np.zeros_like(label), truth) for label, truth in images]
    gain = paired_gain(counts_of(base), counts_of(images))
    assert gain.iou_low[2] == gain.iou[2] == gain.iou_high[2] > 0


def test_image_ious_are_of_the_foreground_classes_that_are_there():
    truth = np.array([[0, 1, 1, 2]], np.uint8)
    before = counts_of([(np.array([[0, 1, 0, 0]], np.uint8), truth)])
    after = counts_of([(np.array([[4, 1, 1, 0]], np.uint8), truth)])
    assert image_ious(after) - image_ious(before) == pytest.approx([0.25])
    empty = counts_of([(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8))])
    assert image_ious(empty) == pytest.approx([0])
