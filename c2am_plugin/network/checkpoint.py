"""Checkpoints of C2AM, ours and the authors'. Every file is read with weights_only=True."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..errors import InputError
from ..files.writing import atomic_path
from ..training.weights import (
    LARGEST_SIDE,
    check_names,
    check_room,
    describe_content,
    fill_network,
    made_of,
    named_tensors,
    read_torch_file,
    take_statistics,
)
from .model import C2AM

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

# A tensor that every C2AM network has, and by which its names are found behind any prefix.
HEAD = "ac_head.activation_head.weight"


@dataclass(frozen=True)
class Checkpoint:
    """A trained network.

    flag  True: P (the sigmoid of the logits) is high on the background; None: the file is silent
    info  backbone, its mean and std, output_stride, dilated; where we wrote the file also version,
          and what training noted: recipe, settings, epoch, polarity {flag, rule, margin, n_images}
    """

    model: C2AM
    flag: bool | None
    info: dict[str, Any]


def save_checkpoint(
    path: str | Path, model: C2AM, flag: bool | None, info: Mapping[str, Any]
) -> None:
    """Write {"state_dict", "flag", "info"}, atomically: the authors' layout and one key more.

    Their code reads the first two keys of it. info may hold numbers, strings, None, lists and
    dicts; what the network is made of is added to it.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    network = {
        "version": __version__,
        **made_of(model),
        "output_stride": model.stride,
        "dilated": model.dilated,
    }
    # Given a path, torch would write its name into the file: never twice the same bytes.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save({"state_dict": state, "flag": flag, "info": {**info, **network}}, file)


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> Checkpoint:
    """Read a checkpoint of ours or of the authors' code (a ResNet-50 of stride 16), in eval mode.

    The authors' training for segmentation notes the polarity as `flag`, that for localisation as
    `Flag`, a 0-dimensional tensor on the GPU; that for own images stores the bare state dict, whose
    polarity is not known. Prefixes of layer names (`module.`) are ignored. Raises InputError for
    any other file, UnsafeFileError for a file that contains code.
    """
    content = read_torch_file(path)
    state = _network_tensors(content)
    if not state:
        raise InputError(
            f"{path}: is not a C2AM checkpoint (found {describe_content(content)}); expected "
            "'state_dict' and 'flag', as c2am-train and the authors' code write them, or the "
            "network's state dict alone (files of initial weights are for c2am-train)"
        )
    info, flag = content.get("info") or {}, _flag(path, content)
    if not isinstance(info, dict):
        raise InputError(f"{path}: is damaged: info is {type(info).__name__}; expected a dict")
    if wrong := _wrong_notes(info):
        raise InputError(f"{path}: is damaged: its {wrong} is {reprlib.repr(info[wrong])}")
    info = {"backbone": "resnet50", "output_stride": 16, "dilated": False, **info}
    network = tuple(info[name] for name in ("backbone", "output_stride", "dilated"))
    if tuple(map(type, network)) != (str, int, bool):
        raise InputError(
            f"{path}: is damaged: backbone, stride and dilation are {reprlib.repr(network)}"
        )
    check_room(path, info["backbone"], state)
    try:
        model = C2AM(*network)
    except InputError as error:
        raise InputError(f"{path}: {str(error)[:400]}") from error
    check_names(path, info["backbone"], model.state_dict(), state)
    fill_network(path, model, state)
    take_statistics(path, model, info)
    return Checkpoint(model.to(device).eval(), flag, info)


def _network_tensors(content: Any) -> dict[str, Tensor]:
    """The tensors of a C2AM network by their own names; empty where there is none."""
    for state in named_tensors(content):
        for name in state:
            if name == HEAD or name.endswith("." + HEAD):
                prefix = name.removesuffix(HEAD)
                return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    return {}


def _flag(path: str | Path, content: Mapping[str, Any]) -> bool | None:
    """Whether P is high on the background, however it is noted; None where the file is silent."""
    flag = content.get("flag", content.get("Flag"))
    if isinstance(flag, Tensor) and flag.numel() == 1:
        flag = flag.item()
    if flag is None or (isinstance(flag, (bool, int, float)) and flag in (0, 1)):
        return None if flag is None else bool(flag)
    raise InputError(
        f"{path}: is damaged: flag is {reprlib.repr(flag)}; expected true or false, as one value"
    )


def _wrong_notes(info: Mapping[str, Any]) -> str | None:
    """Which of training's notes, as far as they are used, is not what training notes."""
    for name in ("crop", "resize"):
        side = info.get(name)
        if side is not None and not (type(side) is int and 0 < side <= LARGEST_SIDE):
            return name
    hints = info.get("hints")
    if hints is not None and not (
        isinstance(hints, dict) and isinstance(hints.get("taught"), (list, tuple))
    ):
        return "hints"
    noted = info.get("polarity")
    if noted is None:
        return None
    fits = (
        isinstance(noted, dict)
        and isinstance(noted.get("rule"), str)
        and isinstance(noted.get("margin"), (float, int, NoneType))
    )
    return None if fits else "polarity"
