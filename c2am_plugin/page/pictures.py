"""What a CAM, a cue and a label look like: small pictures for a page, as data URIs.

Knows arrays and colours; neither files nor scores.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from ..files.labels import IGNORE, palette

__all__ = [
    "colour_of",
    "cue_picture",
    "grid_picture",
    "heat_picture",
    "label_picture",
    "photo_picture",
]

SIDE = 320
# VOC's label files show 255 in this colour.
IGNORED = (224, 224, 192)
# Dark to light, so that more heat is also brighter where colours are not seen.
HEAT = np.array(
    [
        (0, 0, 4),
        (40, 11, 84),
        (101, 21, 110),
        (159, 42, 99),
        (212, 72, 66),
        (245, 125, 21),
        (250, 193, 39),
        (253, 231, 100),
    ],
    np.float32,
)
PHOTO_SHARE = 0.35


def photo_picture(photo: np.ndarray, boxes: Mapping[str, np.ndarray] | None = None) -> str:
    """uint8 H×W×3 RGB → a JPEG data URI, with boxes drawn on it if given.

    boxes: {CSS colour: [N, 4]}, x0 y0 x1 y1, half-open pixels of the photograph.
    """
    image = Image.fromarray(_shrink(photo))
    draw = ImageDraw.Draw(image)
    for colour, each in (boxes or {}).items():
        for x0, y0, x1, y1 in each * (image.width / photo.shape[1]):
            right, bottom = max(x0, x1 - 1), max(y0, y1 - 1)
            # A dark line around the bright one, so that it is seen on any photograph.
            draw.rectangle((x0, y0, right, bottom), outline="black", width=4)
            if right - x0 > 2 and bottom - y0 > 2:
                draw.rectangle((x0 + 1, y0 + 1, right - 1, bottom - 1), outline=colour, width=2)
    return _jpeg(image)


def heat_picture(maps: np.ndarray, photo: np.ndarray | None) -> str:
    """CAMs K×H×W in [0, 1] as the heat of their maximum, over the grey photograph if given.

    photo: uint8 of any size; the CAMs are brought to it.
    """
    top = maps.max(axis=0) if maps.size else np.zeros((1, 1), np.float32)
    shape = maps.shape[1:] if photo is None else photo.shape
    heat = _resize_float(top.astype(np.float32), _size(shape))
    place = heat * (len(HEAT) - 1)
    low = np.minimum(place.astype(int), len(HEAT) - 2)
    rest = (place - low)[..., None]
    colours = HEAT[low] * (1 - rest) + HEAT[low + 1] * rest
    if photo is not None:
        grey = np.asarray(Image.fromarray(_shrink(photo)).convert("L"), np.float32)[..., None]
        colours = (1 - PHOTO_SHARE) * colours + PHOTO_SHARE * grey
    return _jpeg(Image.fromarray(np.rint(colours).astype(np.uint8)))


def cue_picture(cue: np.ndarray) -> str:
    """b, float H×W in [0, 1] → a grey data URI as cue files look: white = foreground."""
    grey = np.rint(255 * (1 - _resize_float(cue, _size(cue.shape)))).astype(np.uint8)
    # PNG is small for hard cues, JPEG for soft ones.
    return min(_png(Image.fromarray(grey)), _jpeg(Image.fromarray(grey)), key=len)


def label_picture(label: np.ndarray) -> str:
    """uint8 H×W of class indices, 255 = ignore → a data URI in VOC's colours."""
    image = Image.fromarray(label)
    image = image.resize(_size(label.shape), Image.Resampling.NEAREST)
    colours = palette()
    colours[IGNORE] = IGNORED
    image.putpalette(colours.tobytes())
    return _png(image)


def grid_picture(grid: Image.Image) -> str:
    """A picture that is shown as wide as the page → a JPEG data URI of its own size."""
    return _jpeg(grid)


def colour_of(index: int) -> str:
    """The VOC colour of a class index as CSS."""
    return "#{:02x}{:02x}{:02x}".format(*palette()[index])


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height, brought down to SIDE at most."""
    factor = min(1.0, SIDE / max(shape[:2]))
    return max(1, round(shape[1] * factor)), max(1, round(shape[0] * factor))


def _shrink(photo: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(photo).resize(_size(photo.shape), Image.Resampling.LANCZOS))


def _resize_float(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    resized = Image.fromarray(values).resize(size, Image.Resampling.BILINEAR)
    return np.clip(np.asarray(resized), 0, 1)


def _jpeg(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _png(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
