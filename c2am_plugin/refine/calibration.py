"""How much evidence a folder of cues has, measured against the CAMs of the same images.

A soft cue is read as odds, but few cues state true odds. They are calibrated without ground truth:
over the whole set, the pixels where the CAMs are sure of the foreground or of the background show
how likely a cue value is in each. Cues that contradict the CAMs everywhere, or that carry no
information, get no weight, and the CAMs stay unchanged. The same holds for a single image whose
cue contradicts its CAMs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..cams import ImageCams
from ..files.cues import resize_cue
from .formula import Score

__all__ = [
    "LEVELS",
    "Calibration",
    "calibrate_cues",
    "count_sure_pixels",
    "cue_level",
    "image_trust",
    "level_log_odds",
    "logistic",
    "sure_sides",
    "with_binary_cams",
]

LEVELS = 256
# Digits of the four numbers: they are settings of a run, and machines may differ in the last bit.
DIGITS = 6
# Less accurate cues carry no information about binary CAMs; chance gives 0.5 to 0.52.
WORTH_ASKING = 0.55


@dataclass(frozen=True)
class Calibration:
    """How cues become evidence: log-odds e = clip(trust · (slope·L + bias), ±limit) for foreground.

    L is the cue's log-odds of the foreground; trust comes from `image_trust`. accuracy, in
    [0.5, 1], is the share of the CAMs' sure pixels that the cues get right, with foreground and
    background weighted equally. limit is its log-odds, so no pixel of a cue gets more weight than
    the cues earn on the whole set. right_1, right_0: how often the cues confirm a CAM's 1 and its
    0, only for sets of binary CAMs, see binary.py.
    """

    slope: float
    bias: float
    limit: float
    accuracy: float
    right_1: float | None = None
    right_0: float | None = None

    def binary_odds(
        self, cams: ImageCams, cue: np.ndarray, background_score: float
    ) -> tuple[float, float] | None:
        """Factors by which a 1 and a 0 of an image's binary CAMs multiply the odds of t.

        None where the set is not binary or the cues have no evidence. cue: the uncalibrated b, as
        for `apply`.
        """
        if self.right_1 is None or self.right_0 is None:
            return None
        trust = image_trust(cams, cue, background_score)
        one, zero = self.right_1 / (1 - self.right_1), (1 - self.right_0) / self.right_0
        return one**trust, zero**trust

    def apply(self, cams: ImageCams, cue: np.ndarray, background_score: Score) -> np.ndarray:
        """An image's cue b (float in [0, 1], 1 = background), calibrated so that b = t is neutral.

        Returns float32 in (0, 1) of the cue's shape, or of that of t(x) where t is a map, with
        odds(b) = odds(t) / exp(e). Fusing it multiplies the odds of the image's CAMs by exp(e).
        """
        log_odds, t = level_log_odds(np.arange(LEVELS)), background_score
        trust = image_trust(cams, cue, t) if self.limit else 0.0
        evidence = np.clip(trust * (self.slope * log_odds + self.bias), -self.limit, self.limit)
        if isinstance(t, np.ndarray):
            level, t = cue_level(resize_cue(cue, t.shape)), t.astype(np.float64)
            against = (1 - t) * np.exp(evidence)[level]
            return np.asarray(t / (t + against), np.float32)
        prior = np.log(t) - np.log1p(-t)
        table = 1 / (1 + np.exp(evidence - prior))
        return table.astype(np.float32)[cue_level(cue)]


def image_trust(cams: ImageCams, cue: np.ndarray, background_score: Score) -> float:
    """How well a cue ranks the foreground of its own image's CAMs: max(0, 2·AUC − 1), in [0, 1].

    AUC is the probability that the cue ranks a pixel of the CAMs' foreground (above t) higher than
    one of their background. A cue that is uninformative or inverted on this image gets 0.
    """
    if cams.maps.size == 0:
        return 0.0
    score = background_score if cams.background is None else cams.background
    foreground = cams.top > score
    level = cue_level(resize_cue(cue, foreground.shape))
    above = np.bincount(level[foreground], minlength=LEVELS).astype(np.float64)
    below = np.bincount(level[~foreground], minlength=LEVELS).astype(np.float64)
    pairs = above.sum() * below.sum()
    if pairs == 0:
        return 0.0
    higher = below[::-1].cumsum()[::-1] - below
    auc = float((above * (higher + below / 2)).sum() / pairs)
    return max(0.0, 2 * auc - 1)


def count_sure_pixels(cams: ImageCams, cue: np.ndarray, background_score: Score) -> np.ndarray:
    """Pixels of one image by the CAMs' sure side and the cue's value: int64 [2, 256].

    Row 0: surely background, max_k cam_k ≤ t/2; row 1: surely foreground, max_k cam_k ≥ 2t (or
    half-way from t to 1, where 2t is beyond). Columns: b in 256 levels. The counts of several
    images can be added.
    """
    if cams.maps.size == 0:
        return np.zeros((2, LEVELS), np.int64)
    level = cue_level(resize_cue(cue, cams.top.shape))
    sure = sure_sides(cams.top, background_score)
    return np.stack([np.bincount(level[mask], minlength=LEVELS) for mask in sure])


def sure_sides(top: np.ndarray, background_score: Score) -> tuple[np.ndarray, np.ndarray]:
    """Where the CAMs' maximum is surely background, and surely foreground: two bool arrays."""
    t = background_score
    foreground = (top >= np.minimum(2 * t, (1 + t) / 2)) & (top > 0)
    return top <= t / 2, foreground


