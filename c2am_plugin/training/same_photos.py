"""The same few photographs after each epoch: whole, not augmented, as squares.

Knows photographs and how to run a network without changing it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..errors import InputError
from ..files.folders import sample
from ..files.photos import read_photo

__all__ = ["is_shown", "same_photos", "unchanged"]

PHOTOS = 4
EPOCHS = 10  # at most, so that a long run's folder and page stay small


def is_shown(epoch: int, epochs: int) -> bool:
    """Whether a run shows its maps after that epoch, counted from 1. The last is always shown."""
    return (epochs - epoch) % math.ceil(epochs / EPOCHS) == 0


def same_photos(paths: Sequence[Path], side: int) -> dict[int, np.ndarray]:
    """{index: uint8 3×side×side} of up to `PHOTOS` photographs, spread over all; unreadable ones
    are left out."""
    found = {}
    for index in sample(range(len(paths)), PHOTOS):
        try:
            photo = Image.fromarray(read_photo(paths[index]))
        except InputError:
            continue
        square = np.asarray(photo.resize((side, side), Image.Resampling.BILINEAR))
        found[index] = square.transpose(2, 0, 1).copy()
    return found


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; afterwards each layer is in the mode that it was in before."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
