"""The one formula: CAMs and a background cue in, better CAMs out. Pure numpy.

Knows nothing about files. C²AM labels a pixel argmax([b, cam_1 … cam_K]) (CVPR 2022, section 3.4).
Here that rule is an update of the CAMs themselves, so that a pipeline which compares its CAMs
with a background score t gets the same labels from its own, unchanged comparison. t is a constant,
or a map t(x) where the pipeline's files contain a background. The formula holds at each pixel:

    m = max_k cam_k      odds(m') = odds(m) · (odds(t) / odds(b))^S      cam'_k = cam_k · m'/m
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cams import highest
from ..errors import InputError

__all__ = [
    "Score",
    "check_background_score",
    "check_strength",
    "is_hard",
    "refine",
    "with_constant",
]

# t, or t(x): floating H×W.
Score = float | np.ndarray

# A cue this close to t counts as t: reading it from 8 bits or resizing it may cost that much.
NO_NEWS = 2.0**-23
# Pixels that are computed at a time: the intermediates stay in the processor's cache.
BLOCK = 1 << 16


def refine(
    maps: np.ndarray,
    cue: np.ndarray,
    background_score: Score,
    strength: float = 1.0,
    dtype: np.dtype | type | None = None,
    top: np.ndarray | None = None,
) -> np.ndarray:
    """CAMs updated by a background cue.

    maps       floating K×H×W in [0, 1], one CAM per foreground class; K may be 0
    cue        floating H×W in [0, 1], b, 1 = surely background
    background_score  t in (0, 1), what the pipeline compares its CAMs with; or t(x), floating H×W
               in [0, 1), the background that its files contain
    strength   S ≥ 0, exponent of the cue's odds ratio: 1 is the paper, 0 changes nothing
    dtype      floating dtype of the result; default that of `maps`
    top        maps.max(axis=0), if already computed, as `ImageCams.top`

    Returns a new array of the shape of `maps`, in [0, 1], never NaN. At S = 1:
    argmax([t, refined]) == argmax([b, maps]) at every pixel, to the bit, with ties going to the
    background, whether t is compared in float64 or rounded to the result's dtype (it must not
    round to 1 there). A cue within 2⁻²³ of t is read as t: the CAM is unchanged, to the bit (in
    another dtype, its label is unchanged). Class ratios at a pixel are kept up to rounding; the
    maximum falls as b rises.
    Raises InputError on shapes or values out of range.

    A pixel of one class at 0.6 over t = 0.2, and what a cue of 0.2, 0.6 and 1 makes of it:

    >>> import numpy as np
    >>> maps = np.full((1, 1, 3), 0.6)
    >>> refine(maps, np.array([[0.2, 0.6, 1.0]]), background_score=0.2)
    array([[[0.6, 0.2, 0. ]]])
    """
    _check_shapes(maps, cue)
    _check_values("cue", cue, cue)
    _check_values("CAMs", maps, maps if top is None else top)
    check_background_score(background_score)
    check_strength(strength)
    dtype = maps.dtype if dtype is None else np.dtype(dtype)
    if maps.size == 0 or (strength == 0 and dtype == maps.dtype):
        return maps.astype(dtype)
    refined = np.empty(maps.shape, dtype)
    hard = strength != 0 and is_hard(cue, background_score)
    for start in range(0, maps.shape[1], rows := max(1, BLOCK // maps.shape[2])):
        part = slice(start, start + rows)
        here = highest(maps[:, part]) if top is None else top[part]
        t = background_score[part] if isinstance(background_score, np.ndarray) else background_score
        if hard:
            new_top = _decide(here, cue[part], t, dtype)
        else:
            new_top = _compute(here, cue[part], t, strength, dtype)
        _scale(maps[:, part], refined[:, part], here, new_top)
    return refined


def is_hard(cue: np.ndarray, t: Score) -> bool:
    """Whether every b is 0 or 1, and t is neither, so that the cue is nowhere neutral."""
    if not np.all((t > NO_NEWS) & (t < 1 - NO_NEWS)):
        return False
    middle = cue[len(cue) // 2]  # enough for most soft cues
    return all(bool(((b == 0) | (b == 1)).all()) for b in (middle, cue))


def with_constant(maps: np.ndarray, background: np.ndarray, background_score: float) -> np.ndarray:
    """CAMs with a background map, changed so that a constant t gives the same labels.

    maps: floating K×H×W in [0, 1]; background: t(x), floating H×W in [0, 1). Returns K×H×W with
    argmax([t, returned]) == argmax([t(x), maps]): the formula, with t(x) as the cue.
    """
    return refine(maps, background, background_score)


def _decide(top: np.ndarray, cue: np.ndarray, t: Score, dtype: np.dtype) -> np.ndarray:
    """`_compute` where every b is 0 or 1: the odds are 0 or infinite, and m' is 0 or 1."""
    new_top = (top > cue).astype(dtype)
    if top.max() == 1:  # else there is no tie
        np.copyto(new_top, _around(t, dtype)[0], where=np.minimum(top, cue) == 1)
    return new_top


