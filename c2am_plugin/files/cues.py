"""Cue files: what a folder of saliency or cue images says about where the background is.

A stored cue has the authors' polarity, high = foreground. Everywhere else in this package a cue
is b, high = background. `_background` is the only place where one becomes the other.
"""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import InputError
from .folders import plain_file
from .image_files import open_image
from .writing import atomic_path

__all__ = [
    "CUE_SUFFIXES",
    "is_soft_cue",
    "read_cue",
    "read_saliency",
    "resize_cue",
    "write_cue",
]

CUE_SUFFIXES = (".png", ".npy")
# What numpy runs into in a damaged or foreign file.
DAMAGE = (
    *(OSError, ValueError, EOFError, MemoryError, SyntaxError, TokenError, TypeError),
    *(RecursionError, LookupError, ArithmeticError),
)
SOFT_NOTE = ("c2am", "soft cue: odds of the foreground, mid-grey is undecided")


def read_cue(path: str | Path, *, flip: bool = False) -> np.ndarray:
    """The background cue of one file: float32 H×W in [0, 1], 1 = surely background.

    Reads 8-bit and 16-bit grey PNGs (0 = background, the maximum = foreground), 1-bit, palette
    and RGB masks (black = background, any other colour = foreground; where a palette or an RGB
    picture has greys alone they keep their values) and float `.npy` arrays H×W in [0, 1],
    1 = foreground. flip: the file has the other polarity.
    Raises InputError.
    """
    path = Path(path)
    saliency, full = _read_npy(path) if path.suffix.lower() == ".npy" else _read_image(path)
    return _background(saliency, full, flip)


def read_saliency(path: str | Path, *, flip: bool = False) -> np.ndarray:
    """The other side of `read_cue`: float32 H×W in [0, 1], 1 = surely foreground."""
    return read_cue(path, flip=not flip)


def _background(saliency: np.ndarray, full: float, flip: bool) -> np.ndarray:
    """b from stored saliency in [0, full]. Subtracted before dividing: 204 of 255 is b = 0.2."""
    b = saliency.astype(np.float32)
    if not flip:
        np.subtract(np.float32(full), b, out=b)
    b /= np.float32(full)
    return b


def resize_cue(cue: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A cue H×W brought to h×w bilinearly (with antialiasing where it shrinks), float32 in [0, 1].

    Raises InputError where the two aspect ratios differ by more than 2 %: then the cue is of
    another image, or of a cropped one.
    """
    if cue.shape == shape:
        return cue
    (height, width), (new_height, new_width) = cue.shape, shape
    # A side of few pixels is rounded: what differs by less than a pixel is no other shape.
    other = abs(height * new_width - width * new_height) > max(
        0.02 * height * new_width, height, width
    )
    if other:
        raise InputError(
            f"the cue is {width}×{height} and the CAM {new_width}×{new_height} pixels: "
            "other shapes, so not of the same image"
        )
    resized = Image.fromarray(cue.astype(np.float32)).resize(
        (new_width, new_height), Image.Resampling.BILINEAR
    )
    return np.clip(np.asarray(resized), 0, 1)


def write_cue(path: str | Path, saliency: np.ndarray) -> None:
    """Write saliency H×W, 1 = foreground, as an 8-bit grey PNG, atomically.

    bool: a hard cue, 0/255. Floating in [0, 1]: a soft cue whose odds mean something, mid-grey
    being undecided; the file says so in a text field, which `is_soft_cue` finds.
    """
    pixels = np.rint(np.asarray(saliency, np.float32) * 255).astype(np.uint8)
    notes = PngImagePlugin.PngInfo()
    if saliency.dtype != bool:
        notes.add_text(*SOFT_NOTE)
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1, pnginfo=notes)


def is_soft_cue(path: str | Path) -> bool:
    """Whether a file is a soft cue that `write_cue` wrote. False for anything unreadable."""
    try:
        with open_image(path) as image:
            return bool(image.info.get(SOFT_NOTE[0]) == SOFT_NOTE[1])
    except InputError:
        return False


def _read_npy(path: Path) -> tuple[np.ndarray, float]:
    try:
        # np.load would also open archives
        with open(path, "rb", opener=plain_file) as file:
            saliency = np.lib.format.read_array(file, allow_pickle=False)
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: is not a plain .npy array ({reason}); expected float H×W"
        ) from error
    if saliency.dtype.kind != "f":
        raise InputError(f"{path}: holds {saliency.dtype}; expected a float cue H×W in [0, 1]")
    if saliency.ndim == 3 and 1 in (saliency.shape[0], saliency.shape[-1]):
        saliency = saliency.squeeze(0 if saliency.shape[0] == 1 else -1)
    if saliency.ndim != 2 or saliency.size == 0:
        raise InputError(f"{path}: is {saliency.shape}; expected a cue H×W")
    low, high = saliency.min(), saliency.max()
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"{path}: values {low:.4g} to {high:.4g}; expected a cue in [0, 1], 1 = foreground"
        )
    return saliency, 1.0


def _read_image(path: Path) -> tuple[np.ndarray, float]:
    with open_image(path, "a cue image") as image:
        if image.mode == "P":
            return _mask_of_palette(image), 255.0
        plain = {"1": "L", "LA": "L", "PA": "RGB", "RGBA": "RGB", "CMYK": "RGB"}.get(image.mode)
        pixels = np.asarray(image.convert(plain) if plain else image)
    if pixels.ndim == 3:
        pixels = _mask_of_colours(path, pixels)
    if pixels.dtype == np.uint8:
        return pixels, 255.0
    if pixels.dtype in (np.uint16, np.int32) and pixels.min() >= 0 and pixels.max() < 2**16:
        return pixels, 65535.0
    raise InputError(f"{path}: pixels are {pixels.dtype}; expected an 8-bit or 16-bit grey image")


def _mask_of_palette(image: Image.Image) -> np.ndarray:
    """Palette indices → uint8 H×W: the grey value of a grey palette, else 255 where not black.

    The whole palette decides, not the picture: one class of VOC's palette happens to be grey.
    """
    colours = np.zeros((256, 3), np.uint8)
    flat = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)[:256]
    colours[: len(flat)] = flat
    if np.ptp(colours, axis=1).any():
        values = np.where(colours.any(axis=1), np.uint8(255), np.uint8(0))
    else:
        values = colours[:, 0]
    return values[np.asarray(image)]


def _mask_of_colours(path: Path, pixels: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 → uint8 H×W: the grey value of grey images, 255 where a mask has any colour."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red
    colours = (red.astype(np.uint32) << 16) | (green.astype(np.uint32) << 8) | blue
    if len(np.unique(colours)) > 256:
        raise InputError(f"{path}: looks like a photograph; expected a grey cue (255 = foreground)")
    return np.where(colours > 0, np.uint8(255), np.uint8(0))
