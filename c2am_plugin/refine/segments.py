"""Average refined CAMs within the segments of an image, so that their outlines follow its edges.

A CAM is averaged as what it is worth against the background score t, so that t counts as one half:

    u_k = cam_k·(1 − t) / (cam_k·(1 − t) + (1 − cam_k)·t)
    u'_k = (1 − w)·u_k + w·mean of u_k over the pixel's segment

and u'_k is turned back into a CAM. Of CAMs that are 0 and 1, the majority of a segment wins,
whatever t is. Where segments overlap, a pixel takes the average of its segments' means. A pixel
without a segment keeps its value. README.md in this folder compares weights and segmenters. Pure
numpy; the files are read in `files.segments`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..cams import ImageCams
from ..files.segments import read_segments
from .formula import Score

__all__ = ["WEIGHT", "average_cams", "average_maps", "average_within"]

# The weight w of the segment's mean.
WEIGHT = 0.75
# A t(x) of 0 would make every CAM above it certain; a smaller change of u is rounding.
LEAST_SCORE, ROUNDING = 1e-6, 1e-7


def average_within(
    maps: np.ndarray, segments: np.ndarray, background_score: Score, weight: float = WEIGHT
) -> np.ndarray:
    """CAMs averaged within segments.

    maps: floating K×H×W in [0, 1]. segments: int [L, H, W], −1 = no segment; segments of one layer
    do not overlap. background_score: t in (0, 1), or t(x), floating H×W. weight: w in [0, 1].
    Returns an array of the shape and dtype of `maps`, in [0, 1]; values that do not move stay as
    they are, to the bit.

    >>> maps = np.array([[[1.0, 1.0, 0.0, 0.1]]])
    >>> segments = np.array([[[0, 0, 0, -1]]])
    >>> average_within(maps, segments, background_score=0.5, weight=0.75).round(2)
    array([[[0.75, 0.75, 0.5 , 0.1 ]]])
    """
    covering = (segments >= 0).sum(axis=0)
    if maps.size == 0 or weight == 0 or not covering.any():
        return maps
    t = np.clip(np.asarray(background_score, np.float64), LEAST_SCORE, 1 - LEAST_SCORE)
    worth = maps * (1 - t)
    worth /= worth + (1 - maps) * t
    change = _means(worth, segments) / np.maximum(covering, 1)
    change = weight * np.where(covering > 0, change - worth, 0)
    worth += change
    mixed = worth * t / (worth * t + (1 - worth) * (1 - t))
    return np.where(np.abs(change) > ROUNDING, np.clip(mixed, 0, 1), maps).astype(maps.dtype)


def _means(maps: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """The sum over the layers of the mean in a pixel's segment, float64 K×H×W."""
    means = np.zeros(maps.shape)
    for layer in segments:
        inside = layer >= 0
        number = layer[inside]
        area = np.maximum(np.bincount(number), 1)
        for values, total in zip(maps, means, strict=True):
            total[inside] += (np.bincount(number, values[inside]) / area)[number]
    return means


def average_maps(maps: np.ndarray, path: Path, zero_is_none: bool, score: Score) -> np.ndarray:
    """`average_within` the segments of a file or folder. Raises InputError that names it."""
    if maps.size == 0:
        return maps
    shape = (maps.shape[1], maps.shape[2])
    return average_within(maps, read_segments(path, shape, zero_is_none), score)


def average_cams(
    cams: ImageCams, path: Path, zero_is_none: bool, background_score: float
) -> ImageCams:
    """Both sizes of one image's CAMs averaged within the segments of a file or folder.

    background_score: t where the CAMs have no background of their own. Values that do not change
    are stored as they were. Raises InputError, with the file's name.
    """
    if cams.maps.size == 0:
        return cams
    maps = average_maps(cams.maps, path, zero_is_none, cams.score(background_score))
    strided, small_kept = cams.strided, cams.kept[1]
    if cams.strided is not None:
        score = background_score if cams.strided_background is None else cams.strided_background
        strided = average_maps(cams.strided, path, zero_is_none, score)
        small_kept = small_kept & (strided == cams.strided)
    return cams.with_maps(maps, strided, (cams.kept[0] & (maps == cams.maps), small_kept))
