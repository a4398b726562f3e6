"""Pseudo labels and ground truth as files: 8-bit palette PNGs of class indices, and their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .batch import atomic_path
from .errors import InputError

__all__ = ["IGNORE", "VOC_CLASSES", "palette", "read_label", "write_label"]

IGNORE = 255
# zlib's strategy for pictures of flat regions: faster than its default, and half the size.
RUN_LENGTHS = 3

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "dining table", "dog", "horse", "motorbike", "person", "potted plant"),
    *("sheep", "sofa", "train", "tv monitor"),
)


def palette() -> np.ndarray:
    """The colours of PASCAL VOC's label files: uint8 256×3 RGB, one row an index.

    The bits of an index, three at a time from the lowest, are the highest bits of red, green, blue.
    """
    index = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((index >> channel) & 1) << (7 - bit)).astype(np.uint8)
        index >>= 3
    return colours


PALETTE = palette().tobytes()


def write_label(path: str | Path, label: np.ndarray) -> None:
    """Write a label H×W uint8 (0 background, c + 1 for class c, 255 ignore) as PNG, atomically."""
    image = Image.fromarray(label)
    image.putpalette(PALETTE)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", compress_level=1, compress_type=RUN_LENGTHS)


def read_label(path: str | Path) -> np.ndarray:
    """A label file as uint8 H×W of class indices, 255 = ignore.

    Raises InputError for colours where indices are wanted: such files were made by reading a
    palette PNG as RGB and saving that.
    """
    path = Path(path)
    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a label image ({error})") from error
    if mode not in ("P", "L") or pixels.ndim != 2:
        raise InputError(
            f"{path}: is a {mode} image; expected 8-bit class indices (palette or grey PNG). "
            "Colours cannot be read as classes: save the label without converting it to RGB"
        )
    return pixels
