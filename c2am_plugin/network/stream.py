"""Photographs through the network, many at a time.

Knows files of photographs and the logits made of them; what becomes of those is a step that the
caller gives. Each worker takes its images all the way, so that reading, network, CRF and writing
overlap, on one thread of torch each where there are as many workers as cores. Under torchrun every
process takes its share of the images.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from ..errors import C2AMError, InputError
from ..files.image_files import open_image
from ..files.photos import read_photo
from ..files.writing import atomic_path
from ..runs.parallel import BatchResult, run_images
from ..runs.ranks import ALONE, Ranks
from ..training.devices import full_float32, is_out_of_memory, torch_threads
from .maps import ScaleLogits, scale_logits

__all__ = ["Network", "Step", "Stream"]

Step = Callable[[str, np.ndarray, Any], Any]


class ManyScales(Protocol):
    """What a stream sends photographs through: `Network`, or a classifier. Called from several
    threads with {image id: H×W×3 uint8}, all of one size."""

    scales: tuple[float, ...]

    def __call__(self, photos: dict[str, np.ndarray]) -> Mapping[str, Any]: ...


class Network:
    """A folded network and the scales it runs at. May be called from several threads.

    store  a folder that keeps every image's logits, so that none is computed twice; default none
    """

    def __init__(
        self, model: nn.Module, scales: tuple[float, ...], store: Path | None = None
    ) -> None:
        self.model, self.scales, self.store = model, scales, store
        # Threads that share a GPU gain nothing there, and need its memory several times.
        on_gpu = next(model.parameters()).device.type != "cpu"
        self.turn: AbstractContextManager = threading.Lock() if on_gpu else nullcontext()

    def __call__(self, photos: dict[str, np.ndarray]) -> dict[str, ScaleLogits]:
        """{image id: H×W×3 uint8}, all of one size → {image id: logits}."""
        kept = {i: self._load(i, photo) for i, photo in photos.items()}
        todo = [i for i, logits in kept.items() if logits is None]
        if todo:
            with self.turn:
                computed = scale_logits(self.model, [photos[i] for i in todo], self.scales)
            for image_id, logits in zip(todo, computed, strict=True):
                self._save(image_id, logits)
                kept[image_id] = logits
        return {i: logits for i, logits in kept.items() if logits is not None}

    def _load(self, image_id: str, photo: np.ndarray) -> ScaleLogits | None:
        if self.store is None or not (path := self.store / f"{image_id}.npz").exists():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            pairs = tuple(torch.from_numpy(arrays[str(k)]) for k in range(len(self.scales)))
        return ScaleLogits(self.scales, pairs, photo.shape[:2])

    def _save(self, image_id: str, logits: ScaleLogits) -> None:
        if self.store is None:
            return
        arrays: dict[str, Any] = {str(k): pair.numpy() for k, pair in enumerate(logits.pairs)}
        with atomic_path(self.store / f"{image_id}.npz") as path, path.open("wb") as file:
            np.savez(file, **arrays)


@dataclass(frozen=True)
class Stream:
    """Sends images through the network and then a step, several workers at a time.

    network     makes of photographs what the step takes
    step        called with (image id, H×W×3 uint8, what the network made of it)
    batch_size  images of one size sent through the network together
    ranks       the processes that share the images; all get the result of all. The bar is of the
                first one's share
    """

    network: ManyScales
    paths: dict[str, Path]
    batch_size: int
    workers: int
    progress: bool
    ranks: Ranks = ALONE

    def __call__(self, step: Step, ids: list[str], title: str) -> BatchResult:
        batches = list(self._batches(self.ranks.share(ids)))
        with full_float32(), torch_threads(self.workers):
            outcome = run_images(
                _each_image(step, self.network, self.workers),
                batches,
                workers=self.workers,
                title=title,
                progress=self.progress and self.ranks.is_first,
            )
        result = BatchResult(seconds=outcome.seconds)
        for batch in batches:
            if message := outcome.failures.get(batch.image_id):
                result.failures |= dict.fromkeys(batch.photos, message)
        for image_id, found in (pair for part in outcome.results.values() for pair in part.items()):
            if isinstance(found, C2AMError):
                result.failures[image_id] = str(found)
            else:
                result.results[image_id] = found
        return _merged(self.ranks.collect(result))

    def _batches(self, ids: Sequence[str]) -> Iterator[_Batch]:
        """The images, `batch_size` of one image size together."""
        by_size: dict[Any, list[str]] = defaultdict(list)
        for image_id in ids:
            size = _photo_size(self.paths[image_id]) if self.batch_size > 1 else None
            by_size[size].append(image_id)
        for group in by_size.values():
            for start in range(0, len(group), self.batch_size):
                some = group[start : start + self.batch_size]
                yield _Batch({image_id: self.paths[image_id] for image_id in some})


@dataclass(frozen=True)
class _Batch:
    """Photographs of one size, {image id: path}."""

    photos: dict[str, Path]

    @property
    def image_id(self) -> str:
        """The first one's, which stands for all."""
        return next(iter(self.photos))


def _merged(parts: list[BatchResult]) -> BatchResult:
    merged = BatchResult(seconds=max(part.seconds for part in parts))
    for part in parts:
        merged.results |= part.results
        merged.failures |= part.failures
    merged.results = dict(sorted(merged.results.items()))
    merged.failures = dict(sorted(merged.failures.items()))
    return merged


def _each_image(
    step: Step, network: ManyScales, workers: int
) -> Callable[[_Batch], dict[str, Any]]:
    """A function of a batch: read its photographs, send them through the network together and each
    through `step`. Returns {image id: result, or the C2AMError that kept it}."""

    def through(photos: dict[str, np.ndarray]) -> dict[str, Any]:
        """Where memory is full, the images of a batch go on one by one."""
        try:
            return {
                image_id: _or_error(partial(step, image_id, photos[image_id], logits))
                for image_id, logits in network(photos).items()
            }
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Here, where the error no longer holds the memory.
        if len(photos) == 1:
            ((image_id, photo),) = photos.items()
            return {image_id: InputError(_memory_advice(image_id, photo, network.scales, workers))}
        return {k: v for i, photo in photos.items() for k, v in through({i: photo}).items()}

    def work(batch: _Batch) -> dict[str, Any]:
        photos = {i: _or_error(partial(read_photo, path)) for i, path in batch.photos.items()}
        bad = {i: photo for i, photo in photos.items() if isinstance(photo, C2AMError)}
        good = {i: photo for i, photo in photos.items() if i not in bad}
        return {**bad, **(through(good) if good else {})}

    return work


def _or_error(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except C2AMError as error:
        return error


def _memory_advice(
    image_id: str, photo: np.ndarray, scales: tuple[float, ...], workers: int
) -> str:
    largest = max(scales)
    fewer = ", or `workers=1`" if workers > 1 else ""
    return (
        f"{image_id}: out of memory with an image of {photo.shape[1]}×{photo.shape[0]} at scale "
        f"{largest:g}; take smaller `scales`{fewer}"
    )


def _photo_size(path: Path) -> tuple[int, int] | None:
    """The size in a photograph's header; None if it cannot be read, which is reported later."""
    try:
        with open_image(path) as image:
            return image.size
    except InputError:
        return None
