"""CAMs of 0 and 1 alone as evidence: how sure such a CAM is, told by how often the cues agree.

Read as it is, a binary CAM has the odds 0 and infinity, so that only a hard cue can change it. It
is a measurement, though, and right as often as another one confirms it. Over the set, the pixels of
1 that the cues call foreground tell how often a 1 is right, those of 0 that they call background
how often a 0 is:

    right₁ = P(the cue says foreground | m = 1)      right₀ = P(the cue says background | m = 0)

That is the calibration of the cues the other way round, from the same counts and without labels. In
an image whose cue ranks the CAM's foreground with trust w (`calibration.image_trust`), a pixel of 1
multiplies the odds of t by (right₁ / (1 − right₁))^w, a pixel of 0 by ((1 − right₀) / right₀)^w:
the cue's own evidence has that weight too. Neither share is taken for less than a half, so that
every label is what it was until a cue says more against it than the CAM says for it. Where a cue
says nothing (b = t), the stored 0 and 1 stay to the bit; cues that are worth nothing say nothing
anywhere. A hard cue that is not calibrated never comes here: the paper's rule holds for it.

A pixel of 0 in an image of several classes does not say which of them it could be: it counts for
that of the nearest pixel of 1.
"""

from __future__ import annotations

import numpy as np

from ..cams import ImageCams
from .formula import NO_NEWS, Score, refine

__all__ = ["harden", "read_binary", "refine_maps"]


def refine_maps(
    maps: np.ndarray,
    cue: np.ndarray,
    background_score: Score,
    strength: float = 1.0,
    dtype: np.dtype | type | None = None,
    top: np.ndarray | None = None,
    binary: tuple[float, float] | None = None,
) -> np.ndarray:
    """`formula.refine`, and the same for binary CAMs where it is told how they are read.

    maps    floating K×H×W in [0, 1]
    cue     floating H×W in [0, 1], b, 1 = surely background
    binary  by what a 1 and a 0 multiply the odds of t (`Calibration.binary_odds`); None: as is
    """
    if binary is None or maps.size == 0:
        return refine(maps, cue, background_score, strength, dtype, top)
    read = read_binary(maps, background_score, binary)
    refined = refine(read, cue, background_score, strength, dtype)
    still = np.abs(cue - background_score) <= NO_NEWS if strength else np.ones(cue.shape, bool)
    np.copyto(refined, maps, where=still, casting="same_kind")
    return refined


def read_binary(
    maps: np.ndarray, background_score: Score, binary: tuple[float, float]
) -> np.ndarray:
    """Binary CAMs K×H×W as probabilities, of the same dtype: 0 and 1 on either side of t."""
    on = maps.max(axis=0) > 0
    if not on.any():
        return maps
    from scipy.ndimage import distance_transform_edt  # slow to import, and few runs need it

    high, low = (background_score / (1 - background_score) * each for each in binary)
    where = distance_transform_edt(~on, return_distances=False, return_indices=True)
    nearest = maps[:, where[0], where[1]]
    return (nearest * np.where(on, high / (1 + high), low / (1 + low))).astype(maps.dtype)


def harden(cams: ImageCams, background_score: float) -> ImageCams:
    """Refined CAMs as 0 and 1 again, with the labels that they have; what is kept stays kept.

    For files of 0 and 255: their readers compare them with t as well as with 255·t, and what lies
    between would be foreground to the one and background to the other.
    """

    def cut(maps: np.ndarray) -> np.ndarray:
        top = maps.max(axis=0)
        return ((maps == top) & (top > maps.dtype.type(background_score))).astype(maps.dtype)

    if cams.maps.size == 0:
        return cams
    return cams.with_maps(
        cut(cams.maps), None if cams.strided is None else cut(cams.strided), cams.kept
    )
