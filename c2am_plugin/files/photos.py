"""Photographs as arrays, the way the CAM pipelines read them, and where they lie."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from .folders import IMAGE_SUFFIXES, find_files, first_names
from .image_files import open_image
from .lists import lacking, read_ids

__all__ = ["check_outside", "find_images", "find_photos", "read_photo", "read_photo_of"]

log = logging.getLogger("c2am_plugin")

# What WSSS calls its training list, the usual one first.
VOC_LISTS = ("train_aug.txt", "trainaug.txt", "train.txt")


def find_photos(images: str | Path, ids: Sequence[str]) -> dict[str, Path]:
    """{image id: path} of the photographs of these ids. Raises InputError where one has none."""
    photos = find_files(images, IMAGE_SUFFIXES)
    if without := lacking(ids, photos, "photograph"):
        raise InputError(f"{images}: {without}")
    return {image_id: photos[image_id] for image_id in ids}


def read_photo(path: str | Path) -> np.ndarray:
    """A photograph as uint8 H×W×3 RGB, whatever its mode. Raises InputError.

    A rotation noted in EXIF is not applied: the pipelines do not either, and their CAMs and our
    maps must lie on the same pixels. 16-bit greys are scaled to 8 bits, not cut off; floating ones,
    of which nobody knows what is white, are refused.
    """
    with open_image(path) as image:
        if image.mode == "F":
            raise InputError(f"{path}: has floating pixels; expected a photograph of 8 or 16 bits")
        if image.mode.startswith("I"):
            grey = (np.asarray(image, np.float64) / 257).round().clip(0, 255)
            return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
        return np.asarray(image.convert("RGB"))


def read_photo_of(path: str | Path, shape: tuple[int, ...], what: str = "CAM") -> np.ndarray:
    """`read_photo` of the image whose CAM is H×W. Raises InputError where the sizes differ.

    what: of which the shape is, for the message.
    """
    photo = read_photo(path)
    if photo.shape[:2] != shape:
        raise InputError(
            f"{path}: is {photo.shape[1]}×{photo.shape[0]} pixels and its {what} "
            f"{shape[1]}×{shape[0]} (width×height); expected the same"
        )
    return photo


def find_images(images: str | Path, ids: str | Path | None = None) -> dict[str, Path]:
    """{image id: path} for a folder of images or a VOC root, in the order of the ids.

    ids: a list file, one id a line; in a VOC root also the name of one in ImageSets/Segmentation.
    Without it a folder gives all its images and a VOC root those of its train_aug or train list.
    Raises InputError where there is no image, or an id has none.
    """
    folder = Path(images)
    if (folder / "JPEGImages").is_dir():
        ids = _voc_list(folder / "ImageSets" / "Segmentation", ids)
        folder = folder / "JPEGImages"
    found = find_files(folder, IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"{folder}: holds no image; expected {', '.join(IMAGE_SUFFIXES)}")
    if ids is None:
        return found
    wanted = read_ids(ids)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(
            f"{ids}: {len(missing)} of {len(wanted)} ids have no image in {folder} "
            f"({first_names(missing)}); expected ids such as {next(iter(found))}"
        )
    return {name: found[name] for name in wanted}


def check_outside(images: str | Path, *outputs: Path) -> None:
    """Raises InputError for an output among the photographs: a later run would take it for one."""
    folder = Path(images)
    photos = (folder / "JPEGImages" if (folder / "JPEGImages").is_dir() else folder).resolve()
    for output in outputs:
        if photos in (output.resolve(), *output.resolve().parents):
            raise InputError(f"{output}: lies among the photographs of {photos}; choose another")


def _voc_list(lists: Path, ids: str | Path | None) -> Path | None:
    if ids is not None:
        named = lists / f"{ids}.txt"
        return named if named.is_file() and not Path(ids).exists() else Path(ids)
    for name in VOC_LISTS:
        if (lists / name).is_file():
            log.info("training on the ids of %s", lists / name)
            return lists / name
    return None
