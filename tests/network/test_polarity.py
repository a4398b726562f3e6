"""Polarity: both rules on drawn P, and the vote of many images."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from small_training import Brightness, write_images

from c2am_plugin.errors import InputError
from c2am_plugin.network.polarity import RULES, Polarity, border_vote, contour_vote, decide


def disc(centre: tuple[float, float] = (14, 14), radius: float = 7) -> np.ndarray:
    """P 28×28 that is high on a disc."""
    y, x = np.mgrid[:28, :28]
    return np.where((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2, 0.9, 0.2)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("centre", [(14, 14), (9, 17), (25, 14)])
def test_an_object_is_distinguished_from_its_surroundings(
    rule: str, centre: tuple[int, int]
) -> None:
    assert RULES[rule](disc(centre)) is False
    assert RULES[rule](1 - disc(centre)) is True


def test_the_rules_look_at_different_things() -> None:
    """Two objects, each cut off by the image's edge all along it, with a band of sky between."""
    p = np.full((28, 28), 0.9)
    p[6:22, :] = 0.1
    assert border_vote(p) is True
    assert contour_vote(p) is False


def test_the_border_is_one_cell_wide_and_counts_corners_once() -> None:
    p = np.zeros((4, 4))
    p[0] = 1  # 4 of the 12 cells of the ring
    assert border_vote(p) is False
    p[:, 0] = 1
    assert border_vote(p) is True  # 7 of 12
    p[1:3, 1:3] = 1
    p[0], p[:, 0] = 0, 0
    assert border_vote(p) is False
    p[::3, ::3] = 1
    p[0, 1:3] = 1  # the corners and two more: 6 of 12, which is no majority
    assert border_vote(p) is False


def test_a_hole_belongs_to_the_contour_around_it() -> None:
    ring = disc(radius=12)
    ring[disc(radius=11) > 0.5] = 0.2  # a thin ring encloses more than its inside
    ring[0], ring[-1], ring[:, 0], ring[:, -1] = 0.9, 0.9, 0.9, 0.9
    assert contour_vote(ring) is True


@pytest.mark.parametrize("rule", RULES)
def test_the_majority_decides(tmp_path: Path, rule: str) -> None:
    paths = write_images(tmp_path, [False] * 6 + [True] * 2)
    found = decide(Brightness(), paths, rule=rule, size=64, batch_size=3)
    assert found == Polarity(flag=True, rule=rule, margin=0.5, n_images=8)
    assert not found.undecided


def test_an_undecided_vote_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = write_images(tmp_path, [False, True] * 3)
    with caplog.at_level(logging.WARNING, "c2am_plugin"):
        found = decide(Brightness(), paths, size=64)
    assert found.undecided
    assert found.margin == 0
    assert "undecided" in caplog.text
    assert "50 % of 6 images" in caplog.text


def test_unreadable_images_do_not_vote(tmp_path: Path) -> None:
    paths = write_images(tmp_path, [True, True])
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert decide(Brightness(), [*paths, tmp_path / "broken.png"], size=64).n_images == 2
    with pytest.raises(InputError, match="none of the 1 images"):
        decide(Brightness(), [tmp_path / "broken.png"], size=64)


def test_the_model_stays_as_it_was(tmp_path: Path) -> None:
    model = Brightness().train()
    decide(model, write_images(tmp_path, [True]), size=64)
    assert model.training
    assert model.gain.requires_grad
