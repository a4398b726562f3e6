"""One image's CAMs on their way into another layout. Knows arrays, no files."""

from __future__ import annotations

import numpy as np

from ..cams import ImageCams
from ..refine.formula import refine

__all__ = ["convert_image"]


def convert_image(cams: ImageCams, score: float | None, target: float | None) -> ImageCams:
    """The same CAMs in float32, without what only their own layout knows.

    score   t in (0, 1) that the CAMs are compared with
    target  t in (0, 1) that they are to be compared with from now on: argmax([target, CAM]) is
            argmax([score, CAM]) of before at every pixel; None, as `score`, leaves the values

    The copy of a quarter of the size stays where it is ⌈H/4⌉×⌈W/4⌉; else it is left to the
    target's layout, which makes it of the CAMs.
    """
    maps, small = cams.maps.astype(np.float32), cams.strided
    if small is not None and small.shape[1:] != tuple(-(-side // 4) for side in maps.shape[1:]):
        small = None
    small = None if small is None else small.astype(np.float32)
    if score is not None and target is not None and score != target:
        maps = _fold(maps, score, target)
        small = None if small is None else _fold(small, score, target)
    return ImageCams(cams.image_id, cams.class_ids, maps, small)


def _fold(maps: np.ndarray, score: float, target: float) -> np.ndarray:
    """The paper's rule with the former t for the cue."""
    return refine(maps, np.full(maps.shape[1:], score, np.float32), target)
