"""Cue files: reading and writing saliency or cue images, which mark the background.

A stored cue has the authors' polarity, high = foreground. Everywhere else in this package a cue
is b, high = background. Only `_background` converts one into the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from ..cams import ROUNDING
from ..errors import InputError
from .colours import ALPHA_MODES, MOST_COLOURS, alpha_of, colour_map, mask_of_colours
from .folders import plain_file
from .image_files import DAMAGE, open_image
from .writing import atomic_path

__all__ = [
    "CUE_SUFFIXES",
    "PLAIN",
    "SQUARE",
    "CueForm",
    "is_soft_cue",
    "is_taught_cue",
    "one_channel",
    "read_cue",
    "read_saliency",
    "resize_cue",
    "same_aspect",
    "stored_pixels",
    "write_cue",
]

CUE_SUFFIXES = (".png", ".npy")
# Read in folders that contain none of CUE_SUFFIXES.
OTHER_SUFFIXES = (".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
SQUARE = "; use `stretch_cues=True` if the cues have the square shape of a network's input"
SOFT_NOTE = ("c2am", "soft cue: odds of the foreground, mid-grey is undecided")
# The note in a cue whose network was trained with this image's CAM as a hint.
TAUGHT_NOTE = ("c2am-hints", "taught by the CAM of this image")


@dataclass(frozen=True)
class CueForm:
    """How the cues of one folder are read, where it differs from `read_cue`'s default.

    flip      the files have the other polarity, high = background
    full      the stored value of certain foreground (1, 4095 …); None: the file type's own
    alpha     the mask is in the alpha channel, in files that have one
    stretch   cues of any shape are resized to their image's size
    maps      the files are maps of C2AM, not arrays: soft, and not yet odds
    read_map  reads a `.npy` that is not a plain array, as H×W in [0, 1], 1 = foreground
    """

    flip: bool = False
    full: float | None = None
    alpha: bool = False
    stretch: bool = False
    maps: bool = False
    read_map: Callable[[Path], np.ndarray] | None = None


PLAIN = CueForm()


def read_cue(path: str | Path, *, flip: bool = False, form: CueForm = PLAIN) -> np.ndarray:
    """The background cue of one file: float32 H×W in [0, 1], 1 = surely background.

    Reads 8-bit and 16-bit grey PNGs (0 = background, the maximum = foreground), 1-bit, palette
    and RGB masks (black = background, any other colour = foreground; a palette or RGB image with
    only greys keeps its values) and float `.npy` arrays H×W in [0, 1], 1 = foreground.

    path: the file. flip: the file has the other polarity. form: how the files of its folder are
    read, as `find_cues` returns it. Raises InputError.

    >>> from c2am_plugin import read_cue
    >>> b = read_cue("cues/2007_000032.png")  # doctest: +SKIP
    """
    path = Path(path)
    saliency, full = stored_pixels(path, form)
    if saliency.dtype.kind != "f" and path.suffix.lower() == ".npy" and form.full is None:
        raise InputError(f"{path}: contains {saliency.dtype}; expected a float cue H×W in [0, 1]")
    full = form.full or full
    low, high = saliency.min(), saliency.max()
    if not (low >= 0 and high <= full * (1 + ROUNDING)):
        raise InputError(
            f"{path}: values {low:.8g} to {high:.8g}; expected a cue in [0, {full:g}], "
            f"{full:g} = foreground"
        )
    b = _background(saliency, full, flip or form.flip)
    return np.clip(b, 0, 1, out=b) if high > full else b


def read_saliency(path: str | Path, *, flip: bool = False, form: CueForm = PLAIN) -> np.ndarray:
    """The complement of `read_cue`: float32 H×W in [0, 1], 1 = surely foreground."""
    return read_cue(path, flip=not (flip or form.flip), form=replace(form, flip=False))


def stored_pixels(path: Path, form: CueForm = PLAIN) -> tuple[np.ndarray, float]:
    """The stored values of a cue, H×W, and the value that represents 1 in its file type.

    Raises InputError for a file that is not a cue image. The range of the values is not checked.
    """
    return _read_npy(path, form) if path.suffix.lower() == ".npy" else _read_image(path, form)


def _background(saliency: np.ndarray, full: float, flip: bool) -> np.ndarray:
    """b from stored saliency in [0, full]. Subtracts before dividing, so 204 of 255 is b = 0.2."""
    b = saliency.astype(np.float32)
    if not flip:
        np.subtract(np.float32(full), b, out=b)
    b /= np.float32(full)
    return b


def same_aspect(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two shapes H×W fit one image: aspect ratios equal to within 2 % or one pixel."""
    (height, width), (new_height, new_width) = shape, other
    # Sides are rounded to whole pixels, so a difference of less than one pixel is allowed.
    far = max(0.02 * height * new_width, height, width)
    return abs(height * new_width - width * new_height) <= far


def resize_cue(cue: np.ndarray, shape: tuple[int, int], stretch: bool = False) -> np.ndarray:
    """A cue H×W resized to h×w: bilinear, antialiased where it shrinks; float32 in [0, 1].

    Raises InputError where the two aspect ratios differ by more than 2 %, unless `stretch` is true:
    such a cue belongs to another image, a cropped image, or the square input of a network.
    """
    if cue.shape == shape:
        return cue
    (height, width), (new_height, new_width) = cue.shape, shape
    if not stretch and not same_aspect(cue.shape, shape):
        raise InputError(
            f"the cue has {width}×{height} pixels and the CAM {new_width}×{new_height}: different "
            "aspect ratios, so different images" + (SQUARE if width == height else "")
        )
    resized = Image.fromarray(cue.astype(np.float32)).resize(
        (new_width, new_height), Image.Resampling.BILINEAR
    )
    return np.clip(np.asarray(resized), 0, 1)


