"""How pixels become a network's input. Knows numbers and tensors only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import InputError

__all__ = ["IMAGENET", "Statistics", "normalise", "noted_statistics", "statistics_of"]


class Statistics(NamedTuple):
    """Mean and deviation of the pixels in [0, 1] with which a backbone was trained, RGB."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# ImageNet's, with which torchvision's weights were trained.
IMAGENET = Statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def normalise(images: Tensor, network: nn.Module | None = None) -> Tensor:
    """uint8 N×3×H×W RGB → float32 N×3×H×W, by the mean and deviation of the network's backbone.

    network: default, and where it does not say: ImageNet's.
    """
    mean, std = (
        torch.tensor(each, device=images.device).view(1, 3, 1, 1) for each in statistics_of(network)
    )
    return (images / 255 - mean) / std


def statistics_of(network: nn.Module | None) -> Statistics:
    """The statistics that a network's images are normalised by."""
    return getattr(getattr(network, "backbone", None), "statistics", IMAGENET)


def noted_statistics(info: Mapping[str, Any]) -> Statistics:
    """The `mean` and `std` of a checkpoint's notes; ImageNet's in files that have none.

    Raises InputError for anything but three finite numbers each, of which the deviations are > 0.
    """
    both = info.get("mean", IMAGENET.mean), info.get("std", IMAGENET.std)
    for name, least, values in zip(("mean", "std"), (-math.inf, 0.0), both, strict=True):
        fits = (
            isinstance(values, (list, tuple))
            and len(values) == 3
            and all(type(each) in (int, float) and math.isfinite(each) for each in values)
        )
        if not fits or not all(each > least for each in values):
            raise InputError(f"is damaged: its {name} is {values!r:.60}; expected three numbers")
    return Statistics(*(tuple(map(float, values)) for values in both))  # type: ignore[arg-type]
