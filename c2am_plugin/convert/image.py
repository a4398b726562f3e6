"""One image's CAMs on their way into another layout. Knows arrays, no files."""

from __future__ import annotations

import numpy as np

from ..cams import ImageCams
from ..refine.formula import Score, refine

__all__ = ["convert_image"]


def convert_image(
    cams: ImageCams, score: float | None, target: float | None, store_background: bool = False
) -> ImageCams:
    """The same CAMs in float32, without what only their own layout knows.

    score             t in (0, 1) that the CAMs are compared with, where they contain no background
    target            t in (0, 1) that they are to be compared with from now on: argmax([target,
                      CAM]) is argmax([t, CAM]) of before at every pixel; None leaves the values
    store_background  the target's layout contains the background: it becomes t, a constant or not

    The copy of a quarter of the size stays where it is ⌈H/4⌉×⌈W/4⌉; else it is left to the
    target's layout, which makes it of the CAMs.
    """
    maps, small = cams.maps.astype(np.float32), cams.strided
    if small is not None and small.shape[1:] != tuple(-(-side // 4) for side in maps.shape[1:]):
        small = None
    small = None if small is None else small.astype(np.float32)
    t: Score | None = score if cams.background is None else cams.background
    small_t: Score | None = score if cams.strided_background is None else cams.strided_background
    if store_background and t is not None:
        background, small_background = _whole(t, maps), None
        if small is not None and small_t is not None:
            small_background = _whole(small_t, small)
        return ImageCams(
            cams.image_id,
            cams.class_ids,
            maps,
            small,
            background=background,
            strided_background=small_background,
        )
    if target is not None and t is not None:
        maps = _fold(maps, t, target)
        small = None if small is None or small_t is None else _fold(small, small_t, target)
    return ImageCams(cams.image_id, cams.class_ids, maps, small)


def _whole(t: Score, maps: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.float32(t), maps.shape[1:]).copy()


def _fold(maps: np.ndarray, t: Score, target: float) -> np.ndarray:
    """The paper's rule with the former t for the cue."""
    return refine(maps, _whole(t, maps), target)
