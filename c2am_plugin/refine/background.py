"""Find t without ground truth: the background score at which a set's CAMs fit its cues best.

t is where 1[max_k cam_k > t] correlates best with the rank of the cue in its image, averaged over
the images. Only the order of the CAM's values matters, so t moves along with any increasing
function of them. Cues that carry no information about their own image give no t: their
information is measured against the cues of the other images. README.md in this folder compares
the rules from which this one was chosen.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cams import CamAdapter, constant_score, read_cams
from ..errors import InputError
from ..files.cues import resize_cue
from ..files.folders import sample
from ..runs.parallel import run_images
from .formula import check_background_score
from .pairing import ImageFiles
from .several_cues import CueReading

__all__ = [
    "FoundScore",
    "check_score",
    "choose_score",
    "find_score",
    "look",
    "needs_search",
    "settle_score",
    "take_score",
]

# Images in the sample, and grid points of each along either side.
SCORE_IMAGES, SIDE = 500, 64
# Candidates for t: its three digits are part of a run's settings.
SCORES = np.arange(1, 1000) / 1000
# Good cues correlate with the CAMs at 0.28 to 0.46, and better than cues of other images by 7 to
# 19 standard errors; worthless cues by less than 2.5. Fewer images than this are not enough.
LEAST_CORRELATION, LEAST_ERRORS, LEAST_IMAGES = 0.1, 4.0, 12
LEVELS = 256
log = logging.getLogger("c2am_plugin")


@dataclass(frozen=True)
class FoundScore:
    """The t that the cues of a set give.

    background_score  t in (0, 1), three digits; None where the cues do not determine it
    correlation       of the CAMs' foreground at t with the cues' ranks, mean over images
    errors            how many standard errors it is above the correlation with other images' cues
    images            number of images that were used
    """

    background_score: float | None
    correlation: float
    errors: float
    images: int


def look(maps: np.ndarray, cue: np.ndarray) -> np.ndarray:
    """What the rule needs from an image: float32 [2, SIDE²], max_k cam_k and the cue's rank.

    maps: floating K×H×W in [0, 1], K ≥ 1. cue: b, floating in [0, 1] with the same aspect ratio,
    1 = surely background. The rank, in (0, 1), is higher where foreground is more likely. The
    points are on a grid, so that every image has the same weight.
    """
    height, width = maps.shape[1:]
    rows, columns = (((np.arange(SIDE) + 0.5) * side / SIDE).astype(int) for side in maps.shape[1:])
    top = maps[:, rows][:, :, columns].max(axis=0).ravel()
    b = resize_cue(cue, (height, width))[rows][:, columns].ravel()
    level = np.rint((1 - b) * (LEVELS - 1)).astype(np.intp)
    counts = np.bincount(level, minlength=LEVELS)
    rank = (np.cumsum(counts) - counts / 2) / counts.sum()
    return np.stack([top, rank[level]]).astype(np.float32)


def choose_score(images: Sequence[np.ndarray]) -> FoundScore:
    """t of a set, from what `look` returns for its images."""
    if len(images) < LEAST_IMAGES:
        return FoundScore(None, 0.0, 0.0, len(images))
    tops, ranks = np.stack(images, axis=1)
    curve = np.mean([_correlations(top, rank) for top, rank in zip(tops, ranks, strict=True)], 0)
    best = int(np.argmax(curve))
    errors = _errors_above_others(tops > SCORES[best], ranks)
    correlation = float(curve[best])
    tells = correlation >= LEAST_CORRELATION and errors >= LEAST_ERRORS
    score = float(SCORES[best]) if tells else None
    return FoundScore(score, round(correlation, 3), round(errors, 2), len(images))


def _correlations(top: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Correlation of 1[top > t] with the ranks at every t of SCORES; 0 where one is constant."""
    rank = rank.astype(np.float64) - rank.mean(dtype=np.float64)
    below = np.searchsorted(SCORES, top.astype(np.float64))  # how many t are below the value
    counts = np.bincount(below, minlength=len(SCORES) + 1)
    sums = np.bincount(below, rank, minlength=len(SCORES) + 1)
    share, covariance = (np.cumsum(each[::-1])[::-1][1:] / len(top) for each in (counts, sums))
    spread = np.sqrt(share * (1 - share)) * rank.std()
    return np.divide(covariance, spread, out=np.zeros(len(SCORES)), where=spread > 1e-9)


