"""How much each of several cues counts, measured against the CAMs of the same images.

One logistic regression of the CAMs' sure side on all cues' log-odds together. Cues that repeat each
other share what one of them would have, and a cue that adds nothing to the others gets nothing. A
cue that would count against its own direction, alone or beside the others, is left out.
Needs no ground truth and knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..cams import ImageCams
from ..files.cues import resize_cue
from .calibration import DIGITS, LEVELS, cue_level, level_log_odds, logistic, sure_sides
from .formula import Score

__all__ = ["SurePixels", "cue_shares", "look_at_cues"]

# Points of the grid along either side of an image, and blocks of it that count as one position.
SIDE, BLOCKS = 32, 8
# Cues of other images have shares below this one; such a cue is not read.
LEAST_SHARE = 0.05


class SurePixels(NamedTuple):
    """Some of the pixels of which an image's CAMs are sure.

    levels      uint8 [P, N], the values of N cues
    block       uint8 [P], where in the image they are, 0 … BLOCKS² − 1
    foreground  bool [P]; the others are background
    """

    levels: np.ndarray
    block: np.ndarray
    foreground: np.ndarray


def look_at_cues(
    cams: ImageCams, cues: Sequence[np.ndarray], background_score: Score
) -> SurePixels:
    """The sure pixels on a grid over one image. cues: b, float h×w in [0, 1], of the same aspect.

    The grid gives every image the same weight, whatever its size.
    """
    if cams.maps.size == 0:
        return SurePixels(
            np.zeros((0, len(cues)), np.uint8), np.zeros(0, np.uint8), np.zeros(0, bool)
        )
    top = cams.top
    grid = np.ix_(*(((np.arange(SIDE) + 0.5) * side / SIDE).astype(int) for side in top.shape))
    score = background_score[grid] if isinstance(background_score, np.ndarray) else background_score
    background, foreground = sure_sides(top[grid], score)
    levels = np.stack([cue_level(resize_cue(cue, top.shape)[grid]) for cue in cues], axis=-1)
    place = np.arange(SIDE) * BLOCKS // SIDE
    block = place[:, None] * BLOCKS + place
    sure = background | foreground
    return SurePixels(levels[sure].astype(np.uint8), block[sure].astype(np.uint8), foreground[sure])


def cue_shares(images: Sequence[SurePixels]) -> tuple[float, ...]:
    """The weights of the cues' log-odds in their mean, from what `look_at_cues` returns.

    Not negative; their sum is 1, or 0 where no cue agrees with the CAMs. Rounded to 6 decimals, so
    that all machines find the same.
    """
    levels, block, side = (np.concatenate(each) for each in zip(*images, strict=True))
    slopes = np.zeros(levels.shape[1])
    if not 0 < side.sum() < len(side):
        return tuple(slopes.tolist())
    weights = np.stack([~side / (~side).sum(), side / side.sum()])
    x = level_log_odds(np.arange(LEVELS))[levels]
    place = _log_odds_of_blocks(block, side)[block]

    def fit(cues: list[int]) -> np.ndarray:
        return logistic(np.column_stack([x[:, cues], place]), weights)[: len(cues)]

    used = [cue for cue in range(len(slopes)) if fit([cue])[0] > 0]
    while used:
        found = fit(used)
        worst = int(found.argmin())
        if found[worst] > LEAST_SHARE * found[found > 0].sum():
            slopes[used] = found
            break
        del used[worst]
    shares = slopes / (slopes.sum() or 1)
    return tuple(round(float(each), DIGITS) for each in shares)


def _log_odds_of_blocks(block: np.ndarray, side: np.ndarray) -> np.ndarray:
    """How likely foreground is at each position, whatever the cues: log-odds, float64 [BLOCKS²].

    Objects are in the middle of most photographs, so any cue, even one of another image, fits any
    CAM to some degree. In the regression this takes the place of such a cue.
    """
    above, below = (np.bincount(block[each], minlength=BLOCKS**2) + 1 for each in (side, ~side))
    return np.log(above) - np.log(below)
