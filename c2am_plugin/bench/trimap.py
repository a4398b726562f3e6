"""Boundary quality: ground truth narrowed to a band along the outlines of its objects.

mIoU inside such a band (trimap IoU; Kohli, Ladicky, Torr, IJCV 2009) measures how well outlines are
met, which the mIoU of whole images hides behind the insides of large objects.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..files.labels import IGNORE

__all__ = ["boundary_band"]


def boundary_band(truth: np.ndarray, width: int) -> np.ndarray:
    """Ground truth H×W uint8 with everything further than `width` pixels from an outline ignored.

    Returns a new uint8 H×W. VOC's outlines are themselves ignored strips a few pixels wide: the
    outline is taken in their middle, where the nearest labelled pixels change class. The strip
    stays ignored. The border of the image is not an outline.
    """
    ignored = truth == IGNORE
    filled = truth
    if ignored.any() and not ignored.all():
        nearest = ndimage.distance_transform_edt(
            ignored, return_distances=False, return_indices=True
        )
        filled = truth[tuple(nearest)]
    outline = np.zeros(truth.shape, bool)
    across, down = filled[:, 1:] != filled[:, :-1], filled[1:] != filled[:-1]
    outline[:, 1:] |= across
    outline[:, :-1] |= across
    outline[1:] |= down
    outline[:-1] |= down
    if not outline.any():
        return np.full_like(truth, IGNORE)
    # An outline pixel lies half a pixel from the outline, hence < and not <=.
    near = ndimage.distance_transform_edt(~outline) < width
    return np.where(near, truth, IGNORE).astype(truth.dtype)
