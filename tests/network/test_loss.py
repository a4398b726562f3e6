"""The loss against the released numbers, a slow transcription, and what must hold of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from c2am_plugin.network.loss import (
    c2am_loss,
    positive_loss,
)

GOLDEN = Path(__file__).parents[3] / "shared/data/golden/numerics/losses.npz"


def embeddings(n: int, channels: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two double N×C matrices with cosines of either sign, duplicates among them."""
    random = np.random.default_rng(seed)
    pair = random.standard_normal((2, n, channels)) + random.random((2, 1, channels))
    pair[0, 1] = 3 * pair[0, 0]
    return tuple(torch.from_numpy(one).requires_grad_() for one in pair)


def slow_cosine(a: np.ndarray, b: np.ndarray) -> float:
    cosine = sum(a * b) / math.sqrt(sum(a * a)) / math.sqrt(sum(b * b))
    return min(max(cosine, 0.0005), 0.9995)


def slow_loss(foreground: np.ndarray, background: np.ndarray, alpha: float) -> list[float]:
    """Positive foreground, negative, positive background: the formulas, pair by pair."""

    def positive(v: np.ndarray) -> float:
        total = 0.0
        for i in range(len(v)):
            others = [j for j in range(len(v)) if j != i]
            ranked = [i, *sorted(others, key=lambda j: -slow_cosine(v[i], v[j]))]
            for rank, j in enumerate(ranked):
                weight = math.exp(-alpha * (rank - 1))
                total += weight * max(-math.log(slow_cosine(v[i], v[j])), 0)
        return total / len(v) ** 2

    pairs = [-math.log(1 - slow_cosine(b, f)) for b in background for f in foreground]
    return [positive(foreground), sum(pairs) / len(pairs), positive(background)]


@pytest.mark.parametrize(("n", "alpha"), [(2, 0.25), (7, 0.25), (9, 0.05), (5, 0.0)])
def test_the_formulas_pair_by_pair(n: int, alpha: float) -> None:
    foreground, background = embeddings(n, 6, seed=n)
    parts = c2am_loss(foreground, background, alpha)
    expected = slow_loss(foreground.detach().numpy(), background.detach().numpy(), alpha)
    np.testing.assert_allclose([part.item() for part in parts], expected, rtol=1e-10)
    assert parts.total.item() == pytest.approx(sum(expected))


def test_gradients_are_those_of_the_formulas() -> None:
    # Far from the clamp and from equal ranks, where the slow loss has a derivative.
    foreground, background = (v.detach().abs().requires_grad_() for v in embeddings(5, 4, seed=3))
    foreground.data[1, 0] += 2
    c2am_loss(foreground, background, 0.25).total.backward()
    for side, embedding in enumerate((foreground, background)):
        for i, c in [(0, 0), (3, 2), (4, 3)]:
            values = []
            for change in (1e-6, -1e-6):
                arrays = [foreground.detach().numpy().copy(), background.detach().numpy().copy()]
                arrays[side][i, c] += change
                values.append(sum(slow_loss(*arrays, 0.25)))
            assert embedding.grad is not None
            slope = (values[0] - values[1]) / 2e-6
            assert embedding.grad[i, c].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("case", range(4))
def test_the_released_losses_and_gradients(case: int) -> None:
    if not GOLDEN.exists():
        pytest.skip(f"the released numbers are not here: {GOLDEN}")
    stored = np.load(GOLDEN)
    foreground = torch.from_numpy(stored[f"{case}_fg"]).requires_grad_()
    background = torch.from_numpy(stored[f"{case}_bg"]).requires_grad_()
    parts = c2am_loss(foreground, background, float(stored[f"{case}_alpha"]))
    parts.total.backward()
    found = [*(part.item() for part in parts), parts.total.item()]
    np.testing.assert_allclose(found, stored[f"{case}_losses"], rtol=1e-5)
    for embedding, name in ((foreground, "fg"), (background, "bg")):
        expected = stored[f"{case}_grad_{name}"]
        scale = abs(expected).max()
        np.testing.assert_allclose(embedding.grad, expected, rtol=1e-5, atol=1e-5 * scale)


def test_exchanging_the_sides_changes_nothing() -> None:
    foreground, background = embeddings(6, 5, seed=1)
    one = c2am_loss(foreground, background, 0.25)
    other = c2am_loss(background, foreground, 0.25)
    assert one.total.item() == pytest.approx(other.total.item())
    assert one.positive_foreground.item() == pytest.approx(other.positive_background.item())


def test_the_order_of_the_batch_does_not_matter() -> None:
    foreground, background = embeddings(8, 5, seed=2)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    one = c2am_loss(foreground, background, 0.25).total
    assert c2am_loss(foreground[order], background[order], 0.25).total.item() == pytest.approx(
        one.item()
    )


def test_a_batch_is_not_the_mean_of_its_halves() -> None:
    foreground, background = embeddings(8, 5, seed=4)
    whole = c2am_loss(foreground, background, 0.25).total.item()
    halves = [
        c2am_loss(foreground[half], background[half], 0.25).total.item()
        for half in (slice(4), slice(4, 8))
    ]
    assert abs(whole - np.mean(halves)) > 0.01


def test_equal_embeddings_are_finite_and_at_rest() -> None:
    same = torch.ones(4, 3, requires_grad=True)
    parts = c2am_loss(same, same, 0.25)
    parts.total.backward()
    assert parts.negative.item() == pytest.approx(-math.log(0.0005), rel=1e-4)
    assert torch.equal(same.grad, torch.zeros_like(same))  # every similarity is clamped


def test_weights_fall_with_the_rank() -> None:
    v = torch.tensor([[1.0, 0.0], [1.0, 0.2], [1.0, 1.5]])
    s = slow_cosine
    a = v.numpy()
    plain = positive_loss(v, 0.0).item()
    steep = positive_loss(v, 50.0).item()
    nearest = -math.log(s(a[0], a[1])) * 2 - math.log(s(a[1], a[2]))
    own = -3 * math.log(0.9995)
    assert steep == pytest.approx((math.exp(50) * own + nearest) / 9, rel=1e-3)
    assert plain < 1
