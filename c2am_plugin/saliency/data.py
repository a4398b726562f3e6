"""Photographs with their cues as pseudo masks, as training sees them.

Knows files and pixels, not the network. Whether an image is mirrored depends only on (seed, epoch,
image), so a resumed run sees the same examples as an uninterrupted one.
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
from ..files.cue_folders import find_cues as folder_of_cues
from ..files.cues import PLAIN, SQUARE, CueForm, read_saliency, resize_cue
from ..files.folders import sample
from ..files.lists import lacking
from ..files.photos import read_photo
from ..registry import MapReader
from ..training.batches import CACHE_BYTES, Views

__all__ = ["Example", "MaskedImages", "collate", "find_cues", "read_example"]

SAMPLE = 16  # cues checked before a run starts
# Two cues contradict each other where they differ by more: a hard cue is 1 and a soft cue is below
# 0.3, or a hard cue is 0 and a soft cue is above 0.7.
APART = 0.7


class Example(NamedTuple):
    """image: uint8 3×H×W RGB. mask: float32 1×H×W in [0, 1], 1 = foreground, NaN = unknown."""

    image: Tensor
    mask: Tensor


def find_cues(
    cues: str | Path,
    second: str | Path | None,
    images: dict[str, Path],
    *,
    flip: bool = False,
    stretch: bool = False,
) -> tuple[list[tuple[Path, ...]], tuple[CueForm, ...]]:
    """The cue files of every image, from `cues` and, if given, the `second` folder; and how the
    files of each folder are read. flip, stretch: see `CueForm`.

    Raises InputError if an image has no cue, or if no cue of a small sample is usable: each differs
    in shape from its photograph or is constant.
    """
    reader = MapReader.find()
    folders = {
        folder: folder_of_cues(folder, list(images), flip=flip, stretch=stretch, read_map=reader)
        for folder in (cues, second)
        if folder is not None
    }
    columns = [_of_each(folder, found.files, images) for folder, found in folders.items()]
    chosen = list(zip(*columns, strict=True))
    forms = tuple(found.form for found in folders.values())
    some = sample(list(zip(images.values(), chosen, strict=True)), SAMPLE)
    errors, flat = [], 0
    for image, files in some:
        try:
            _, mask = read_example(image, files, forms)
        except InputError as error:
            errors.append(error)
            continue
        flat += len(np.unique(mask[~np.isnan(mask)])) < 2
    if len(errors) == len(some):
        raise errors[0]
    if len(errors) + flat == len(some):
        raise InputError(
            f"{cues}: all {flat} cues checked are constant, so there is no foreground to learn; "
            "expected 255 = foreground, 0 = background"
        )
    return chosen, forms


def _of_each(cues: str | Path, found: dict[str, Path], images: dict[str, Path]) -> list[Path]:
    if without := lacking(images, found, "cue"):
        raise InputError(f"{cues}: {without}; list the images that have one with `ids`")
    return [found[image_id] for image_id in images]


def read_example(
    image: Path, cues: Sequence[Path], forms: Sequence[CueForm]
) -> tuple[np.ndarray, np.ndarray]:
    """The photograph uint8 H×W×3 and its mask float32 H×W: the first cue in [0, 1], 1 =
    foreground, and NaN where a second cue contradicts it. Raises InputError."""
    photo = read_photo(image)
    mask, *others = (_fitting(photo, *each) for each in zip(cues, forms, strict=True))
    for other in others:
        mask = np.where(np.abs(mask - other) > APART, np.float32(np.nan), mask)
    return photo, mask


def _fitting(photo: np.ndarray, cue: Path, form: CueForm) -> np.ndarray:
    """A cue's saliency at the photograph's size."""
    mask = read_saliency(cue, form=form)
    try:
        return resize_cue(mask, photo.shape[:2], stretch=form.stretch)
    except InputError as error:
        raise InputError(
            f"{cue}: has {mask.shape[1]}×{mask.shape[0]} pixels but its photograph has "
            f"{photo.shape[1]}×{photo.shape[0]}: the shapes differ, so this is another image"
            + (SQUARE if mask.shape[0] == mask.shape[1] else "")
        ) from error


class MaskedImages(Views):
    """Images and cues: [epoch, index] → Example, or an InputError for a pair that is unusable.

    side: every image is resized to a square of side×side pixels; 0: images keep their sizes. Half
    of the examples are mirrored.
    """

    def __init__(
        self,
        images: Sequence[Path],
        cues: Sequence[tuple[Path, ...]],
        side: int,
        seed: int = 0,
        forms: Sequence[CueForm] = (PLAIN,),
    ) -> None:
        super().__init__(images)
        self.cues = list(cues)
        self.side, self.seed, self.forms = side, seed, tuple(forms)
        # Per pixel, 3 bytes for the colour and 4 for the mask.
        self.keeps = bool(side) and len(self.paths) * side * side * 7 <= CACHE_BYTES

    def view(self, epoch: int, index: int) -> Example:
        photo, mask = self.decoded(index)
        if np.random.default_rng([self.seed, epoch, index]).random() < 0.5:
            photo, mask = photo[:, ::-1], mask[:, ::-1]
        image = torch.from_numpy(photo.transpose(2, 0, 1).copy())
        return Example(image, torch.from_numpy(mask[None].copy()))

    def decode(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        photo, mask = read_example(self.paths[index], self.cues[index], self.forms)
        if self.side:
            photo, mask = (
                np.asarray(Image.fromarray(x).resize((self.side,) * 2, Image.Resampling.BILINEAR))
                for x in (photo, mask)
            )
        return photo, mask


def collate(views: list[Example | InputError]) -> tuple[list[Example], list[str]]:
    """A batch for `training_loader`: its examples, and the errors of unusable ones."""
    good = [view for view in views if isinstance(view, Example)]
    return good, [str(view) for view in views if isinstance(view, InputError)]
