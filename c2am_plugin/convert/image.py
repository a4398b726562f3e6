"""Converts one image's CAMs for another layout. Arrays only, without files."""

from __future__ import annotations

import numpy as np

from ..cams import ImageCams
from ..refine.formula import Score, refine

__all__ = ["convert_image"]


def convert_image(
    cams: ImageCams, score: float | None, target: float | None, store_background: bool = False
) -> ImageCams:
    """The same CAMs in float32, without the content that only their own layout has.

    score             t in (0, 1) that the CAMs are compared with, if they contain no background
    target            t in (0, 1) that the result is compared with: argmax([target, result]) equals
                      argmax([t, CAM]) at every pixel; None leaves the values unchanged
    store_background  the target's layout contains a background: it becomes t, constant or not

    A second copy of ⌈H/4⌉×⌈W/4⌉ is kept; one of another size is dropped, and the target's layout
    makes its own from the CAMs.
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
    """The paper's rule with the former t as the cue."""
    return refine(maps, _whole(t, maps), target)
