"""The features of a frozen backbone: computed once per image and its mirror, and kept on disk.

Knows photographs, a network and the folder of a run. Training then reads crops of the stored maps.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError, OutputError
from ..files.writing import write_json
from ..runs.output_folders import digest
from ..runs.ranks import Ranks
from ..training.batches import Place, Views
from ..training.normalisation import normalise
from .inference import fast_copy
from .model import C2AM
from .views import HintedImages, View

__all__ = ["FrozenViews", "frozen_views", "remove_features"]

log = logging.getLogger(__name__)

FOLDER = "features"
PICTURE = 64  # side of the small pictures for the log, in pixels
AT_ONCE = 4  # images and their mirrors that go through the backbone together
LARGEST = 65504  # float16's


class FrozenViews(Views):
    """[epoch, index] → the View of an image: a crop of its features, or of its mirror's.

    The crop is that of `HintedImages` to the nearest cell.
    """

    keeps = True  # this process reads: the system keeps the file in memory as far as it fits

    def __init__(self, images: HintedImages, folder: Path, bad: dict[int, str]) -> None:
        super().__init__(images.paths)
        self.images, self.bad = images, bad
        self.features = np.load(folder / "features.npy", mmap_mode="r")
        self.pictures = np.load(folder / "pictures.npy", mmap_mode="r")

    def view(self, epoch: int, index: int) -> View:
        if index in self.bad:
            raise InputError(self.bad[index])
        place = _of_whole_cells(
            self.images.place(epoch, index), self.images.resize, self.features.shape[-1]
        )
        features = _cut(self.features[index, int(place.mirrored)], place, self.images.resize)
        pixels = _cut(
            _turned(self.pictures[index], place).transpose(2, 0, 1), place, self.images.resize
        )
        if self.images.hints is None:
            return View(pixels, features)
        square = _turned(self.images.hint_map(index), place)
        return View(pixels, features, _cut(square[None], place, self.images.resize))


def frozen_views(
    run: Path,
    settings: dict[str, Any],
    model: C2AM,
    images: HintedImages,
    *,
    where: torch.device,
    ranks: Ranks,
    progress: bool,
) -> FrozenViews:
    """The features of all images, in `run`/features: those of an interrupted run, or new ones.

    The processes share the images. Raises OutputError where the disk has no room for them.
    """
    folder, key = run / FOLDER, digest(json.dumps(settings, sort_keys=True))
    done = folder / "done.json"
    bad = ranks.first(lambda: _earlier(done, key))
    if bad is None:
        cells = math.ceil(images.resize / model.stride)
        shape = (len(images), 2, model.n_features, cells, cells)
        ranks.first(lambda: _make_room(folder, shape))
        fast = cast(C2AM, fast_copy(model, where))
        found = _compute(fast, images, folder, ranks, progress)
        bad = {index: text for part in ranks.collect(found) for index, text in part.items()}
        ranks.first(lambda: write_json(done, {"settings": key, "unreadable": bad}))
    return FrozenViews(images, folder, bad)


def remove_features(run: Path) -> None:
    """Free the disk when they are no longer needed."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def _make_room(folder: Path, shape: tuple[int, ...]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    needed, free = 2 * math.prod(shape), shutil.disk_usage(folder).free
    size = f"the features of {shape[0]} images take {needed / 2**30:.1f} GiB"
    if needed > free:
        shutil.rmtree(folder)
        raise OutputError(
            f"{folder}: {size}, but {free / 2**30:.1f} GiB are free; take a smaller `resize`, a "
            "larger `output_stride`, fewer `ids`, or another disk"
        )
    log.info("%s in %s until training has ended", size, folder)
    _open(folder / "features.npy", np.float16, shape)
    _open(folder / "pictures.npy", np.uint8, (shape[0], PICTURE, PICTURE, 3))


def _open(path: Path, kind: type, shape: tuple[int, ...]) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape).flush()


def _of_whole_cells(place: Place, resize: int, cells: int) -> Place:
    """The place moved to the nearest cell, as seen in the square that is mirrored where it is."""
    left = resize - place.side - place.left if place.mirrored else place.left
    top, left = (round(round(x * cells / resize) * resize / cells) for x in (place.top, left))
    return Place(top, left, place.side, place.mirrored)


def _turned(values: np.ndarray, place: Place) -> np.ndarray:
    return values[:, ::-1] if place.mirrored else values


def _cut(values: np.ndarray, place: Place, resize: int) -> Tensor:
    """…×s×s values of a square → those of a place; a value stands for resize / s pixels."""
    cells = values.shape[-1]
    side = min(cells, math.ceil(place.side * cells / resize))
    top, left = (min(round(x * cells / resize), cells - side) for x in (place.top, place.left))
    part = values[..., top : top + side, left : left + side]
    return torch.from_numpy(part.copy())


@torch.inference_mode()
def _compute(
    model: C2AM, images: HintedImages, folder: Path, ranks: Ranks, progress: bool
) -> dict[int, str]:
    """Fill this rank's rows; {index: message} of the images that cannot be read."""
    features = np.load(folder / "features.npy", mmap_mode="r+")
    pictures = np.load(folder / "pictures.npy", mmap_mode="r+")
    mine, bad = ranks.share(range(len(images))), {}
    device = next(model.parameters()).device
    with tqdm(desc="features", total=len(mine), disable=not (progress and ranks.is_first)) as bar:
        for start in range(0, len(mine), AT_ONCE):
            squares: dict[int, np.ndarray] = {}
            for index in mine[start : start + AT_ONCE]:
                try:
                    squares[index] = images.decoded(index)
                except InputError as error:
                    bad[index] = str(error)
            for index, pixels in squares.items():
                small = Image.fromarray(pixels).resize((PICTURE, PICTURE))
                pictures[index] = np.asarray(small)
            if squares:
                batch = torch.from_numpy(np.stack(list(squares.values()))).to(device)
                made = _both_sides(model, batch.permute(0, 3, 1, 2))
                features[list(squares)] = made.cpu().numpy()
            bar.update(len(mine[start : start + AT_ONCE]))
    features.flush()
    pictures.flush()
    return bad


def _both_sides(model: C2AM, pixels: Tensor) -> Tensor:
    """uint8 N×3×s×s → float16 N×2×C×h×w: the features of the images and of their mirrors."""
    images = normalise(pixels, model)
    both = torch.cat([images, images.flip(-1)]).contiguous(memory_format=torch.channels_last)
    made = model.features(both).float().clamp(-LARGEST, LARGEST).half()
    return torch.stack(made.chunk(2), dim=1)


def _earlier(done: Path, key: str) -> dict[int, str] | None:
    """The unreadable images of an interrupted run with these settings; None: there is none."""
    try:
        noted = json.loads(done.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if noted.get("settings") != key:
        return None
    return {int(index): text for index, text in noted["unreadable"].items()}
