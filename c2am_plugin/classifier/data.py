"""Photographs with their image-level labels, as training sees them.

Knows files and pixels, not the network. What is drawn depends on (seed, epoch, image) and on
nothing else, so that a resumed run, and every arm of a comparison, sees the same views.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from ..errors import InputError
from ..files.photos import read_photo
from ..training.batches import CACHE_BYTES, Views
from ..training.normalisation import IMAGENET
from .recipes import Recipe

__all__ = ["LabelledImages", "collate"]

View = tuple[Tensor, Tensor]
# The traces' colour jitter: the share of views, the range, of hue too, and the share of grey ones.
JITTERED, RANGE, HUE, GREY = 0.8, 0.4, 0.1, 0.02


class LabelledImages(Views):
    """[epoch, index] → (uint8 3×crop×crop RGB, bool [C]), or the InputError that kept it.

    The longer side is drawn from the recipe's range, a square is cut at random and filled up with
    ImageNet's mean colour where the image is smaller; half of the views are mirrored.
    """

    def __init__(
        self, paths: Sequence[Path], labels: np.ndarray, plan: Recipe, seed: int = 0
    ) -> None:
        super().__init__(paths)
        self.labels, self.plan, self.seed = labels, plan, seed
        # Decoded photographs of up to the longest side that is drawn.
        self.keeps = len(self.paths) * plan.long_side[1] ** 2 * 3 <= CACHE_BYTES

    def view(self, epoch: int, index: int) -> View:
        photo = self.decoded(index)
        rng = np.random.default_rng([self.seed, epoch, index])
        low, high = self.plan.long_side
        view = _square(photo, int(rng.integers(low, high, endpoint=True)), self.plan.crop, rng)
        if self.plan.jitter:
            view = _jittered(view, rng)
        pixels = np.asarray(view)
        if rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        if self.plan.turns:
            pixels = np.rot90(pixels, int(rng.integers(4)))
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
        return image, torch.from_numpy(self.labels[index])

    def decode(self, index: int) -> Image.Image:
        photo = Image.fromarray(read_photo(self.paths[index]))
        if self.keeps:
            photo.thumbnail((self.plan.long_side[1],) * 2, Image.Resampling.BILINEAR)
        return photo


def _square(photo: Image.Image, longest: int, crop: int, rng: np.random.Generator) -> Image.Image:
    """The photograph with that longer side, cut or filled up to crop×crop at a random place."""
    factor = longest / max(photo.size)
    width, height = (max(1, round(side * factor)) for side in photo.size)
    resized = photo.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (_offset(side, crop, rng) for side in (width, height))
    canvas = Image.new("RGB", (crop, crop), tuple(round(255 * value) for value in IMAGENET.mean))
    canvas.paste(resized, (left, top))
    return canvas


def _offset(side: int, crop: int, rng: np.random.Generator) -> int:
    """Where an image's edge lies on the square: before its edge where the image is larger."""
    room = crop - side
    return int(rng.integers(min(room, 0), max(room, 0), endpoint=True))


def _jittered(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    # Drawn whether they are used or not, so that one share does not move what follows.
    used, grey = rng.random(2) < (JITTERED, GREY)
    factors = rng.uniform(1 - RANGE, 1 + RANGE, 3)
    hue = rng.uniform(-HUE, HUE)
    if used:
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for kind, factor in zip(kinds, factors, strict=True):
            view = kind(view).enhance(float(factor))
        bands = list(view.convert("HSV").split())
        turned = np.asarray(bands[0]).astype(np.int16) + round(255 * hue)
        bands[0] = Image.fromarray((turned % 256).astype(np.uint8))
        view = Image.merge("HSV", bands).convert("RGB")
    return view.convert("L").convert("RGB") if grey else view


def collate(views: list[View | InputError]) -> tuple[tuple[Tensor, Tensor], list[str]]:
    """A batch for `training_loader`: (uint8 N×3×h×w, bool N×C), and why others are not in it."""
    good = [view for view in views if not isinstance(view, InputError)]
    errors = [str(view) for view in views if isinstance(view, InputError)]
    if not good:
        return (torch.empty(0, 3, 1, 1, dtype=torch.uint8), torch.empty(0, 1)), errors
    images, labels = (torch.stack(parts) for parts in zip(*good, strict=True))
    return (images, labels), errors
