"""Binary CAMs (only 0 and 1) as evidence: how certain they are, measured by the cues' agreement.

Taken literally, a binary CAM has the odds 0 and infinity, so only a hard cue could change it. But
it is a measurement, as reliable as another measurement confirms. Over the set, the share of
1-pixels that the cues call foreground estimates how often a 1 is right, and the share of 0-pixels
that they call background how often a 0 is right:

    right₁ = P(the cue is foreground | m = 1)      right₀ = P(the cue is background | m = 0)

This is the calibration of the cues in reverse, from the same counts and without labels. In an
image whose cue ranks the CAM's foreground with weight w (`calibration.image_trust`), a pixel of 1
multiplies the odds of t by (right₁ / (1 − right₁))^w and a pixel of 0 by ((1 − right₀) / right₀)^w;
the cue's own evidence has the same weight. Neither share is taken below one half, so a label
changes only where the evidence of the cue against it exceeds that of the CAM for it. Where a cue
has no evidence (b = t), the stored 0 and 1 stay to the bit; worthless cues have none anywhere. An
uncalibrated hard cue never comes here: the paper's rule holds for it.

A pixel of 0 in an image of several classes does not tell which of them it could be. It counts for
the class of the nearest pixel of 1.
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
    """`formula.refine`, which reads binary CAMs as `binary` tells.

    maps    floating K×H×W in [0, 1]
    cue     floating H×W in [0, 1], b, 1 = surely background
    binary  factors by which a 1 and a 0 multiply the odds of t (`Calibration.binary_odds`); None:
            read the CAMs literally
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
    """Refined CAMs as 0 and 1 again, with the same labels; `kept` stays.

    For files of 0 and 255: some of their readers compare them with t, others with 255·t, and values
    between the two would be foreground to the former and background to the latter.
    """

    def cut(maps: np.ndarray) -> np.ndarray:
        top = maps.max(axis=0)
        return ((maps == top) & (top > maps.dtype.type(background_score))).astype(maps.dtype)

    if cams.maps.size == 0:
        return cams
    return cams.with_maps(
        cut(cams.maps), None if cams.strided is None else cut(cams.strided), cams.kept
    )
