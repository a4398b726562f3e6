"""U5–U12 and U16: prototypes and both losses, against values that are derived here."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from c2am_plugin.classifier.loss import classification_loss, mam_loss, prototypes, rcm_loss
from c2am_plugin.classifier.regions import norm, region_masks

ALL_ONE = torch.ones(1, 1, dtype=torch.bool)


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def by_loops(features: Tensor, regions: Tensor, n_regions: int) -> np.ndarray:
    """P by three loops in float64, of the whole batch."""
    f, r = features.double().numpy(), regions.numpy()
    sums = np.zeros((n_regions, f.shape[1]))
    for n in range(f.shape[0]):
        for y in range(f.shape[2]):
            for x in range(f.shape[3]):
                if r[n, y, x] >= 0:
                    pixel = f[n, :, y, x]
                    sums[r[n, y, x]] += pixel / np.linalg.norm(pixel)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


# U5 -------------------------------------------------------------------------------------------


def test_prototypes_are_a_triple_loops(random: torch.Generator) -> None:
    features = torch.randn(3, 6, 4, 5, generator=random)
    regions = torch.randint(-1, 4, (3, 4, 5), generator=random)
    found, present = prototypes(features, regions, 5)
    assert present.tolist() == [[True, True, True, True, False]] * 3
    for image in range(3):
        np.testing.assert_allclose(found[image], by_loops(features, regions, 5), atol=1e-6)
    own, _ = prototypes(features, regions, 5, "image")
    mixed, _ = prototypes(features, regions, 5, "mixed")
    for image in range(3):
        alone = by_loops(features[image : image + 1], regions[image : image + 1], 5)
        np.testing.assert_allclose(own[image], alone, atol=1e-6)
        np.testing.assert_allclose(mixed[image, 0], alone[0], atol=1e-6)
        assert torch.equal(mixed[image, 1:], found[image, 1:])
    torch.testing.assert_close(found[:, :4].norm(dim=2), torch.ones(3, 4))


def test_prototypes_know_neither_order_nor_scale_of_features(random: torch.Generator) -> None:
    features = torch.randn(4, 6, 3, 3, generator=random)
    regions = torch.randint(0, 4, (4, 3, 3), generator=random)
    found = prototypes(features, regions, 4)[0][0]
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(prototypes(features[order], regions[order], 4)[0][0], found)
    torch.testing.assert_close(prototypes(1000 * features, regions, 4)[0][0], found)
    renamed = torch.tensor([0, 3, 1, 2])  # old region k becomes renamed[k]
    torch.testing.assert_close(prototypes(features, renamed[regions], 4)[0][0][renamed], found)


# U6 -------------------------------------------------------------------------------------------


def test_equal_cosines_give_the_logarithm_of_their_number() -> None:
    """q is orthogonal to all three prototypes."""
    q = torch.zeros(1, 4, 1, 2)
    q[:, 3] = 2.0
    means = torch.eye(4)[:3].expand(1, 3, 4)
    regions = torch.tensor([[[0, 2]]])
    loss, similarity = rcm_loss(q, regions, means, torch.ones(1, 3, dtype=torch.bool), 0.5)
    assert float(loss) == pytest.approx(math.log(3), abs=1e-6)
    assert float(similarity) == 0


@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0])
def test_a_pixel_at_its_own_prototype_pays_for_the_others_alone(tau: float) -> None:
    """Orthonormal prototypes: −log(e^{1/τ} / (e^{1/τ} + K − 1)) = log(1 + (K − 1)·e^{−1/τ})."""
    q = 7 * torch.eye(4)[:, [1]].view(1, 4, 1, 1)
    regions = torch.tensor([[[1]]])
    means, present = torch.eye(4).expand(1, 4, 4), torch.ones(1, 4, dtype=torch.bool)
    loss, similarity = rcm_loss(q, regions, means, present, tau)
    assert float(loss) == pytest.approx(math.log(1 + 3 * math.exp(-1 / tau)), abs=1e-6)
    assert float(similarity) == pytest.approx(1)


def test_one_prototype_alone_costs_nothing_and_pulls_nowhere(random: torch.Generator) -> None:
    features = torch.randn(2, 5, 3, 3, generator=random, requires_grad=True)
    regions = torch.zeros(2, 3, 3, dtype=torch.int64)
    means, present = prototypes(features, regions, 4)
    loss, _ = rcm_loss(features, regions, means, present, 0.5)
    loss.backward()
    assert float(loss.detach()) == 0
    assert features.grad is not None
    assert features.grad.eq(0).all()


def test_ignored_pixels_count_nowhere(random: torch.Generator) -> None:
    """Also where they stand for a background that no image shows."""
    features = torch.randn(1, 5, 2, 2, generator=random, requires_grad=True)
    regions = torch.tensor([[[1, 2], [-1, -1]]])
    means, present = prototypes(features, regions, 3)
    assert present.tolist() == [[False, True, True]]
    loss, _ = rcm_loss(features, regions, means, present, 0.5)
    loss.backward()
    assert math.isfinite(float(loss))
    assert features.grad is not None
    assert features.grad[..., 1, :].eq(0).all()
    alone, _ = rcm_loss(features[:, :, :1], regions[:, :1], means, present, 0.5)
    assert float(loss) == pytest.approx(float(alone))


# U7 -------------------------------------------------------------------------------------------


def test_rcm_turns_each_feature_towards_its_prototype(random: torch.Generator) -> None:
    features = torch.randn(2, 6, 4, 4, generator=random, requires_grad=True)
    support = torch.randn(2, 6, 4, 4, generator=random, requires_grad=True)
    regions = torch.randint(0, 3, (2, 4, 4), generator=random)
    means, present = prototypes(support, regions, 5)
    loss, _ = rcm_loss(features, regions, means, present, 0.5)
    loss.backward()
    assert support.grad is None
    gradient = features.grad
    assert gradient is not None
    # Along the feature itself nothing changes: only its direction counts.
    along = (gradient * features).sum(1) / features.norm(dim=1)
    assert along.abs().max() < 1e-6 * gradient.norm(dim=1).max().clamp(min=1) + 1e-7
    before = own_cosines(features, regions, means)
    after = own_cosines(
        features - 1e-3 * gradient / gradient.norm(dim=1, keepdim=True), regions, means
    )
    assert (after > before).all()


def own_cosines(features: Tensor, regions: Tensor, means: Tensor) -> Tensor:
    q = F.normalize(features.detach(), dim=1).flatten(2)
    return (means @ q).gather(1, regions.flatten(1)[:, None])


def test_absent_classes_have_exactly_no_influence(random: torch.Generator) -> None:
    scores = torch.randn(2, 4, 5, 5, generator=random)
    features = torch.randn(2, 6, 5, 5, generator=random)
    labels = torch.tensor([[True, False, False, False], [True, True, False, False]])
    other = torch.where(labels[:, :, None, None], scores, 1e6 * torch.randn(2, 4, 5, 5))
    other[0, 3, 0, 0] = torch.inf
    losses = []
    for each in (scores, other):
        target = norm(each, labels)
        regions = region_masks(target, 0.2)
        means, present = prototypes(features, regions, 5)
        losses.append(float(rcm_loss(features, regions, means, present, 0.5)[0]))
        losses.append(float(mam_loss([scores], target, labels)))
    assert losses[:2] == losses[2:]


# U8 -------------------------------------------------------------------------------------------


def test_region_weights_do_not_know_a_regions_area(random: torch.Generator) -> None:
    features = torch.randn(1, 6, 3, 4, generator=random)
    regions = torch.tensor([[[0] * 4, [1] * 4, [2] * 4]])
    means, present = prototypes(features, regions, 3)
    tiled = torch.cat([features, features[:, :, 1:2]], 2), torch.cat([regions, regions[:, 1:2]], 1)
    plain = [rcm_loss(f, r, means, present, 0.5)[0] for f, r in ((features, regions), tiled)]
    even = [
        rcm_loss(f, r, means, present, 0.5, "region")[0] for f, r in ((features, regions), tiled)
    ]
    assert float(even[0]) == pytest.approx(float(even[1]), abs=1e-6)
    assert abs(float(plain[0] - plain[1])) > 1e-4
    rows = [
        rcm_loss(features[:, :, k : k + 1], regions[:, k : k + 1], means, present, 0.5)[0]
        for k in range(3)
    ]
    assert float(plain[0]) == pytest.approx(float(sum(rows)) / 3, abs=1e-6)


# U10–U12 --------------------------------------------------------------------------------------


def test_mam_does_not_know_left_from_right(random: torch.Generator) -> None:
    scores = torch.randn(2, 3, 4, 6, generator=random)
    target = norm(torch.randn(2, 3, 4, 6, generator=random), torch.ones(2, 3, dtype=torch.bool))
    labels = torch.tensor([[True, False, True], [False, True, False]])
    plain = mam_loss([scores], target, labels)
    mirrored = mam_loss([scores.flip(-1)], target.flip(-1), labels)
    torch.testing.assert_close(mirrored, plain)


def test_absent_classes_get_no_gradient_from_mam(random: torch.Generator) -> None:
    scores = torch.randn(1, 3, 4, 4, generator=random, requires_grad=True)
    labels = torch.tensor([[True, False, True]])
    target = norm(torch.randn(1, 3, 4, 4, generator=random), labels)
    mam_loss([scores], target, labels, leak=0.1).backward()
    assert scores.grad is not None
    assert scores.grad[0, 1].eq(0).all()
    assert scores.grad[0, 0].abs().sum() > 0


def test_mam_grows_what_is_below_its_target_and_shrinks_what_is_above() -> None:
    """Â = A/4: below, above, the maximum, and a pixel that scores negative."""
    scores = torch.tensor([1.0, 2.0, 4.0, -1.0]).view(1, 1, 1, 4).requires_grad_()
    target = torch.tensor([0.5, 0.25, 1.0, 0.5]).view(1, 1, 1, 4)
    loss = mam_loss([scores], target, ALL_ONE)
    peak = 4 + 1e-5
    expected = (abs(0.5 - 1 / peak) + abs(0.25 - 2 / peak) + abs(1 - 4 / peak) + 0.5) / 4
    assert float(loss) == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert scores.grad is not None
    below, above, _, dead = scores.grad.flatten().tolist()
    assert below == pytest.approx(-1 / (4 * peak), rel=1e-4)
    assert above == pytest.approx(1 / (4 * peak), rel=1e-4)
    assert dead == 0


def test_mams_gradient_is_the_finite_differences(random: torch.Generator) -> None:
    scores = torch.rand(1, 2, 3, 3, generator=random, dtype=torch.float64) * 4 + 0.5
    labels = torch.ones(1, 2, dtype=torch.bool)
    target = norm(torch.rand(1, 2, 3, 3, generator=random) + 0.1, labels)
    leaf = scores.clone().requires_grad_()
    mam_loss([leaf], target, labels).backward()
    assert leaf.grad is not None
    for place in ((0, 0, 0, 0), (0, 0, 1, 2), (0, 1, 2, 1), (0, 1, 0, 2)):
        step = torch.zeros_like(scores)
        step[place] = 1e-2
        difference = mam_loss([scores + step], target, labels) - mam_loss(
            [scores - step], target, labels
        )
        assert float(leaf.grad[place]) == pytest.approx(float(difference) / 2e-2, abs=1e-3)


@pytest.mark.parametrize(("leak", "wakes"), [(0.0, False), (0.1, True)])
def test_a_leak_wakes_pixels_that_score_negative(leak: float, wakes: bool) -> None:
    scores = torch.tensor([3.0, -0.5]).view(1, 1, 1, 2).requires_grad_()
    target = torch.tensor([1.0, 0.8]).view(1, 1, 1, 2)
    mam_loss([scores], target, ALL_ONE, leak=leak).backward()
    assert scores.grad is not None
    dead = float(scores.grad.flatten()[1])
    assert (dead < 0) if wakes else (dead == 0)


def test_present_classes_alone_may_be_counted(random: torch.Generator) -> None:
    scores = torch.randn(2, 20, 3, 3, generator=random)
    labels = torch.zeros(2, 20, dtype=torch.bool)
    labels[0, [3, 5]] = labels[1, 7] = True
    target = norm(torch.randn(2, 20, 3, 3, generator=random), labels)
    of_all = mam_loss([scores], target, labels)
    present = mam_loss([scores], target, labels, reduction="present")
    assert float(present) == pytest.approx(float(of_all) * 40 / 3, rel=1e-5)


def test_attention_weighs_differences_by_their_size() -> None:
    """Differences 0.2 and 0.6 of mean 0.4: (0.2·0.5 + 0.6·1.5)/2 = 0.5."""
    scores = torch.tensor([1.0, 0.0, 0.0]).view(1, 1, 1, 3)
    target = torch.tensor([1.0, 0.2, 0.6]).view(1, 1, 1, 3)
    size = torch.tensor([1e-5, 0.2, 0.6])
    expected = (size * size / (size.mean() + 1e-5)).mean()
    found = mam_loss([scores], target, ALL_ONE, attentive=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_classes_cost_their_mean_cross_entropy() -> None:
    logits = torch.tensor([[0.0, 2.0], [-1.0, 0.0]])
    labels = torch.tensor([[True, True], [False, False]])
    each = [math.log(2), math.log(1 + math.exp(-2)), math.log(1 + math.exp(-1)), math.log(2)]
    assert float(classification_loss(logits, labels)) == pytest.approx(sum(each) / 4)


# U16 ------------------------------------------------------------------------------------------


def test_losses_of_bfloat16_tensors_are_within_a_hundredth(random: torch.Generator) -> None:
    features = torch.randn(2, 32, 8, 8, generator=random)
    scores = torch.randn(2, 3, 8, 8, generator=random)
    labels = torch.tensor([[True, False, True], [False, True, False]])
    regions = torch.randint(0, 3, (2, 8, 8), generator=random)
    target = norm(torch.randn(2, 3, 8, 8, generator=random), labels)
    found = []
    for kind in (torch.float32, torch.bfloat16):
        means, present = prototypes(features.to(kind), regions, 4)
        rcm, _ = rcm_loss(features.to(kind), regions, means, present, 0.5)
        found.append((rcm, mam_loss([scores.to(kind)], target, labels)))
    for exact, rough in zip(*found, strict=True):
        assert rough.dtype == torch.float32
        assert float(rough) == pytest.approx(float(exact), rel=0.01)
