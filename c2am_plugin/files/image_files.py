"""Opens image files safely: only the formats of photographs, cues and labels, of limited size.

A small file cannot fill the memory. The meaning of the pixels is not known here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from imageio.core.request import Request
from imageio.core.v3_plugin_api import PluginV3
from imageio.plugins.pillow import PillowPlugin
from imageio.v3 import imread
from PIL import Image, UnidentifiedImageError

from ..errors import InputError
from .folders import plain_file

__all__ = ["DAMAGE", "image_shape", "open_image", "read_pixels"]

# Pillow reads many more formats; for one of them (EPS) it starts Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
# A PNG of a few hundred bytes can declare any size. No camera's image is larger than this.
MOST_PIXELS = 2**26
# The errors of Pillow's and numpy's readers for damaged files and files of other formats.
DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    NotImplementedError,
    MemoryError,
    RecursionError,
    TokenError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@contextmanager
def open_image(path: str | Path, what: str = "an image") -> Iterator[Image.Image]:
    """An image file, open within a `with` block that decodes its pixels.

    Raises InputError, "cannot be read as `what`", also for errors inside the block.
    """
    with _refused(path, what), open(path, "rb", opener=plain_file) as file, _checked(file) as image:
        yield image


def read_pixels(path: str | Path) -> np.ndarray:
    """The stored pixels of a photograph. Raises InputError.

    uint8 H×W×3 RGB for every 8-bit mode, integers H×W for 16-bit grey, float32 H×W for floating.
    """
    with _refused(path, "an image"), open(path, "rb", opener=plain_file) as file:
        with _checked(file) as image:
            deep = image.mode == "F" or image.mode.startswith("I")
        file.seek(0)
        mode = None if deep else "RGB"
        return imread(file, plugin=_Pixels, index=0, mode=mode)  # type: ignore[arg-type]


def image_shape(path: str | Path) -> tuple[int, int]:
    """(height, width) of an image file, from its header. Raises InputError."""
    with open_image(path) as image:
        return image.height, image.width


class _Pixels(PillowPlugin):
    """imageio's reader without its other formats and without EXIF, which may be damaged."""

    def __init__(self, request: Request) -> None:
        self.images_to_write, self._image = [], None
        PluginV3.__init__(self, request)
        self._image = Image.open(request.get_file(), formats=FORMATS)

    def metadata(self, index: int | None = None, exclude_applied: bool = True) -> dict[str, Any]:
        return {}


@contextmanager
def _checked(file: BinaryIO) -> Iterator[Image.Image]:
    """An undecoded image of a supported format and size."""
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"{width}×{height} pixels; expected at most {MOST_PIXELS}")
        yield image


@contextmanager
def _refused(path: str | Path, what: str) -> Iterator[None]:
    try:
        yield
    except InputError:  # of the block
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise InputError(f"{path}: cannot be read as {what} (expected {known})") from error
    except DAMAGE as error:
        found = getattr(error, "strerror", None) or str(error)
        reason = " ".join(found.split())[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read as {what} ({reason})") from error
