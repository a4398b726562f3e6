"""A trained saliency network as a file.

Layout: {"state_dict", "info"}. info contains the backbone, stride and width needed to rebuild the
network, the scales to predict at, and the settings of the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..errors import InputError
from ..files.writing import atomic_path
from ..network.maps import check_scales
from ..training.weights import (
    LARGEST_SIDE,
    check_finite,
    check_room,
    made_of,
    read_torch_file,
    take_statistics,
)
from .net import PoolNet

__all__ = ["SaliencyCheckpoint", "load_saliency", "save_saliency"]

KIND = "saliency"
WIDEST = 4096


@dataclass(frozen=True)
class SaliencyCheckpoint:
    """A trained network in eval mode; info as stored by training (`train.train_saliency`)."""

    model: PoolNet
    info: dict[str, Any]


def save_saliency(path: str | Path, model: PoolNet, info: Mapping[str, Any]) -> None:
    """Write a checkpoint, atomically."""
    network = {**made_of(model), "output_stride": model.stride, "width": model.width}
    content = {
        "state_dict": {name: value.cpu() for name, value in model.state_dict().items()},
        "info": {"kind": KIND, "version": __version__, **network, **info},
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def load_saliency(path: str | Path, device: torch.device | str = "cpu") -> SaliencyCheckpoint:
    """A checkpoint of c2am-saliency. Raises InputError for anything else."""
    content = read_torch_file(path)
    info = content.get("info") if isinstance(content, Mapping) else None
    if not (isinstance(info, Mapping) and info.get("kind") == KIND):
        raise InputError(
            f"{path}: is not a saliency network; expected last.pt of a c2am-saliency run "
            "(checkpoints of c2am-train are for c2am-cues)"
        )
    try:
        network = (info["backbone"], info["output_stride"], info["width"])
        if not 0 < info["width"] <= WIDEST:
            raise ValueError(f"width {info['width']}")
        if max(check_scales(info["scales"])) > LARGEST_SIDE:
            raise ValueError(f"scales {info['scales']}")
        check_room(path, info["backbone"], content["state_dict"])
        model = PoolNet(*network)
        model.load_state_dict(content["state_dict"])
    except (
        InputError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
        ArithmeticError,
    ) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: is damaged or from another version ({reason}); take another file, or train "
            "again"
        ) from error
    check_finite(path, model)
    take_statistics(path, model, info)
    return SaliencyCheckpoint(model.to(device).eval(), dict(info))
