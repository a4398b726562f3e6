"""The batches of training images, and the random crop of each image.

Knows files and pixels, not the network. The crop of an image depends only on (seed, epoch, image),
and the images of a batch only on (seed, epoch). A resumed run therefore sees the same batches as
an uninterrupted one, with any number of workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ..errors import InputError
from ..files.photos import read_photo
from ..runs.ranks import ALONE, Ranks, cores
from ..runs.signals import ignore_signals

__all__ = ["BatchOrder", "Place", "TrainingImages", "Views", "training_loader"]

log = logging.getLogger(__name__)

# Decoded images are kept in memory if all together are not larger than this.
CACHE_BYTES = 512 * 2**20


class Views(Dataset):
    """Images as training sees them: [epoch, index] → a view, or the InputError of a bad image.

    keeps: whether all images are small enough to stay decoded in memory.
    """

    keeps: bool

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self._kept: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        try:
            return self.view(*key)
        except InputError as error:
            return error

    def view(self, epoch: int, index: int) -> Any:
        """An image as an epoch shows it. Raises InputError."""
        raise NotImplementedError

    def decode(self, index: int) -> Any:
        """What the views of an image are made of. Raises InputError."""
        raise NotImplementedError

    def decoded(self, index: int) -> Any:
        """`decode`, once for each image if memory keeps them."""
        if index in self._kept:
            return self._kept[index]
        value = self.decode(index)
        if self.keeps:
            self._kept[index] = value
        return value


class Place(NamedTuple):
    """Where a view lies in its image's square, in pixels, and whether it is mirrored."""

    top: int
    left: int
    side: int
    mirrored: bool

    def cut(self, values: np.ndarray) -> np.ndarray:
        """H×W×… of the square → side×side×…, a view of it."""
        part = values[self.top : self.top + self.side, self.left : self.left + self.side]
        return part[:, ::-1] if self.mirrored else part


class TrainingImages(Views):
    """Random views of images: [epoch, index] → uint8 3×crop×crop RGB, or an InputError.

    Each image is resized to resize×resize (bilinear, whatever its shape), cropped to crop×crop at
    a random position and mirrored with probability 1/2. For an unreadable image the error is
    returned, and `training_loader` leaves the image out.
    """

    def __init__(self, paths: Sequence[Path], resize: int, crop: int, seed: int = 0) -> None:
        if not 1 <= crop <= resize:
            raise InputError(
                f"crop {crop} of images resized to {resize}: expected from 1 to {resize}"
            )
        super().__init__(paths)
        self.resize, self.crop, self.seed = resize, crop, seed
        self.keeps = len(self.paths) * resize * resize * 3 <= CACHE_BYTES

    def view(self, epoch: int, index: int) -> Any:
        view = self.place(epoch, index).cut(self.decoded(index))
        return torch.from_numpy(view.transpose(2, 0, 1).copy())

    def place(self, epoch: int, index: int) -> Place:
        """The view of an image in an epoch."""
        random = np.random.default_rng([self.seed, epoch, index])
        top, left = random.integers(self.resize - self.crop, size=2, endpoint=True)
        return Place(int(top), int(left), self.crop, bool(random.random() < 0.5))

    def decode(self, index: int) -> np.ndarray:
        """uint8 resize×resize×3."""
        photo = Image.fromarray(read_photo(self.paths[index]))
        return np.asarray(photo.resize((self.resize,) * 2, Image.Resampling.BILINEAR))


class BatchOrder(Sampler):
    """The images of each batch: lists of (epoch, index), reshuffled each epoch.

    Images that do not fill a last batch are left out of that epoch: pairs lie within a batch, so a
    smaller batch would have a different loss. first_step: number of batches to skip. ranks: the
    processes that share each batch; the lists are the shares of this process.
    """

    def __init__(
        self,
        n_images: int,
        batch_size: int,
        epochs: int,
        seed: int = 0,
        first_step: int = 0,
        ranks: Ranks = ALONE,
    ) -> None:
        self.n_images, self.batch_size = n_images, batch_size
        self.epochs, self.seed, self.first_step = epochs, seed, first_step
        self.ranks = ranks
        self.steps_per_epoch = n_images // batch_size

    def __len__(self) -> int:
        return self.epochs * self.steps_per_epoch - self.first_step

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for epoch in range(self.epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(self.n_images).tolist()
            for step in range(self.steps_per_epoch):
                if epoch * self.steps_per_epoch + step >= self.first_step:
                    batch = order[step * self.batch_size : (step + 1) * self.batch_size]
                    yield [(epoch, index) for index in self.ranks.share(batch)]


def _collate(views: list[Tensor | InputError]) -> tuple[Tensor, list[str]]:
    errors = [str(view) for view in views if isinstance(view, InputError)]
    good = [view for view in views if isinstance(view, Tensor)]
    return torch.stack(good) if good else torch.empty(0, 3, 1, 1, dtype=torch.uint8), errors


def training_loader(
    images: Views,
    order: BatchOrder,
    workers: int | None = None,
    collate: Callable[[list[Any]], tuple[Any, list[str]]] = _collate,
) -> DataLoader:
    """Batches (uint8 N×3×crop×crop, errors of the images that could not be read), in order.

    workers: processes that read and decode. None: one per core, or none if the images are few
    enough to stay decoded in this process. collate: makes a different pair from a batch's views.
    """
    if workers is None:
        workers = 0 if images.keeps else cores()
    return DataLoader(
        images,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=ignore_signals,
        pin_memory=torch.cuda.is_available(),
    )
