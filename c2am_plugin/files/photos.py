"""Finds photographs and reads them as arrays, as the CAM pipelines do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from .folders import first_names, refuse_inside
from .image_files import read_pixels
from .lists import lacking, wanted_ids
from .names import under_ids
from .roots import lists_of, photo_files, photo_folders
from .value_ranges import check_photos, full_of_16_bits

__all__ = ["check_outside", "find_images", "find_photos", "read_photo", "read_photo_of"]

log = logging.getLogger("c2am_plugin")

# The names of WSSS training lists, the usual one first.
VOC_LISTS = ("train_aug.txt", "trainaug.txt", "train.txt")


def find_photos(images: str | Path, ids: Sequence[str]) -> dict[str, Path]:
    """{image id: path} of the photographs of these ids, in a folder or a VOC or COCO root.

    Raises InputError for an id without a photograph.
    """
    photos = under_ids(photo_files(images), ids, "photographs")
    if without := lacking(ids, photos, "photograph"):
        folders = " and ".join(str(folder) for folder in photo_folders(images))
        raise InputError(f"{folders}: {without}; it has ids such as {next(iter(photos))}")
    chosen = {image_id: photos[image_id] for image_id in ids}
    check_photos(list(chosen.values()), images)
    return chosen


def read_photo(path: str | Path) -> np.ndarray:
    """A photograph of any mode as uint8 H×W×3 RGB in [0, 255]. Raises InputError.

    path: a PNG, JPEG, BMP, WEBP or TIFF; of a file with several images the first is read.
    A rotation in EXIF is not applied: the pipelines do not apply it either, and their CAMs and our
    maps must have the same pixels. Grey values of 16 bits, or of 12 or 8 bits in a 16-bit file, are
    scaled to 8 bits, not cut off. Floating values are refused, as their white is not known.

    >>> from c2am_plugin import read_photo
    >>> image = read_photo("JPEGImages/2007_000032.jpg")  # doctest: +SKIP
    """
    pixels = read_pixels(path)
    if pixels.dtype.kind == "f":
        raise InputError(f"{path}: has floating pixels; expected a photograph with 8 or 16 bits")
    if pixels.ndim == 3:
        return pixels
    grey = (pixels * (255 / full_of_16_bits(pixels.max()))).round().clip(0, 255)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def read_photo_of(path: str | Path, shape: tuple[int, ...], what: str = "CAM") -> np.ndarray:
    """`read_photo` of the image whose CAM is H×W. Raises InputError where the sizes differ.

    what: the name of the thing with that shape, for the message.
    """
    photo = read_photo(path)
    if photo.shape[:2] != shape:
        raise InputError(
            f"{path}: has {photo.shape[1]}×{photo.shape[0]} pixels and its {what} "
            f"{shape[1]}×{shape[0]} (width×height); expected the same size"
        )
    return photo


def find_images(
    images: str | Path, ids: str | Path | Sequence[str] | None = None
) -> dict[str, Path]:
    """{image id: path} for a folder of images or a VOC or COCO root, in the order of the ids.

    ids: a list file with one id per line; in a VOC root also the name of a list in
    ImageSets/Segmentation; or a sequence of ids. By default, all images of a folder, or those of
    the train_aug or train list of a VOC root.
    Raises InputError where there is no image, or for an id without an image.
    """
    found = photo_files(images)
    lists = lists_of(images) if photo_folders(images) != [Path(images)] else None
    chosen = ids if ids is not None else _usual_list(lists)
    if chosen is not None:
        wanted = wanted_ids(chosen, found, [images])
        missing = [name for name in wanted if name not in found]
        if missing:
            folder = photo_folders(images)[0]
            listed = chosen if isinstance(chosen, (str, Path)) else "ids"
            raise InputError(
                f"{listed}: {len(missing)} of {len(wanted)} ids have no image in {folder} "
                f"({first_names(missing)}); expected ids such as {next(iter(found))}"
            )
        found = {name: found[name] for name in wanted}
    check_photos(list(found.values()), images)
    return found


def check_outside(images: str | Path, *outputs: Path) -> None:
    """Raise InputError for an output among the photographs, where a later run would read it."""
    refuse_inside(photo_folders(images), *outputs)


def _usual_list(lists: Path | None) -> Path | None:
    for name in VOC_LISTS if lists else ():
        if lists and (lists / name).is_file():
            log.info("training on the ids of %s", lists / name)
            return lists / name
    return None