def calibrate_cues(counts: Iterable[np.ndarray]) -> Calibration:
    """Logistic regression of the CAMs' sure side on the cue's log-odds, each side weighted 1/2.

    counts: what `count_sure_pixels` returns for the images of a set. The numbers are rounded to 6
    decimals, so that all machines find the same. A negative slope (inverted cues) counts as no
    evidence.
    """
    total = np.sum(list(counts), axis=0).astype(np.float64)
    sums = total.sum(axis=1, keepdims=True)
    if not sums.all():
        return Calibration(0.0, 0.0, 0.0, 0.5)
    weights = total / sums
    log_odds = level_log_odds(np.arange(LEVELS))
    slope, bias = (round(float(each), DIGITS) for each in logistic(log_odds[:, None], weights))
    if slope <= 0:
        return Calibration(0.0, 0.0, 0.0, 0.5)
    says_foreground = slope * log_odds + bias > 0
    accuracy = (weights[1, says_foreground].sum() + weights[0, ~says_foreground].sum()) / 2
    accuracy = round(float(np.clip(accuracy, 0.5, 0.999)), DIGITS)
    limit = round(float(np.log(accuracy / (1 - accuracy))), DIGITS)
    return Calibration(slope, bias, limit, accuracy)


def with_binary_cams(calibration: Calibration, counts: Iterable[np.ndarray]) -> Calibration:
    """`calibration` for a set of binary CAMs: adds how often the cues confirm them.

    counts: the counts that `calibration` was made from. A share below one half is raised to it.
    Cues that agree with the CAMs hardly more often than chance get no evidence: they would confirm
    nothing, and so overrule CAMs about which they carry no information.
    """
    total = np.sum(list(counts), axis=0).astype(np.float64)
    if calibration.accuracy < WORTH_ASKING:
        return Calibration(0.0, 0.0, 0.0, 0.5)
    log_odds = level_log_odds(np.arange(LEVELS))
    says_foreground = calibration.slope * log_odds + calibration.bias > 0
    zero, one = total[0, ~says_foreground].sum(), total[1, says_foreground].sum()
    right = [
        float(np.clip(part / all_, 0.5001, 0.999))
        for part, all_ in ((one, total[1].sum()), (zero, total[0].sum()))
    ]
    return replace(calibration, right_1=round(right[0], DIGITS), right_0=round(right[1], DIGITS))


def logistic(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Newton's method for p(row 1 | x) = 1 / (1 + exp(−(slopes·x + bias))), with a small ridge.

    x: float64 [P, N]. weights: float64 [2, P], of each row of x on either side. Returns the N
    slopes and the bias, float64 [N + 1].
    """
    design = np.column_stack([x, np.ones(len(x))])
    both, target = weights.sum(axis=0), weights[1]
    ridge = 1e-4 * np.eye(design.shape[1])
    solution = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ solution))
        gradient = design.T @ (target - both * p) - ridge @ solution
        curvature = (design * (both * p * (1 - p))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, gradient)
        # Newton's method overshoots where the two sides hardly overlap.
        solution = solution + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    return solution


def cue_level(cue: np.ndarray) -> np.ndarray:
    """b in [0, 1] → its level, an integer 0 … 255 of the same shape."""
    return np.rint(cue * (LEVELS - 1)).astype(np.intp)


def level_log_odds(level: np.ndarray) -> np.ndarray:
    """The log-odds of the foreground at a level of b; the outermost levels stay finite."""
    b = (level + 0.5) / LEVELS
    return np.log1p(-b) - np.log(b)
