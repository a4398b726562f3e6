"""Classifies the colours and the alpha channel of a cue image: mask, colour map or neither.

Pure functions of pixels, without files.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from .labels import are_vocs, packed

__all__ = [
    "ALPHA_MODES",
    "MOST_COLOURS",
    "alpha_of",
    "colour_map",
    "mask_of_colours",
    "without_black",
]

ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")
# An alpha channel that varies less contains no mask.
LEAST_ALPHA = 8
# A mask has fewer colours than MOST_COLOURS, one per object, with sharp edges between them. A soft
# map drawn in colours has more, which change by less than SMOOTH (summed over the three channels)
# from pixel to pixel.
MOST_COLOURS, SMOOTH = 32, 48
MOST_PALETTE = 256


def alpha_of(image: Image.Image) -> tuple[np.ndarray, np.ndarray] | None:
    """Alpha uint8 H×W and colours uint8 H×W×3 of an image whose alpha varies; else None."""
    if image.mode not in ALPHA_MODES and "transparency" not in image.info:
        return None
    pixels = np.asarray(image.convert("RGBA"))
    alpha = pixels[..., 3]
    return (alpha, pixels[..., :3]) if np.ptp(alpha) > LEAST_ALPHA else None


def mask_of_colours(pixels: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 → uint8 H×W: a grey image's values; of a colour image 255 where not black."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red
    return np.where(pixels.any(axis=2), np.uint8(255), np.uint8(0))


def colour_map(pixels: np.ndarray) -> bool:
    """Whether uint8 H×W×3 is a photograph or a soft map drawn in colours (viridis, jet)."""
    if not _coloured(pixels):
        return False
    count = len(_distinct(pixels))
    if not MOST_COLOURS < count <= MOST_PALETTE:
        return count > MOST_PALETTE
    steps = np.abs(np.diff(pixels.astype(np.int16), axis=1)).sum(axis=2)
    return bool(np.median(steps[steps > 0]) < SMOOTH) if steps.any() else False


def without_black(pixels: np.ndarray) -> bool:
    """Whether uint8 H×W×3 has at least two colours, none of them black, not all of them VOC's."""
    colours = _distinct(pixels)
    return len(colours) > 1 and _coloured(pixels) and colours[0] > 0 and not are_vocs(pixels)


def _coloured(pixels: np.ndarray) -> bool:
    return bool(np.ptp(pixels, axis=2).any())


def _distinct(pixels: np.ndarray) -> np.ndarray:
    """The distinct colours of an image, ascending, each packed into one uint32."""
    return np.unique(packed(pixels.reshape(-1, 3)))
