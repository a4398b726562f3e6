"""Checkpoints by the rules of the authors' training scripts, and what people make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from c2am_plugin.errors import InputError, UnsafeFileError
from c2am_plugin.network.checkpoint import load_checkpoint
from c2am_plugin.network.model import C2AM

pytestmark = pytest.mark.slow

CONTRACT = "ac_head.activation_head.weight"


@pytest.fixture(scope="module")
def network() -> C2AM:
    torch.manual_seed(3)
    return C2AM("resnet50")


def border_is_high(p: Tensor, width: int) -> Tensor:
    """The authors' test of the polarity, N×1×h×w → a 0-dimensional bool tensor: whether the mean
    over the four borders of P is above one half."""
    sides = (p[..., :width, :], p[..., :, :width], p[..., -width:, :], p[..., :, -width:])
    return torch.stack([side.mean() for side in sides]).mean() > 0.5


def for_segmentation(model: nn.Module, high: bool) -> dict[str, Any]:
    """VOC: the state dict and `flag`, which is a tensor once the polarity was tested."""
    p = torch.full((2, 1, 28, 28), 0.9 if high else 0.1)
    return {"state_dict": model.state_dict(), "flag": border_is_high(p, 4)}


def for_localisation(model: nn.Module, high: bool) -> dict[str, Any]:
    """CUB and ILSVRC: `Flag`, the epoch, and the best box threshold with its CorLoc."""
    p = (torch.full((1, 1, 14, 14), 0.9 if high else 0.1) > 0.5).float()
    return {
        "state_dict": model.state_dict(),
        "epoch": 3,
        "CorLoc": 100 * 41 / 57,
        "Threshold": 30 / 100,
        "Flag": border_is_high(p, 1),
    }


def with_numpy(model: nn.Module, high: bool) -> dict[str, Any]:
    """As people extend it: numbers of numpy, an optimizer beside."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(3))], lr=0.1, momentum=0.9)
    return {
        "state_dict": model.state_dict(),
        "flag": np.bool_(high),
        "best": np.float64(0.25),
        "seen": np.int64(7),
        "optimizer": optimizer.state_dict(),
    }


@pytest.mark.parametrize("high", [True, False])
@pytest.mark.parametrize("rule", [for_segmentation, for_localisation, with_numpy])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_training_scripts_write_loads(tmp_path, network, rule, high, zipped):
    content = rule(nn.DataParallel(network) if zipped else network, high)
    torch.save(content, tmp_path / "theirs.pth", _use_new_zipfile_serialization=zipped)
    loaded = load_checkpoint(tmp_path / "theirs.pth")
    assert loaded.flag is high
    assert torch.equal(loaded.model.state_dict()[CONTRACT], network.state_dict()[CONTRACT])


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.module."])
def test_a_bare_state_dict_loads_and_is_silent_on_its_polarity(tmp_path, network, prefix):
    """The training script for own images writes just this."""
    state = {prefix + name: value for name, value in network.state_dict().items()}
    torch.save(state, tmp_path / "bare.pth")
    loaded = load_checkpoint(tmp_path / "bare.pth")
    assert loaded.flag is None
    assert torch.equal(loaded.model.state_dict()[CONTRACT], network.state_dict()[CONTRACT])


class Notes:
    """A class of a training script, whose code a file would need."""


@pytest.mark.parametrize("whole", [True, False])
def test_the_advice_of_a_refusal_makes_a_file_that_loads(tmp_path, network, whole):
    network.notes = Notes()
    content = network if whole else {"state_dict": network.state_dict(), "config": Notes()}
    torch.save(content, tmp_path / "code.pth")
    del network.notes
    with pytest.raises(UnsafeFileError) as caught:
        load_checkpoint(tmp_path / "code.pth")
    advice = str(caught.value).partition("extract its tensors: ")[2]
    names = {"torch": torch, "FILE": tmp_path / "code.pth", "NEW": tmp_path / "new.pth"}
    exec(advice, names)
    loaded = load_checkpoint(tmp_path / "new.pth")
    assert torch.equal(loaded.model.state_dict()[CONTRACT], network.state_dict()[CONTRACT])


@pytest.mark.parametrize("flag", ["yes", 2, torch.ones(3), [True], 0.5])
def test_a_flag_that_is_neither_is_refused(tmp_path, network, flag):
    torch.save({"state_dict": network.state_dict(), "flag": flag}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match=r"bad\.pth: is damaged: flag is .*expected true or false"):
        load_checkpoint(tmp_path / "bad.pth")


def test_numpy_scalars_that_are_no_numbers_are_refused(tmp_path, network):
    for bad in (np.str_("x"), np.datetime64("2020-01-01"), np.array([1.0]), np.void(b"abc")):
        torch.save({"state_dict": network.state_dict(), "note": bad}, tmp_path / "bad.pth")
        with pytest.raises(InputError, match=r"bad\.pth"):
            load_checkpoint(tmp_path / "bad.pth")
