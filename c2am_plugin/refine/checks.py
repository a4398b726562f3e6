"""Check on a few images whether cues and CAMs fit: the polarity, the shapes, the same images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from ..cams import ImageCams
from ..errors import InputError
from ..files.cues import resize_cue
from .pairing import log

__all__ = ["check_polarity", "check_same_images", "check_shapes"]

# Cues without a b below this look black, as masks stored as 0 and 1 do.
BLACK = 0.99
# A CAM at least this high is confident foreground, whatever the pipeline's background score.
CONFIDENT = 0.5
# Images needed to tell whether the cues are of the same images, and the size they are reduced to.
ENOUGH, SIDE = 12, 32

# Paired t statistic below which they are not. On 32 images of COCO, cues of other images stay below
# it in 95 of 100 draws, and the right ones, hard or soft, in none of 1,000.
SAME = 1.5
# The statistics of an image are taken from every third row and column.
STEP = 3


def check_polarity(pairs: Iterable[tuple[ImageCams, np.ndarray]], cues: str = "the cues") -> bool:
    """Warn where the cues (b, 1 = background) call the CAMs' confident foreground background.

    Compares the mean of b inside the regions where a CAM is confident with its mean elsewhere,
    over all pairs. The warning gives both numbers and the argument that flips the cues, or reports
    that all cues are black. cues: what the warning calls them. Returns True where nothing was
    wrong.
    """
    inside, outside, lowest = [0.0, 0], [0.0, 0], 1.0
    for cams, cue in pairs:
        if cams.maps.size == 0:
            continue
        try:
            b = resize_cue(cue, cams.maps.shape[1:])
        except InputError:
            continue  # the run lists it
        b = b[::STEP, ::STEP]
        lowest = min(lowest, float(b.min()))
        confident = cams.maps[:, ::STEP, ::STEP].max(axis=0) >= CONFIDENT
        count = int(confident.sum())
        within = float(b[confident].sum(dtype=np.float64))
        inside = [inside[0] + within, inside[1] + count]
        outside = [
            outside[0] + float(b.sum(dtype=np.float64)) - within,
            outside[1] + b.size - count,
        ]
    if not (inside[1] and outside[1]):
        return True
    within, without = inside[0] / inside[1], outside[0] / outside[1]
    if lowest > BLACK:
        log.warning(
            "%s are black, so everything is background: masks of 0 and 1 must be stored as "
            "0 and 255",
            cues,
        )
        return False
    if within > without + 0.05:
        log.warning(
            "%s call %.0f %% of the CAMs' confident foreground background, and %.0f %% of "
            "the rest: their polarity looks wrong; `flip_cues=True` flips it",
            cues,
            100 * within,
            100 * without,
        )
    elif within > without - 0.02:
        log.warning(
            "%s call %.0f %% of the CAMs' confident foreground background, and %.0f %% of "
            "the rest: they carry no information about these CAMs; are they of the same images?",
            cues,
            100 * within,
            100 * without,
        )
    return within <= without - 0.02


def check_shapes(pairs: Sequence[tuple[ImageCams, np.ndarray]], cues: str = "the cues") -> None:
    """Raises InputError where no cue has the aspect ratio of its CAMs. cues: their name."""
    refusal = None
    for cams, cue in pairs:
        if cams.maps.size == 0:
            continue
        try:
            resize_cue(cue, cams.maps.shape[1:])
        except InputError as error:
            refusal = refusal or (cams.image_id, error)
        else:
            return
    if refusal:
        number = f"{len(pairs)} {cues.removeprefix('the ')}"
        raise InputError(f"none of {number} fits its CAMs; {refusal[0]}: {refusal[1]}")


def check_same_images(
    pairs: Iterable[tuple[ImageCams, np.ndarray]], cues: str = "the cues"
) -> None:
    """Warn where the cues fit the CAMs no better than cues of other images do.

    Objects are in the middle of most photographs, so any cue fits any CAM to some degree. Here each
    CAM is compared with the cues of all pairs: how much higher b is outside its confident region
    than inside, for its own cue against the mean of the others. All are resized to one size. cues:
    what the warning calls them.
    """
    masks, small = [], []
    for cams, cue in pairs:
        mask = _small(cams.maps.max(axis=0) >= CONFIDENT) if cams.maps.size else np.zeros(1)
        if 0 < mask.mean() < 1:
            masks.append(mask)
            small.append(_small(cue))
    n = len(masks)
    if n < ENOUGH:
        return
    inside, b = np.stack(masks), np.stack(small)
    outside = 1 - inside
    gaps = outside @ b.T / outside.sum(axis=1, keepdims=True)
    gaps -= inside @ b.T / inside.sum(axis=1, keepdims=True)
    own = np.diag(gaps)
    better = own - (gaps.sum(axis=1) - own) / (n - 1)
    if better.mean() < SAME * better.std(ddof=1) / np.sqrt(n):
        log.warning(
            "%s fit these CAMs no better than cues of other images would (%d images "
            "compared): are they of the same images?",
            cues,
            n,
        )


def _small(pixels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(pixels.astype(np.float32))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64).ravel()
