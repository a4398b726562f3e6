"""The device that a network runs on."""

from __future__ import annotations

import pytest
import torch

from c2am_plugin.training.devices import full_float32


@pytest.mark.parametrize("before", [False, True])
def test_tf32_is_off_within_the_block_alone(monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", before)
    with full_float32():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before