def write_cue(path: str | Path, saliency: np.ndarray, *, taught: bool = False) -> None:
    """Write saliency H×W, 1 = foreground, as an 8-bit grey PNG, atomically.

    saliency: bool for a hard cue, 0/255, or floating in [0, 1] for a soft cue, whose values are
    odds with mid-grey undecided. A text field in the file marks soft cues for `is_soft_cue`.
    taught: the CAM of this image taught the network that made the cue; another field marks that for
    `is_taught_cue`. path: missing folders are created. Raises OSError where the file cannot be
    written.

    >>> from c2am_plugin import write_cue
    >>> write_cue("cues/2007_000032.png", 1 - b)  # doctest: +SKIP
    """
    pixels = np.rint(np.asarray(saliency, np.float32) * 255).astype(np.uint8)
    notes = PngImagePlugin.PngInfo()
    if saliency.dtype != bool:
        notes.add_text(*SOFT_NOTE)
    if taught:
        notes.add_text(*TAUGHT_NOTE)
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1, pnginfo=notes)


def is_soft_cue(path: str | Path) -> bool:
    """Whether a file is a soft cue that `write_cue` wrote. False for unreadable files."""
    return _has_note(path, SOFT_NOTE)


def is_taught_cue(path: str | Path) -> bool:
    """Whether the network that made a cue was trained with this image's CAM as a hint.

    Agreement with that CAM then proves nothing. False for unreadable files.
    """
    return _has_note(path, TAUGHT_NOTE)


def _has_note(path: str | Path, note: tuple[str, str]) -> bool:
    try:
        with open_image(path) as image:
            return bool(image.info.get(note[0]) == note[1])
    except InputError:
        return False


def _read_npy(path: Path, form: CueForm) -> tuple[np.ndarray, float]:
    try:
        # Not np.load, which would also open archives.
        with open(path, "rb", opener=plain_file) as file:
            saliency = np.lib.format.read_array(file, allow_pickle=False)
    except DAMAGE as error:
        if form.read_map and "Object arrays" in str(error):
            return form.read_map(path), 1.0
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: is not a plain .npy array ({reason}); expected float H×W"
        ) from error
    if saliency.dtype.kind not in "fubi":
        raise InputError(f"{path}: contains {saliency.dtype}; expected a float cue H×W in [0, 1]")
    saliency = one_channel(saliency)
    if saliency.ndim != 2 or saliency.size == 0:
        raise InputError(f"{path}: has the shape {saliency.shape}; expected a cue H×W")
    return saliency, {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(
        saliency.dtype, 1.0
    )


def one_channel(pixels: np.ndarray) -> np.ndarray:
    """1×H×W or H×W×1 → H×W; any other shape stays."""
    if pixels.ndim == 3 and 1 in (pixels.shape[0], pixels.shape[-1]):
        return pixels.squeeze(0 if pixels.shape[0] == 1 else -1)
    return pixels


def _read_image(path: Path, form: CueForm) -> tuple[np.ndarray, float]:
    with open_image(path, "a cue image") as image:
        if form.alpha and (found := alpha_of(image)):
            return found[0], 255.0
        if form.alpha and image.mode in ALPHA_MODES:
            return np.asarray(image.convert("RGBA"))[..., 3], 255.0
        if image.mode == "P":
            return _mask_of_palette(path, image), 255.0
        plain = {"1": "L", "LA": "L", "PA": "RGB", "RGBA": "RGB", "CMYK": "RGB"}.get(image.mode)
        pixels = np.asarray(image.convert(plain) if plain else image)
    if pixels.ndim == 3:
        pixels = _mask_of_picture(path, pixels)
    if pixels.dtype == np.uint8:
        return pixels, 255.0
    if pixels.dtype in (np.uint16, np.int32) and pixels.min() >= 0 and pixels.max() < 2**16:
        return pixels, 65535.0
    if pixels.dtype == np.float32:
        return pixels, 1.0
    raise InputError(f"{path}: has {pixels.dtype} pixels; expected an 8-bit or 16-bit grey image")


def _mask_of_palette(path: Path, image: Image.Image) -> np.ndarray:
    """Palette indices → uint8 H×W: the values of a grey palette, else 255 where not black.

    The whole palette decides, not the colours used: one class in VOC's palette is grey.
    """
    colours = np.zeros((256, 3), np.uint8)
    flat = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)[:256]
    colours[: len(flat)] = flat
    index = np.asarray(image)
    if not np.ptp(colours, axis=1).any():
        return colours[:, 0][index]
    if np.count_nonzero(np.bincount(index.ravel(), minlength=256)) > MOST_COLOURS:
        _refuse_colour_map(path, colours[index])
    return np.where(colours.any(axis=1), np.uint8(255), np.uint8(0))[index]


def _mask_of_picture(path: Path, pixels: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 → uint8 H×W: a grey image's values; of a mask 255 where not black."""
    _refuse_colour_map(path, pixels)
    return mask_of_colours(pixels)


def _refuse_colour_map(path: Path, pixels: np.ndarray) -> None:
    if colour_map(pixels):
        raise InputError(
            f"{path}: looks like a photograph or a soft map drawn in colours (viridis, jet); "
            "expected a grey cue (255 = foreground); save the map itself"
        )