def _compute(
    top: np.ndarray, cue: np.ndarray, t: Score, strength: float, dtype: np.dtype
) -> np.ndarray:
    """m' for m = `top`: at S = 1 on the label's side of t, and m itself where b = t."""
    new_top = _update(top, cue, t, strength).astype(dtype)
    unchanged = np.abs(cue - t) <= NO_NEWS
    own_foreground = top > np.asarray(t, top.dtype)
    if strength == 1:
        foreground = top > cue
        _settle(new_top, foreground, t)
        unchanged &= foreground == own_foreground
    elif strength == 0:
        unchanged[:] = True
    if unchanged.any():
        kept = top.astype(dtype)
        if dtype != top.dtype:
            _settle(kept, own_foreground, t)
        np.copyto(new_top, kept, where=unchanged)
    return new_top


def _settle(new_top: np.ndarray, foreground: np.ndarray, t: Score) -> None:
    """Keep labels exact: correct m' in place where rounding put it on the wrong side of t."""
    below, above = _around(t, new_top.dtype)
    low, high = foreground & (new_top < above), (new_top > below) & ~foreground
    if low.any() or high.any():
        np.copyto(new_top, above, where=low)
        np.copyto(new_top, below, where=high)


def check_background_score(background_score: Score) -> None:
    if isinstance(background_score, np.ndarray):
        if background_score.size and not (background_score.min() >= 0 > background_score.max() - 1):
            raise InputError("background map: values outside [0, 1) or NaN")
    elif not 0 < background_score < 1:
        raise InputError(f"background_score {background_score} is outside (0, 1)")


def check_strength(strength: float) -> None:
    if not (0 <= strength < np.inf):
        raise InputError(f"strength {strength}: expected a number from 0 (no change), 1 the paper")


def _check_shapes(maps: np.ndarray, cue: np.ndarray) -> None:
    if maps.ndim != 3 or maps.shape[1:] != cue.shape:
        raise InputError(f"CAMs {maps.shape} and cue {cue.shape}: expected K×H×W and H×W")


def _check_values(name: str, values: np.ndarray, highest: np.ndarray) -> None:
    """highest: values with the same maximum, fewer where it is known."""
    if values.size and not (values.min() >= 0 and highest.max() <= 1):
        raise InputError(f"{name}: values outside [0, 1] or NaN")


def _around(t: Score, dtype: np.dtype) -> tuple[Any, Any]:
    """The values of `dtype` just below and just above t, and also t rounded to `dtype`.

    The pipelines pad float32 CAMs with t, which rounds it; a comparison in float64 does not.
    """
    rounded = np.asarray(t, dtype)
    # Compared in float64: numpy would round a Python t to the dtype first, and see a tie.
    higher = rounded.astype(np.float64) > np.asarray(t, np.float64)
    below = np.where(higher, np.nextafter(rounded, dtype.type(0)), rounded)
    return below, np.nextafter(rounded, dtype.type(1))


def _update(top: np.ndarray, cue: np.ndarray, t: Score, strength: float) -> np.ndarray:
    """m' in float64 for m = `top`, b = `cue`, both H×W."""
    m, b, t = top.astype(np.float64), cue.astype(np.float64), np.asarray(t, np.float64)
    for_it, against = t - t * b, (1 - t) * b
    if strength != 1:
        # Relative to the larger one, so that high powers of both do not underflow together.
        larger = np.maximum(for_it, against)
        larger[larger == 0] = 1
        for_it, against = (for_it / larger) ** strength, (against / larger) ** strength
    for_it *= m
    against *= 1 - m
    against += for_it
    if against.all():
        return np.divide(for_it, against, out=for_it)
    # 0/0: no activation stays none, m = b = 1 is a tie, and the rest is certain foreground.
    certain = against == 0
    against[certain] = 1
    updated = for_it / against
    tie = (m[certain] == 1) & (b[certain] == 1)
    tied = np.where(tie, np.broadcast_to(t, m.shape)[certain], 1.0)
    updated[certain] = np.where(m[certain] == 0, 0.0, tied)
    return updated


def _scale(maps: np.ndarray, scaled: np.ndarray, top: np.ndarray, new_top: np.ndarray) -> None:
    """Write cam_k · m'/m into `scaled`; the winning class still wins after rounding."""
    if len(maps) == 1:
        scaled[0] = new_top
        return
    # Float16 has too few digits for the factor, and it is 1 exactly where nothing changes.
    working = np.result_type(maps.dtype, np.float32)
    factor = new_top / np.maximum(top, np.finfo(working).tiny, dtype=working)
    np.copyto(factor, 1, where=new_top == top)
    # argmax takes the first of equal values: other classes must stay strictly below the winner.
    limit = _next_below(new_top)
    for values, result in zip(maps, scaled, strict=True):
        np.minimum(values * factor, limit, out=result, casting="same_kind")
        np.copyto(result, new_top, where=values == top)


def _next_below(values: np.ndarray) -> np.ndarray:
    """np.nextafter(values, 0) of floats from 0, many times as fast: their bits count them."""
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    return np.maximum(native.view(f"i{values.itemsize}") - 1, 0).view(native.dtype)