def _errors_above_others(masks: np.ndarray, ranks: np.ndarray) -> float:
    """By how many standard errors masks N×P correlate better with their own ranks than others'."""
    masks, ranks = (_standardised(each) for each in (masks, ranks))
    all_pairs = masks @ ranks.T / masks.shape[1]
    own = np.diag(all_pairs)
    better = own - (all_pairs.sum(axis=1) - own) / (len(own) - 1)
    spread = float(better.std(ddof=1))
    return float(better.mean() / spread * np.sqrt(len(own))) if spread else 0.0


def _standardised(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    spread = values.std(axis=1, keepdims=True)
    return np.divide(values, spread, out=np.zeros_like(values), where=spread > 1e-9)


def check_score(score: float | str | None) -> None:
    """Raises InputError unless this is a t in (0, 1), None or "auto"."""
    if isinstance(score, str) and score != "auto":
        raise InputError(f"background_score is {score!r}; expected a number or 'auto'")
    if score is not None and not isinstance(score, str):
        check_background_score(score)


def find_score(
    adapter: CamAdapter,
    images: Sequence[ImageFiles],
    *,
    reading: CueReading,
    clip: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> FoundScore:
    """t of these images, which must all have a cue, found on a sample of them.

    Of several cue folders, the one that fits the CAMs best tells it.
    All shards use the same sample of the whole set, and so the same t. Raises InputError where no
    image of it can be read.
    """
    found = [
        _find_score(adapter, images, each, clip, workers, progress) for each in reading.alone()
    ]
    return max(found, key=lambda each: (each.background_score is not None, each.correlation))


def _find_score(
    adapter: CamAdapter,
    images: Sequence[ImageFiles],
    reading: CueReading,
    clip: bool,
    workers: int | None,
    progress: bool,
) -> FoundScore:
    outcome = run_images(
        ScoreJob(adapter, reading, clip),
        sample(images, SCORE_IMAGES),
        workers=workers,
        title="background score",
        prefer="processes",
        progress=progress,
    )
    if outcome.failures and not outcome.results:
        raise InputError(next(iter(outcome.failures.values())))
    return choose_score([each for each in outcome.results.values() if each is not None])


@dataclass(frozen=True)
class ScoreJob:
    """What the rule needs from one image; None where it has no class."""

    adapter: CamAdapter
    reading: CueReading
    clip: bool

    def __call__(self, image: ImageFiles) -> np.ndarray | None:
        cams = read_cams(self.adapter, image.cam, image.image_id, clip=self.clip)
        if cams.maps.size == 0:
            return None
        return look(cams.maps, self.reading(image.cues, cams.maps.shape[1:]))


def settle_score(
    adapter: CamAdapter,
    score: float | str | None,
    images: Sequence[ImageFiles],
    *,
    reading: CueReading,
    clip: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> float:
    """t of a run: a number as given; "auto": found from the cues; None: the profile's.

    Where the profile has no constant, None is "auto". Where the cues do not determine t, the
    profile's is kept with a warning; raises InputError where it has none.
    """
    if not needs_search(adapter, score):
        return constant_score(adapter, score)  # type: ignore[arg-type]
    found = find_score(
        adapter, images, reading=reading, clip=clip, workers=workers, progress=progress
    )
    return take_score(adapter, found)


def needs_search(adapter: CamAdapter, score: float | str | None) -> bool:
    """Whether t of a run is found from its cues. score: as for `settle_score`."""
    if getattr(adapter, "stores_background", False):
        return False
    return score == "auto" or (score is None and adapter.background_score is None)


def take_score(adapter: CamAdapter, found: FoundScore) -> float:
    """t from what was found, or else the profile's with a warning. Raises InputError for none."""
    own = adapter.background_score
    if found.background_score is not None:
        log.info(
            "t = %g fits CAMs and cues best (correlation %.2f, %d images); %s",
            found.background_score,
            found.correlation,
            found.images,
            f"{adapter.name} has no constant" if own is None else f"{adapter.name} has {own:g}",
        )
        return found.background_score
    reason = (
        f"{found.images} images are too few to find the background score"
        if found.images < LEAST_IMAGES
        else "the cues fit the CAMs hardly better than cues of other images do, so the background "
        "score cannot be found from them"
    )
    if own is None:
        raise InputError(f"{reason}, and {adapter.name} has no constant; give background_score")
    log.warning("%s; t stays at %g, the score of %s", reason, own, adapter.name)
    return float(own)
