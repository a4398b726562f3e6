"""Pseudo labels and ground truth as files: 8-bit palette PNGs of class indices."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError
from .image_files import open_image
from .writing import atomic_path

__all__ = [
    "IGNORE",
    "VOC_CLASSES",
    "are_vocs",
    "label_values",
    "packed",
    "palette",
    "pseudo_label",
    "read_label",
    "write_confidence",
    "write_label",
]

IGNORE = 255
# zlib's strategy for images of flat regions: faster than its default, and half the size.
RUN_LENGTHS = 3

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv monitor",
)


def palette() -> np.ndarray:
    """The colours of PASCAL VOC's label files: uint8 256×3 RGB, one row per index.

    The bits of an index, three at a time from the lowest, are the top bits of red, green and blue.
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
    """Write a label as a palette PNG, atomically.

    label: uint8 H×W; 0 background, c + 1 for class c, 255 ignore. path: missing folders are
    created. Raises OSError where the file cannot be written.

    >>> from c2am_plugin import write_label
    >>> write_label("labels/2007_000032.png", label)  # doctest: +SKIP
    """
    image = Image.fromarray(label)
    image.putpalette(PALETTE)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", compress_level=1, compress_type=RUN_LENGTHS)


def write_confidence(path: str | Path, probability: np.ndarray) -> None:
    """Write floating probabilities H×W in [0, 1] as a grey 8-bit PNG, 255 = 1, atomically."""
    with atomic_path(path) as temporary:
        Image.fromarray(np.rint(probability * 255).astype(np.uint8)).save(temporary, format="PNG")


def read_label(path: str | Path) -> np.ndarray:
    """A label file as uint8 H×W of class indices, 255 = ignore.

    path: a palette or grey PNG, also with 1 bit (background and class 0) or 16 bits. Raises
    InputError for colours in place of indices, and for VOC labels that were read as RGB or grey and
    saved again.

    >>> from c2am_plugin import read_label
    >>> label = read_label("SegmentationClass/2007_000032.png")  # doctest: +SKIP
    """
    path = Path(path)
    with open_image(path, "a label image") as image:
        mode, pixels, table = image.mode, np.asarray(image), image.getpalette() or []
    if mode == "1":
        return pixels.astype(np.uint8)
    if mode.startswith("I"):
        return _narrow(path, pixels)
    if mode not in ("P", "L") or pixels.ndim != 2:
        vocs = mode in ("RGB", "RGBA") and are_vocs(pixels[..., :3])
        raise InputError(
            f"{path}: is a {mode} image{' with the colours of VOC labels' if vocs else ''}; "
            "expected 8-bit class indices (palette or grey PNG); save the label without converting "
            "it to RGB"
        )
    counts = np.bincount(pixels.ravel(), minlength=256)
    used = np.flatnonzero(counts)
    shown = np.array(table, np.uint8).reshape(-1, 3)
    if mode == "P" and len(shown) > used.max(initial=0):
        shown = shown[used]
        if are_vocs(shown) and not np.array_equal(shown, palette()[used]):
            raise InputError(
                f"{path}: has the colours of VOC labels in a different order, so its indices are "
                "not VOC's classes; it was made from a label read as colours: use that label"
            )
    # 220 is the grey of VOC's outlines; neither VOC nor COCO has a class 220.
    if mode == "L" and counts[220] and set(used.tolist()) <= _greys():
        raise InputError(
            f"{path}: has the greys of VOC's colours ({used[0]} … {used[-1]}), not class indices; "
            "it is a label that was converted to grey: use the original"
        )
    return pixels


def _narrow(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Class indices of a 16-bit label as uint8; 65535 and 255 are ignore."""
    pixels = np.where(pixels == 2**16 - 1, IGNORE, pixels)
    if not 0 <= pixels.min() <= pixels.max() <= IGNORE:
        raise InputError(
            f"{path}: values {pixels.min()} to {pixels.max()}; expected class indices below 255, "
            "and 255 = ignore"
        )
    return pixels.astype(np.uint8)


def _vocs() -> np.ndarray:
    """The colours of VOC's 21 classes and of its outlines: uint8 22×3."""
    return palette()[[*range(len(VOC_CLASSES)), IGNORE]]


def are_vocs(colours: np.ndarray) -> bool:
    """Whether all colours, uint8 …×3, are those of VOC's 21 classes or its outlines."""
    # A table of all colours is many times faster than sorting the pixels of a large image.
    known = np.zeros(1 << 24, bool)
    known[packed(_vocs())] = True
    return bool(known[packed(colours.reshape(-1, 3))].all())


def packed(colours: np.ndarray) -> np.ndarray:
    """uint8 N×3 → uint32 N, one number per colour."""
    red, green, blue = colours.T
    return (red.astype(np.uint32) << 16) | (green.astype(np.uint32) << 8) | blue


@cache
def _greys() -> frozenset[int]:
    """The greys of VOC's colours, rounded as PIL and as OpenCV do."""
    exact = _vocs() @ np.array([0.299, 0.587, 0.114])
    return frozenset(int(grey) for grey in (*np.floor(exact), *np.ceil(exact)))


def label_values(class_ids: np.ndarray) -> np.ndarray:
    """0-based classes int [K] → label values c + 1, uint8 [K]. Raises InputError above 253."""
    values = np.asarray(class_ids) + 1
    if values.size and values.max() >= IGNORE:
        raise InputError(f"class {values.max() - 1} does not fit an 8-bit label with 255 = ignore")
    return values.astype(np.uint8)


def pseudo_label(
    maps: np.ndarray, class_ids: np.ndarray, background_score: float | np.ndarray
) -> np.ndarray:
    """argmax([t, maps]) as uint8 H×W: 0 background, c + 1 for 0-based class c.

    maps: floating K×H×W in [0, 1]; class_ids: int [K], below 254; background_score: t, or t(x) H×W.
    Ties go to the background. Raises InputError for a class that does not fit 8 bits.

    >>> import numpy as np
    >>> maps = np.array([[[0.9, 0.1, 0.2]], [[0.3, 0.4, 0.2]]])
    >>> pseudo_label(maps, np.array([0, 14]), background_score=0.2)
    array([[ 1, 15,  0]], dtype=uint8)
    """
    if len(class_ids) == 0:
        return np.zeros(maps.shape[1:], np.uint8)
    values = label_values(class_ids)
    # A loop over the few classes is many times faster than argmax along the first axis.
    top = np.asarray(background_score, maps.dtype)
    label = (maps[0] > top) * values[0]
    for value, before, layer in zip(values[1:], maps, maps[1:], strict=False):
        top = np.maximum(top, before)
        np.copyto(label, value, where=layer > top)
    return label
