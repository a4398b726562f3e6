"""U4 and the fused target's part of U10: region masks, normalised maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from c2am_plugin.classifier.regions import fused_target, norm, region_masks
from c2am_plugin.files.labels import pseudo_label


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Scores N×C×h×w of any sign, and labels of one to three of five classes."""
    random = torch.Generator().manual_seed(0)
    scores = torch.randn(4, 5, 9, 7, generator=random) * 3
    labels = torch.zeros(4, 5, dtype=torch.bool)
    for image, classes in enumerate(([0], [1, 4], [0, 2, 3], [4])):
        labels[image, classes] = True
    return scores, labels


def test_masks_are_disjoint_complete_and_of_the_labels_classes(
    batch: tuple[Tensor, Tensor],
) -> None:
    scores, labels = batch
    regions = region_masks(norm(scores, labels), 0.2)
    masks = torch.stack([regions == k for k in range(6)])
    assert (masks.sum(0) == 1).all()
    for image, label in enumerate(labels):
        assert set(regions[image].unique().tolist()) <= {0, *(label.nonzero()[:, 0] + 1).tolist()}


def test_masks_are_the_packages_own_labels_to_the_pixel(batch: tuple[Tensor, Tensor]) -> None:
    scores, labels = batch
    target = norm(scores, labels)
    target[0, 0, :3] = 0.2  # exactly at the threshold
    target[1, 1, 4] = target[1, 4, 4]  # two classes alike
    for threshold in (0.1, 0.2, 0.5):
        regions = region_masks(target, threshold)
        for image, label in enumerate(labels):
            ids = np.flatnonzero(label.numpy())
            expected = pseudo_label(target[image, ids].numpy(), ids, threshold)
            assert np.array_equal(regions[image].numpy(), expected)


def test_ties_go_to_the_background_and_to_the_lower_class() -> None:
    target = torch.tensor([[0.2, 0.6], [0.2, 0.6]]).view(1, 2, 1, 2)
    assert region_masks(target, 0.2).tolist() == [[[0, 1]]]


def test_foreground_shrinks_as_the_threshold_rises(batch: tuple[Tensor, Tensor]) -> None:
    target = norm(*batch)
    before = torch.ones(4, 9, 7, dtype=torch.bool)
    for threshold in (0.0, 0.1, 0.3, 0.6, 0.9, 1.0):
        foreground = region_masks(target, threshold) > 0
        assert (before | ~foreground).all()
        before = foreground
    assert not before.any()


def test_a_band_is_ignored_and_nothing_else_changes(batch: tuple[Tensor, Tensor]) -> None:
    target = norm(*batch)
    plain, banded = region_masks(target, 0.5), region_masks(target, 0.5, low=0.2)
    top = target.amax(1)
    inside = (top > 0.2) & (top <= 0.5)
    assert inside.any()
    assert (banded[inside] == -1).all()
    assert torch.equal(banded[~inside], plain[~inside])


@pytest.mark.parametrize("fusion", ["sum", "max"])
def test_targets_are_within_0_and_1_with_a_maximum_of_1(
    batch: tuple[Tensor, Tensor], fusion: str
) -> None:
    scores, labels = batch
    scores[3] = -1.0  # no positive score: all 0 and not NaN
    maps = [scores, torch.nn.functional.interpolate(scores, (18, 14), mode="bilinear")]
    target = fused_target(maps, labels, (9, 7), fusion)
    assert 0 <= float(target.min()) <= float(target.max()) <= 1
    peaks = target.amax((2, 3))
    assert (peaks[:3][labels[:3]] - 1).abs().max() < 1e-4
    assert peaks[~labels].eq(0).all()
    assert peaks[3].eq(0).all()


def test_a_sum_over_scales_is_the_sum_of_positive_scores() -> None:
    one = torch.tensor([[2.0, -4.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    other = torch.tensor([[2.0, 2.0], [0.0, 0.0]]).view(1, 1, 2, 2)
    target = fused_target([one, other], torch.ones(1, 1, dtype=torch.bool), (2, 2))
    torch.testing.assert_close(target[0, 0], torch.tensor([[4.0, 2.0], [1.0, 0.0]]) / 4.00001)
