"""Where foreground begins, and how sure a value is of it: pure functions of maps in [0, 1].

Knows neither networks nor files. A map's values become a cue by a boundary τ: hard, `values > τ`;
soft, odds(cue) = (odds(values) / odds(τ))^sharpness, so that mid-grey is undecided and the cue
can be read as odds. None of the ways to find τ looks at ground truth.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import InputError

__all__ = [
    "RULES",
    "agreement_counts",
    "best_boundary",
    "bimodal",
    "otsu",
    "read_boundary",
    "soft_values",
]

# Ways to find where foreground begins, beside a number.
RULES = ("boundary", "bimodal", "otsu", "agree")

BINS = 256
# Log-odds beyond these are equally certain. A map whose two groups explain less than SPLIT[0] of
# the variance of its log-odds keeps the network's boundary; from SPLIT[1] on the groups alone
# decide. README.md in this folder has the comparison they were chosen on.
CERTAIN, SPLIT = 6.0, (0.7, 0.8)
# The boundaries that `best_boundary` chooses from: evenly spaced log-odds, 0.0003 to 0.9997.
LOG_ODDS = np.linspace(-8, 8, 321)


def read_boundary(boundary: float | str) -> float | str:
    """A rule's name, or a share of a map's maximum in (0, 1), also as text. Raises InputError."""
    if boundary in RULES:
        return boundary
    try:
        number = float(boundary)
    except ValueError:
        number = math.nan
    if not 0 < number < 1:
        raise InputError(
            f"boundary {boundary}: expected a share of the map's maximum in (0, 1), or "
            f"{', '.join(RULES)}"
        )
    return number


def soft_values(values: np.ndarray, boundary: float, sharpness: float = 1.0) -> np.ndarray:
    """Float values in [0, 1], high = foreground → soft cue of the same shape, float32 in [0, 1].

    boundary in (0, 1) becomes 0.5, 0 stays 0 and 1 stays 1, order is kept. sharpness > 0 is the
    exponent of the odds ratio.
    """
    values = np.asarray(values, np.float64)
    for_it = (values * (1 - boundary)) ** sharpness
    against = ((1 - values) * boundary) ** sharpness
    return (for_it / (for_it + against)).astype(np.float32)


def otsu(values: np.ndarray) -> float:
    """The boundary in (0, 1) that splits values in [0, 1] into the two most separate groups.

    N. Otsu, A threshold selection method from gray-level histograms, 1979: the greatest variance
    between the groups. 0.5 where all values are alike.
    """
    counts, edges = np.histogram(values, bins=BINS, range=(0, 1))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    sum_below = np.cumsum(counts * centres)[:-1]
    sum_above = (counts * centres).sum() - sum_below
    split = (below > 0) & (above > 0)
    if not split.any():
        return 0.5
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sum_below / below - sum_above / above) ** 2
    # Between two far groups many boundaries are equally good; the middle one is the safest.
    best = np.flatnonzero(split & (between >= np.nanmax(between[split]) * (1 - 1e-9)))
    return float(edges[1:-1][best].mean())


def bimodal(log_odds: np.ndarray) -> float:
    """An image's own boundary as log-odds, between the network's (0) and Otsu's of its log-odds.

    log_odds: H×W, high = foreground. The share of the variance that Otsu's two groups explain says
    how far the boundary moves: a clear object on a clear background moves it to the valley between
    them, however small the object is. A map of one group keeps 0.
    """
    values = (np.clip(np.asarray(log_odds, np.float64), -CERTAIN, CERTAIN) / CERTAIN + 1) / 2
    split = otsu(values)
    above = values > split
    total = float(values.var())
    if total == 0 or above.all() or not above.any():
        return 0.0
    share = float(above.mean())
    gap = float(values[above].mean() - values[~above].mean())
    explained = share * (1 - share) * gap**2 / total
    weight = float(np.clip((explained - SPLIT[0]) / (SPLIT[1] - SPLIT[0]), 0, 1))
    return weight * (2 * split - 1) * CERTAIN


def agreement_counts(values: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """How often each range of values meets each side of a mask: int64 [2, len(LOG_ODDS) + 1].

    values: H×W in [0, 1]; foreground: bool H×W. Row 1 is the mask's foreground. Counts of several
    images add up.
    """
    with np.errstate(divide="ignore"):
        log_odds = np.log(values) - np.log1p(-np.asarray(values, np.float64))
    place = np.searchsorted(LOG_ODDS, log_odds.ravel(), side="left")
    size = len(LOG_ODDS) + 1
    return np.bincount(place + size * foreground.ravel(), minlength=2 * size).reshape(2, size)


def best_boundary(counts: np.ndarray) -> float:
    """The boundary at which values and masks agree best, from `agreement_counts`.

    Agreement is the mean of the IoUs of both sides over all pixels: unlike the share of equal
    pixels it does not favour the larger side. Raises InputError where a mask has one side only.
    """
    if not counts.sum(axis=1).all():
        side = "background" if counts[0].any() else "foreground"
        raise InputError(
            f"the CAMs are entirely {side} at their background score; expected both sides, to "
            "find the boundary that agrees best"
        )
    # A value of bin i is above the boundaries 0 … i−1.
    above = counts[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    below = counts.sum(axis=1, keepdims=True) - above
    foreground = above[1] / (above[0] + counts[1].sum())
    background = below[0] / (below[1] + counts[0].sum())
    best = LOG_ODDS[np.argmax(foreground + background)]
    return float(1 / (1 + np.exp(-best)))
