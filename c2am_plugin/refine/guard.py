"""The guard: down-weight a cue where it would erase most of a class's confident area.

Knows one image's CAMs and its cue; needs no ground truth. Cues fail on objects that appear as
surroundings in the training images (chair, dining table, sofa): the cue calls them background
although the classifier is certain. A CAM is rarely wrong in most of its confident area; a cue often
is. The guard changes the cue and not the formula, so everything that holds for cues holds for it.
"""

from __future__ import annotations

import numpy as np

from ..cams import highest
from ..files.cues import resize_cue
from .formula import Score, check_background_score

__all__ = ["class_trust", "guard_cue"]

# A CAM at least this high is confident, as in `checks.check_polarity`.
CONFIDENT = 0.5
# A cue has full weight for a class that keeps this share of its confident area.
FULL_TRUST = 0.4


def class_trust(maps: np.ndarray, cue: np.ndarray) -> np.ndarray:
    """The weight of a cue for each class of an image: float64 [K] in [0, 1].

    maps  floating K×H×W in [0, 1];  cue  floating H×W in [0, 1], b, 1 = surely background

    0 where the cue erases the whole confident area of a class (the pixels where the class is the
    highest and at least 0.5), rising to 1 where at least 40 % of it stays above the cue. A class
    without a confident area gives 1.
    """
    return _trust(maps, cue, maps.argmax(axis=0), highest(maps))


def _trust(maps: np.ndarray, cue: np.ndarray, winner: np.ndarray, top: np.ndarray) -> np.ndarray:
    confident = top >= CONFIDENT
    area = np.bincount(winner[confident], minlength=len(maps))
    kept = np.bincount(winner[confident & (top > cue)], minlength=len(maps))
    share = np.divide(kept, area, out=np.ones(len(maps)), where=area > 0)
    return np.minimum(1, share / FULL_TRUST)


def guard_cue(
    maps: np.ndarray, cue: np.ndarray, background_score: Score, top: np.ndarray | None = None
) -> np.ndarray:
    """The cue, moved towards neutral (b = t) in the region of each class that it would erase.

    maps       floating K×H×W in [0, 1], the CAMs that the cue is about to refine
    cue        b, floating h×w in [0, 1] with the same aspect ratio, 1 = surely background
    background_score  t in (0, 1), or t(x) H×W

    Returns float32 H×W in [0, 1]: t + trust·(b − t), where a pixel's trust is that of its highest
    class. Trust 1 leaves the cue unchanged; trust 0 leaves the CAM unchanged, to the bit.
    Raises InputError where the shapes do not match.
    """
    check_background_score(background_score)
    if len(maps) == 0:
        return cue
    cue = resize_cue(cue, maps.shape[1:])
    winner = maps.argmax(axis=0)
    trust = _trust(maps, cue, winner, highest(maps) if top is None else top)
    if np.all(trust == 1):
        return cue
    weight = trust.astype(np.float32)[winner]
    t = np.asarray(background_score, np.float32)
    drawn = t + weight * (cue - t)
    return np.where(weight == 1, cue, np.clip(drawn, 0, 1)).astype(np.float32)
