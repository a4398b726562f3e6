"""What a step of C2AM's training gets: pixels, or stored features, and the hints of each image.

Knows pixels and maps, neither the network nor the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..training.batches import TrainingImages
from .hints import Hints

__all__ = ["HintedImages", "View", "collate"]


class View(NamedTuple):
    """One image, or with a first axis N a batch.

    pixels    uint8 3×crop×crop RGB; where there are features a small picture
    features  float16 C×h×w of the frozen backbone; None: the network makes them of the pixels
    hint      float32 1×s×s in [0, 1]: the largest CAM of the same crop; None without hints
    """

    pixels: Tensor
    features: Tensor | None = None
    hint: Tensor | None = None


class HintedImages(TrainingImages):
    """`TrainingImages` with the hint of the same crop: [epoch, index] → View, or the InputError
    of an image or a CAM file that cannot be read.

    hints: of each image's CAM file; default none.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        resize: int,
        crop: int,
        seed: int = 0,
        hints: Hints | None = None,
    ) -> None:
        super().__init__(paths, resize, crop, seed)
        self.hints = hints
        self._maps: dict[int, np.ndarray] = {}

    def view(self, epoch: int, index: int) -> View:
        pixels = super().view(epoch, index)
        if self.hints is None:
            return View(pixels)
        hint = self.place(epoch, index).cut(self.hint_map(index))
        return View(pixels, None, torch.from_numpy(hint[None].copy()))

    def hint_map(self, index: int) -> np.ndarray:
        """float32 resize×resize: an image's hint as its square, 0 where there is none."""
        if index in self._maps:
            return self._maps[index]
        size = (self.resize, self.resize)
        found = self.hints.map_of(index) if self.hints else None
        if found is None:
            square = np.zeros(size, np.float32)
        else:
            picture = Image.fromarray(found.astype(np.float32))
            square = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
        if self.keeps:
            self._maps[index] = square
        return square


def collate(views: list[View | InputError]) -> tuple[View, list[str]]:
    """A batch for `training_loader`, and the errors of the images that are not in it."""
    good = [view for view in views if isinstance(view, View)]
    errors = [str(view) for view in views if isinstance(view, InputError)]
    if not good:
        return View(torch.empty(0, 3, 1, 1, dtype=torch.uint8)), errors
    parts = [
        None if parts[0] is None else torch.stack([part for part in parts if part is not None])
        for parts in zip(*good, strict=True)
    ]
    return View(*parts), errors  # type: ignore[arg-type]
