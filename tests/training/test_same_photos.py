"""The same photographs after each epoch: which ones, when, and that looking changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from c2am_plugin.training.same_photos import EPOCHS, is_shown, same_photos, unchanged


@pytest.mark.parametrize("epochs", [1, 3, 10, 11, 15, 16, 20, 200])
def test_at_most_ten_epochs_are_shown_the_last_among_them(epochs: int) -> None:
    shown = [epoch for epoch in range(1, epochs + 1) if is_shown(epoch, epochs)]
    assert min(epochs, EPOCHS) / 2 <= len(shown) <= EPOCHS
    assert shown[-1] == epochs
    assert len(set(np.diff(shown))) <= 1


def test_photographs_of_any_shape_are_squares_and_bad_ones_are_left_out(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    for i, path in enumerate(paths):
        Image.new("RGB", (20 + i, 30), (i, 0, 0)).save(path)
    paths[4].write_bytes(b"no picture")
    found = same_photos(paths, 16)
    assert {index: photo[0].max() for index, photo in found.items()} == {0: 0, 2: 2, 6: 6}
    assert {photo.shape for photo in found.values()} == {(3, 16, 16)}
    assert list(same_photos(paths[:1], 16)) == [0]


def test_each_layer_returns_to_its_mode_also_after_an_error() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(), nn.BatchNorm2d(3)).train()
    model[2].eval()
    state, random = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    with unchanged(model):
        assert not model(torch.arange(12.0).reshape(1, 3, 2, 2)).requires_grad
    with pytest.raises(RuntimeError, match=r"channels|elements"), unchanged(model):
        model(torch.zeros(1, 4, 2, 2))
    assert [module.training for module in model] == [True, True, False]
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
