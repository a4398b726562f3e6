"""Classifiers as files: ours, torchvision's, and IRN's. Every file is read with weights_only=True.

Ours keep {"state_dict", "info"}, the tensors under torchvision's names, so that `c2am-train
--weights` takes them as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..errors import InputError
from ..files.folders import first_names
from ..files.writing import atomic_path
from ..training.weights import (
    check_finite,
    check_room,
    describe_content,
    fill_network,
    made_of,
    named_tensors,
    read_torch_file,
    take_statistics,
)
from .split import Classifier, head_names

__all__ = ["ClassifierCheckpoint", "load_classifier", "save_classifier"]

KIND = "classifier"
MADE_OF = ("backbone", "output_stride", "dilated", "neck", "pooling", "bias", "classes")
# What stands before torchvision's names in IRN's files, and how its classes are called there.
IRN_TRUNK, IRN_HEAD = "resnet50.", "classifier.weight"


@dataclass(frozen=True)
class ClassifierCheckpoint:
    """A classifier in eval mode and its class names; info as noted in training, or empty."""

    model: Classifier
    classes: tuple[str, ...]
    info: dict[str, Any]


def save_classifier(
    path: str | Path, model: Classifier, classes: Sequence[str], info: Mapping[str, Any]
) -> None:
    """Write a checkpoint, atomically. info may hold numbers, strings, None, lists and dicts."""
    network = {
        "kind": KIND,
        "version": __version__,
        **made_of(model),
        "output_stride": model.stride,
        "dilated": model.dilated,
        "neck": model.neck_width,
        "pooling": model.pooling,
        "bias": model.head.bias is not None,
        "classes": list(classes),
    }
    state = {k: v.detach().cpu().contiguous() for k, v in torchvision_state(model).items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save({"state_dict": state, "info": {**info, **network}}, file)


def load_classifier(
    path: str | Path,
    device: torch.device | str = "cpu",
    *,
    backbone: str | None = None,
    classes: Sequence[str] | None = None,
    output_stride: int = 16,
) -> ClassifierCheckpoint:
    """A classifier from last.pt of c2am-cams, a torchvision state dict, or IRN's resnet50_cam.

    backbone, classes, output_stride  for files that do not say: torchvision's name (default
        resnet50), the class names in the order of the head's rows, and the stride to run it at

    Raises InputError for anything else. A ResNet-38d (PSA, SEAM) is refused: torchvision has no
    such network.
    """
    content = read_torch_file(path)
    info = content.get("info") if isinstance(content, Mapping) else None
    if isinstance(info, Mapping) and info.get("kind") == KIND:
        model, names, info = _ours(path, content, info)
    else:
        model, names = _foreign(path, content, backbone or "resnet50", classes, output_stride)
        info = {}
    check_finite(path, model)
    take_statistics(path, model, info)
    return ClassifierCheckpoint(model.to(device).eval(), names, dict(info))


def torchvision_state(model: Classifier) -> dict[str, Tensor]:
    """A classifier's tensors under torchvision's names, linear layers as matrices; "neck.0.weight"
    has no twin there."""
    names = _renamed(model)
    state = {}
    for key, value in model.state_dict().items():
        flat = key.startswith(("head.", "hidden.")) and model.name.split("_")[0] != "squeezenet1"
        state[names.get(key, key.removeprefix("backbone."))] = (
            value.flatten(1) if (flat and value.ndim == 4) else value
        )
    return state


def fill_classifier(path: str | Path, model: Classifier, state: Mapping[str, Tensor]) -> None:
    """The inverse of `torchvision_state`. Raises InputError."""
    names = _renamed(model)
    wanted = model.state_dict()
    found, wrong = {}, []
    for key, like in wanted.items():
        value = state.get(names.get(key, key.removeprefix("backbone.")))
        if value is not None and value.numel() == like.numel():
            found[key] = value.reshape(like.shape)
        elif not key.endswith("num_batches_tracked"):
            wrong.append(names.get(key, key.removeprefix("backbone.")))
    if wrong:
        raise InputError(
            f"{path}: does not fit a {model.name} of {model.n_classes} classes: {len(wrong)} of "
            f"{len(wanted)} tensors are missing or of another shape ({first_names(wrong, 2)}); "
            "name its `backbone`, or give the file to `weights`, which trains a new head"
        )
    fill_network(path, model, found, strict=False)


def _renamed(model: Classifier) -> dict[str, str]:
    """{our name: torchvision's} of the head, and of VGG's hidden layers."""
    *hidden, last = head_names(model.name)
    names = {f"head.{kind}": f"{last}.{kind}" for kind in ("weight", "bias")}
    if model.border:
        for ours, theirs in zip((0, 2), hidden, strict=True):
            names |= {f"hidden.{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}
    return names


def _ours(
    path: str | Path, content: Mapping[str, Any], info: Mapping[str, Any]
) -> tuple[Classifier, tuple[str, ...], Mapping[str, Any]]:
    try:
        backbone, stride, dilated, neck, pooling, bias, classes = (info[name] for name in MADE_OF)
        names = tuple(str(name) for name in classes)
        check_room(path, backbone, content["state_dict"])
        model = Classifier(
            backbone, len(names), stride, dilated=dilated, neck=neck, pooling=pooling, bias=bias
        )
        fill_classifier(path, model, content["state_dict"])
    except InputError:
        raise
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: is damaged or of another version ({reason})") from error
    return model, names, info


def _foreign(
    path: str | Path,
    content: Any,
    backbone: str,
    classes: Sequence[str] | None,
    output_stride: int,
) -> tuple[Classifier, tuple[str, ...]]:
    states = list(named_tensors(content))
    if not states:
        raise InputError(
            f"{path}: contains no classifier (found {describe_content(content)}); expected last.pt "
            "of c2am-cams, or a state dict of torchvision or of IRN's resnet50_cam"
        )
    state = {k.removeprefix("module."): v for k, v in max(states, key=len).items()}
    if any(name.startswith(("conv1a.", "b2.", "b2_1.")) for name in state):
        raise InputError(
            f"{path}: is a ResNet-38d of PSA or SEAM, which torchvision does not have: make its "
            "CAMs with its own code; expected torchvision's layers or IRN's resnet50_cam"
        )
    is_irn = f"{IRN_TRUNK}conv1.weight" in state and IRN_HEAD in state
    last = head_names(backbone)[-1]
    if is_irn:
        backbone, last = "resnet50", "fc"
        trunk = {k.removeprefix(IRN_TRUNK): v for k, v in state.items() if k.startswith(IRN_TRUNK)}
        state = {**trunk, "fc.weight": state[IRN_HEAD]}
        state.pop("fc.bias", None)
    if f"{last}.weight" not in state:
        raise InputError(
            f"{path}: has no class head {last}.weight of a {backbone} (found "
            f"{first_names(state, 3)}); name its `backbone`, or give the file to `weights`"
        )
    check_room(path, backbone, state)
    rows = len(state[f"{last}.weight"])
    if classes is None or len(classes) != rows:
        have = "none is named" if classes is None else f"{len(classes)} are named"
        raise InputError(
            f"{path}: has {rows} classes and {have}; name them in the order of its head, or give "
            "the file to `weights`, which trains a new head"
        )
    model = Classifier(
        backbone, rows, output_stride, pooling="published", bias=f"{last}.bias" in state
    )
    fill_classifier(path, model, state)
    return model, tuple(classes)
