"""Segment files of any segmenter: superpixels or object masks, one file or folder per image.

Two layouts are read. `<id>.npy` (integers H×W) or `<id>.png` (8 or 16 bits) contains the number of
the segment at each pixel, as S2C and superpixel tools write it. A folder `<id>/` contains one
binary PNG per mask, as SAM's tools and SEPL write it; masks may overlap. The meaning of 0 in a file
of numbers is decided once per folder, see `find_segments`. Neither CAMs nor cues are known here.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .cues import is_soft_cue, one_channel, same_aspect
from .folders import find_files, first_names, plain_file, sample, walk
from .image_files import DAMAGE, open_image
from .names import under_ids

__all__ = ["SegmentFiles", "find_segments", "read_segments"]

NONE = -1
# The number of files that are read to determine the meaning of 0.
SAMPLE = 16
# Superpixels are numbered consecutively and are far fewer, so a larger number is not a segment.
MOST_SEGMENTS = 1 << 24
log = logging.getLogger("c2am_plugin")


@dataclass(frozen=True)
class SegmentFiles:
    """The segments of a set.

    files         {image id: file of numbers, or folder of masks}
    zero_is_none  whether 0 in a file of numbers means that a pixel is in no segment
    """

    files: dict[str, Path]
    zero_is_none: bool


def find_segments(folder: str | Path, ids: Collection[str]) -> SegmentFiles:
    """The segments of a folder, with the names spelled as in `ids`, and the meaning of 0 in them.

    Negative numbers mean no segment. 0 is a segment if a sampled file has a negative number, or if
    0 looks like any other segment: in one piece in every sampled file, and the largest one in less
    than half of them. Otherwise 0 means no segment. The decision is logged. Raises InputError where
    there are no segments, or none of these images, or where the folder contains soft cues.
    """
    folder = Path(folder)
    numbered = find_files(folder, (".npy", ".png"))
    masks = _mask_folders(folder, ids)
    inside = tuple(f"{image_id}/" for image_id in masks)
    numbered = {i: path for i, path in numbered.items() if not (inside and i.startswith(inside))}
    files = {**under_ids(numbered, ids, "segments"), **masks}
    wanted = [i for i in ids if i in files]
    if not wanted:
        there = first_names(files or ["none"], 3)
        raise InputError(
            f"{folder}: contains no segments of these images; expected <id>.npy, <id>.png or a "
            f"folder <id>/ of mask PNGs, for ids like {first_names(ids, 3)}; found {there}"
        )
    some = sample([files[i] for i in wanted if i not in masks], SAMPLE)
    if cue := next((path for path in some if is_soft_cue(path)), None):
        raise InputError(f"{cue}: is a soft cue of c2am-cues; expected segment numbers")
    zero_is_none, reason = _meaning_of_zero([_read_numbers(path) for path in some])
    if reason:
        meaning = "not a segment" if zero_is_none else "a segment like the others"
        log.info("segments of %s: 0 is %s (%s)", folder, meaning, reason)
    return SegmentFiles(files, zero_is_none)


def read_segments(path: Path, shape: tuple[int, int], zero_is_none: bool) -> np.ndarray:
    """The segments of one image for CAMs of H×W: int32 [L, H, W], −1 = no segment.

    Each layer contains segments that do not overlap, with numbers from 0; a file of numbers is one
    layer. Segments of another size are resized (nearest pixel). Raises InputError, with the file's
    name, for other contents and for another aspect ratio.
    """
    if path.is_dir():
        return _layers([_mask(each, shape) for each in _mask_files(path)], shape)
    numbers = _resized(path, _read_numbers(path), shape)
    return _from_zero(numbers, zero_is_none)[None]


def _from_zero(numbers: np.ndarray, zero_is_none: bool) -> np.ndarray:
    """Any numbers → consecutive ones, int32, −1 = no segment."""
    values, index = np.unique(numbers, return_inverse=True)
    first = int((values < (1 if zero_is_none else 0)).sum())
    return np.maximum(index.reshape(numbers.shape) - first, NONE).astype(np.int32)


def _mask_folders(folder: Path, ids: Collection[str]) -> dict[str, Path]:
    found = {
        prefix.rstrip("/"): Path(root)
        for root, prefix, names in walk(folder)
        if prefix and any(name.lower().endswith(".png") for name in names)
    }
    known = under_ids(found, ids, "segments") if found else {}
    return {image_id: path for image_id, path in known.items() if image_id in set(ids)}


def _meaning_of_zero(some: Sequence[np.ndarray]) -> tuple[bool, str]:
    """Whether 0 means no segment, and why; the reason is empty where 0 does not occur."""
    with_zero = [numbers for numbers in some if (numbers == 0).any()]
    if not with_zero:
        return True, ""
    if any((numbers < 0).any() for numbers in some):
        return False, "negative numbers are no segment"
    from scipy.ndimage import label as connected  # slow to import, and few runs need it

    sampled = f"{len(with_zero)} sampled files"
    # Superpixels may be connected only at a corner.
    if any(connected(numbers == 0, np.ones((3, 3)))[1] > 1 for numbers in with_zero):
        return True, f"it is in several pieces in the {sampled}"
    largest = sum(_zero_is_largest(numbers) for numbers in with_zero)
    if 2 * largest >= len(with_zero):
        return True, f"it is the largest in {largest} of {sampled}"
    return False, f"it is in one piece and rarely the largest in the {sampled}"


def _zero_is_largest(numbers: np.ndarray) -> bool:
    areas = np.unique(numbers, return_counts=True)[1]
    return len(areas) == 1 or bool(areas[0] > areas[1:].max())


def _read_numbers(path: Path) -> np.ndarray:
    """Segment numbers as stored: int64 H×W."""
    if path.suffix.lower() == ".npy":
        try:
            with open(path, "rb", opener=plain_file) as file:
                numbers = np.lib.format.read_array(file, allow_pickle=False)
        except DAMAGE as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(f"{path}: cannot be read as segments ({reason})") from error
    else:
        with open_image(path, "segments") as image:
            if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
                raise InputError(
                    f"{path}: has the image mode {image.mode}; expected segment numbers in a grey "
                    "PNG with 8 or 16 bits"
                )
            numbers = np.asarray(image)
    numbers = one_channel(numbers)
    if numbers.ndim != 2 or numbers.size == 0 or numbers.dtype.kind not in "biu":
        raise InputError(
            f"{path}: is {numbers.dtype} {numbers.shape}; expected integer segment numbers H×W"
        )
    if numbers.max() >= MOST_SEGMENTS:
        raise InputError(f"{path}: has the number {numbers.max()}; expected segment numbers")
    return numbers.astype(np.int64)


def _mask_files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix.lower() == ".png")


def _mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """One binary mask, bool H×W: any value but 0 is inside."""
    with open_image(path, "a mask") as image:
        if image.mode not in ("1", "L", "P", "I", "I;16"):
            image = image.convert("L")
        pixels = np.asarray(image)
    values = np.unique(pixels)
    if len(values) > 2 or (len(values) == 2 and values[0] != 0):
        raise InputError(
            f"{path}: has {len(values)} values from {values[0]} to {values[-1]}; expected a binary "
            "mask (0 = outside)"
        )
    return _resized(path, pixels, shape) != 0


def _resized(path: Path, pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if pixels.shape == shape:
        return pixels
    (height, width), (new_height, new_width) = pixels.shape, shape
    if not same_aspect(pixels.shape, shape):
        raise InputError(
            f"{path}: the segments have {width}×{height} pixels and the CAM "
            f"{new_width}×{new_height}: different aspect ratios, so different images"
        )
    rows = ((np.arange(new_height) + 0.5) * height / new_height).astype(int)
    columns = ((np.arange(new_width) + 0.5) * width / new_width).astype(int)
    return pixels[np.ix_(rows, columns)]


def _layers(masks: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Overlapping masks in layers; each mask goes into the first layer with room for it."""
    layers: list[np.ndarray] = []
    for number, mask in enumerate(masks):
        if not mask.any():
            continue
        free = next((each for each in layers if (each[mask] == NONE).all()), None)
        if free is None:
            layers.append(free := np.full(shape, NONE, np.int32))
        free[mask] = number
    return np.stack(layers) if layers else np.full((1, *shape), NONE, np.int32)
