"""Curves and scatters as inline SVG: where each point stands. The template `macros.html` draws it.

Knows numbers and axes, not what they measure; the style sheet gives each series its colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Chart", "Series", "chart"]

WIDTH, HEIGHT = 260, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 34
# Points of a line; more are not seen at this width.
POINTS = 260


@dataclass(frozen=True)
class Series:
    """Points x, y (float [N]) under a key of the style sheet.

    dots: as dots, without a line. marked: indices of points of a line that get a dot. titles: of
    the dots, shown where the mouse is.
    """

    key: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    dots: bool = False
    marked: Sequence[int] = ()
    titles: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """What the template draws, in the units of the picture.

    label: what a screen reader reads out in place of the picture.
    lines: (key, points); dots: (key, x, y, title); rows, columns: (place, text) of the axes;
    marks: (x, text) of upright dashed lines.
    """

    label: str
    x_name: str
    lines: list[tuple[str, str]]
    dots: list[tuple[str, float, float, str]]
    rows: list[tuple[float, str]]
    columns: list[tuple[float, str]]
    marks: list[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def chart(
    series: Sequence[Series],
    label: str,
    x_name: str,
    *,
    x_span: tuple[float, float] | None = None,
    y_span: tuple[float, float] | None = None,
    marks: Sequence[tuple[float, str]] = (),
) -> Chart:
    """Place series on round axes. The spans default to those of the values, and y from 0 up.

    Points with a value that is not finite are left out.
    """
    known = [_finite(each) for each in series]
    rows = _ticks(*(y_span or _span([y for _, y, _ in known], from_zero=True)))
    columns = _ticks(*(x_span or _span([x for x, _, _ in known])))
    low_x, high_x = x_span or (columns[0], columns[-1])

    def place_x(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (value - low_x) / (high_x - low_x), 1)

    def place_y(value: float) -> float:
        share = (value - rows[0]) / (rows[-1] - rows[0])
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)

    lines, dots = [], []
    for each, (x, y, index) in zip(series, known, strict=True):
        if not each.dots and len(x):
            some = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).astype(int))
            lines.append((each.key, " ".join(f"{place_x(x[i])},{place_y(y[i])}" for i in some)))
        titles = dict(zip(range(len(each.x)) if each.dots else each.marked, each.titles))  # noqa: B905
        for a, b, i in zip(x, y, index, strict=True):
            if each.dots or i in each.marked:
                dots.append((each.key, place_x(a), place_y(b), titles.get(int(i), "")))
    return Chart(
        label,
        x_name,
        lines,
        dots,
        [(place_y(value), _number(value)) for value in rows],
        [(place_x(value), _number(value)) for value in columns if low_x <= value <= high_x],
        [(place_x(value), text) for value, text in marks],
    )


def _finite(series: Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = np.asarray(series.x, np.float64), np.asarray(series.y, np.float64)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    return x[known], y[known], known


def _span(values: Sequence[np.ndarray], from_zero: bool = False) -> tuple[float, float]:
    every = np.concatenate([*values, np.zeros(int(from_zero))])
    return (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers around [low, high], equally far apart."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if rough <= power * each * 1.0001)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 12) for i in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")
