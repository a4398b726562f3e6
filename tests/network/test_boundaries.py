"""Boundaries and calibration: the properties that let a grey value be read as odds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2am_plugin.errors import InputError
from c2am_plugin.network.boundaries import (
    agreement_counts,
    best_boundary,
    bimodal,
    otsu,
    read_boundary,
    soft_values,
)

inside = st.floats(0.001, 0.999)


@given(tau=inside, value=inside, sharpness=st.floats(0.1, 4))
def test_a_soft_cue_is_odds_against_the_boundary(
    tau: float, value: float, sharpness: float
) -> None:
    cue = float(soft_values(np.array(value), tau, sharpness))
    odds = (value / (1 - value) / (tau / (1 - tau))) ** sharpness
    assert cue == pytest.approx(odds / (1 + odds), rel=1e-6, abs=1e-7)


@given(tau=inside)
def test_the_boundary_becomes_mid_grey_and_the_ends_stay(tau: float) -> None:
    cue = soft_values(np.array([0, tau, 1]), tau)
    assert cue.dtype == np.float32
    np.testing.assert_allclose(cue, [0, 0.5, 1], atol=1e-7)


def test_half_changes_nothing_and_order_is_kept() -> None:
    values = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(soft_values(values, 0.5), values, atol=1e-7)
    assert (np.diff(soft_values(values, 0.03)) >= 0).all()


def test_otsu_lies_between_two_groups() -> None:
    rng = np.random.default_rng(0)
    groups = rng.normal(0.15, 0.02, 3000), rng.normal(0.7, 0.05, 500)
    assert 0.2 < otsu(np.concatenate(groups)) < 0.55
    assert otsu(np.array([[0.0, 0.0], [1.0, 1.0]])) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("constant", [0.0, 0.4, 1.0])
def test_otsu_of_a_flat_map_is_still_a_boundary(constant: float) -> None:
    assert otsu(np.full((5, 5), constant)) == 0.5


@pytest.mark.parametrize("share", [0.02, 0.05, 0.3])
def test_a_clear_object_has_its_boundary_in_the_valley_however_small(share: float) -> None:
    """The background is above the network's boundary in places; the object is far above it."""
    rng = np.random.default_rng(0)
    size = int(20_000 * share)
    background, thing = rng.normal(-0.3, 0.4, 20_000 - size), rng.normal(4.5, 0.5, size)
    found = bimodal(np.concatenate([background, thing]))
    assert 0.7 < found < 4
    assert (background > 0).mean() > 0.2
    assert (background > found).mean() < 0.01 < (thing > found).mean()


def test_a_map_of_one_group_keeps_the_networks_boundary() -> None:
    rng = np.random.default_rng(0)
    assert bimodal(rng.normal(0.8, 1.0, (50, 60))) == 0
    assert bimodal(np.full((5, 5), -2.0)) == 0
    assert bimodal(np.array([[np.inf, np.inf]])) == 0


def test_the_mirror_image_has_the_mirrored_boundary() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(-2, 0.5, 4000), rng.normal(3, 0.5, 1000)])
    assert bimodal(-values) == pytest.approx(-bimodal(values), abs=0.1)


def test_agreement_finds_the_boundary_that_made_the_masks() -> None:
    rng = np.random.default_rng(0)
    for tau in (0.01, 0.2, 0.7):
        counts = np.zeros(1, np.int64)
        for _ in range(3):
            values = rng.random((60, 80)) ** 3
            wrong = rng.random(values.shape) < 0.1
            counts = counts + agreement_counts(values, (values > tau) ^ wrong)
        assert best_boundary(counts) == pytest.approx(tau, rel=0.1)


def test_agreement_is_the_mean_of_both_ious() -> None:
    rng = np.random.default_rng(1)
    values, mask = rng.random((40, 40)), rng.random((40, 40)) < 0.2
    values[mask] = values[mask] ** 0.5

    def agreement(tau: float) -> float:
        cut = values > tau
        return float(
            (cut & mask).sum() / (cut | mask).sum() + (~cut & ~mask).sum() / (~(cut & mask)).sum()
        )

    best = best_boundary(agreement_counts(values, mask))
    assert agreement(best) == pytest.approx(
        max(agreement(tau) for tau in np.linspace(0, 1, 2001)), abs=0.01
    )


def test_counts_hold_every_pixel() -> None:
    values = np.array([[0.0, 1.0], [0.5, 1e-9]], np.float32)
    counts = agreement_counts(values, np.array([[False, True], [True, True]]))
    assert counts.sum() == 4
    assert counts[1].sum() == 3
    assert counts[0, 0] == 1
    assert counts[1, -1] == 1


@pytest.mark.parametrize("side", [False, True])
def test_masks_of_one_side_decide_nothing(side: bool) -> None:
    with pytest.raises(InputError, match="foreground" if side else "background"):
        best_boundary(
            agreement_counts(np.random.default_rng(0).random((4, 4)), np.full((4, 4), side))
        )


@pytest.mark.parametrize("boundary", [0.0, 1.0, -0.1, float("nan")])
def test_a_boundary_lies_inside(boundary: float) -> None:
    with pytest.raises(InputError, match="boundary"):
        read_boundary(boundary)
