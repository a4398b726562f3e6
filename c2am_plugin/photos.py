"""Photographs as arrays, the way the CAM pipelines read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .errors import InputError

__all__ = ["read_photo"]


def read_photo(path: str | Path) -> np.ndarray:
    """A photograph as uint8 H×W×3 RGB, whatever its mode. Raises InputError.

    A rotation noted in EXIF is not applied: the pipelines do not either, and their CAMs and our
    maps must lie on the same pixels. 16-bit greys are scaled to 8 bits, not cut off.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):
                grey = (np.asarray(image, np.float64) / 257).round().clip(0, 255)
                return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as an image ({error})") from error
