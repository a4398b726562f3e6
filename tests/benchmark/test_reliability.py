"""Reliability curve and calibration error, against answers that are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from c2am_plugin.bench.reliability import count_levels, evaluate_cues, reliability
from c2am_plugin.errors import InputError


def drawn(probability, rng):
    """Ground truth that is foreground exactly as often as it is said."""
    return (rng.random(probability.shape) < probability).astype(np.uint8)


def test_a_cue_that_means_what_it_says():
    rng = np.random.default_rng(0)
    saliency = rng.integers(0, 256, (600, 700)) / 255
    result = reliability(count_levels(saliency, drawn(saliency, rng)))
    assert result.ece < 0.005
    np.testing.assert_allclose(result.found, result.stated, atol=0.01)
    # Of the mean of p(1−p) the entropy and the AUC of uniform p are 1/2 nat and 5/6.
    assert result.log_loss == pytest.approx(0.5, abs=0.005)
    assert result.auc == pytest.approx(5 / 6, abs=0.005)


def test_an_overconfident_cue_is_found_out_and_its_ranking_stays():
    rng = np.random.default_rng(1)
    honest = rng.uniform(0.2, 0.8, (300, 400))
    truth = drawn(honest, rng)
    bold = 1 / (1 + (1 / honest - 1) ** 4)
    before = reliability(count_levels(bold, truth))
    after = reliability(count_levels(honest, truth))
    assert before.ece == pytest.approx(np.abs(bold - honest).mean(), abs=0.01)
    assert after.ece < 0.01
    assert before.log_loss > after.log_loss
    assert before.auc == pytest.approx(after.auc, abs=2e-3)


def test_by_hand():
    saliency = np.array([[0.0, 1.0, 1.0, 0.2], [0.2, 1.0, 0.2, 0.6]])
    truth = np.array([[0, 5, 0, 0], [3, 1, 255, 255]], np.uint8)
    counts = count_levels(saliency, truth)
    assert counts.sum() == 6  # two are ignored
    result = reliability(counts, bins=5)
    np.testing.assert_array_equal(result.pixels, [1, 2, 0, 0, 3])
    np.testing.assert_allclose(result.stated, [0, 0.2, np.nan, np.nan, 1])
    np.testing.assert_allclose(result.found, [0, 0.5, np.nan, np.nan, 2 / 3])
    assert result.ece == pytest.approx((2 * 0.3 + 3 * (1 / 3)) / 6)
    # Nine pairs: 1.0 twice above 0.0, 0.2 and level with 1.0; 0.2 above 0.0, level, below.
    assert result.auc == pytest.approx((2 * 2.5 + 1.5) / 9)
    assert result.foreground == 0.5


def test_one_sided_ground_truth_and_none():
    zeros = np.zeros((4, 5), np.uint8)
    assert np.isnan(reliability(count_levels(zeros / 1.0, zeros)).auc)
    with pytest.raises(InputError, match="no pixel has ground truth"):
        reliability(count_levels(zeros / 1.0, zeros + 255))
    with pytest.raises(InputError, match=r"\(4, 5\).*\(5, 4\)"):
        count_levels(zeros / 1.0, zeros.T)


def test_folders(tmp_path):
    for name, pixels in (("cues", [[0, 255]]), ("gt", [[0, 7]])):
        (tmp_path / name).mkdir()
        Image.fromarray(np.array(pixels, np.uint8)).save(tmp_path / name / "a.png")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "cues" / "b.png")
    result = evaluate_cues(tmp_path / "cues", tmp_path / "gt", progress=False)
    assert (result.ece, result.auc) == (0, 1)
    Image.fromarray(np.zeros((3, 2), np.uint8)).save(tmp_path / "gt" / "b.png")
    with pytest.raises(InputError, match=r"1 of 2 images failed.*b\.png"):
        evaluate_cues(tmp_path / "cues", tmp_path / "gt", progress=False)


@pytest.mark.slow
def test_the_soft_cues_of_real_photographs_say_too_much(coco_voc):
    result = evaluate_cues(coco_voc / "cues_soft", coco_voc / "SegmentationClass", progress=False)
    assert 0.5 < result.auc < 1
    assert result.ece > 0.05
