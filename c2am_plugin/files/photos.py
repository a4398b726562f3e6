"""Photographs as arrays, the way the CAM pipelines read them, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..runs.parallel import IMAGE_SUFFIXES, find_files
from .image_files import open_image
from .lists import lacking

__all__ = ["find_photos", "read_photo", "read_photo_of"]


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
