"""Where the points of a chart stand, and its axes."""

from __future__ import annotations

import numpy as np
import pytest

from c2am_plugin.page.charts import Series, chart
from c2am_plugin.page.text import code, percent, signed


def test_points_stand_where_their_values_are():
    drawn = chart([Series("a", [0, 1, 2], [0, 50, 100])], "label", "x")
    (key, points), *rest = drawn.lines
    places = [tuple(map(float, each.split(","))) for each in points.split()]
    assert (key, rest) == ("a", [])
    assert places[0] == (drawn.left, drawn.bottom)
    assert places[2] == (drawn.right, drawn.top)
    assert places[1] == pytest.approx(
        ((drawn.left + drawn.right) / 2, (drawn.top + drawn.bottom) / 2)
    )


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, ["0", "0.25", "0.5", "0.75", "1"]),
        (0, 37.1, ["0", "10", "20", "30", "40"]),
        (-3, 3, ["−4", "−2", "0", "2", "4"]),
        (0, 0, ["0", "0.25", "0.5", "0.75", "1"]),
        (1e-5, 3e-5, ["1e−05", "1.5e−05", "2e−05", "2.5e−05", "3e−05"]),
    ],
)
def test_axes_are_round_numbers_around_the_values(low, high, ticks):
    drawn = chart([Series("a", [0, 1], [low, high])], "label", "x", y_span=(low, high))
    assert [text for _, text in drawn.rows] == ticks
    assert drawn.rows[0][0] == drawn.bottom
    assert drawn.rows[-1][0] == drawn.top


def test_values_that_are_no_numbers_are_left_out():
    drawn = chart([Series("a", [0, 1, np.nan, 3], [0, np.inf, 2, 3])], "label", "x")
    assert len(drawn.lines[0][1].split()) == 2
    dots = chart(
        [Series("a", [0, 1, 2], [0, np.nan, 2], dots=True, titles=["p", "q", "r"])], "label", "x"
    ).dots
    assert [title for *_, title in dots] == ["p", "r"]


def test_long_lines_are_thinned_and_keep_their_ends():
    drawn = chart([Series("a", range(10_000), range(10_000))], "label", "x")
    points = drawn.lines[0][1].split()
    assert len(points) <= 260
    assert points[-1].startswith(f"{drawn.right:.1f}".rstrip("0").rstrip("."))


def test_an_empty_chart_has_axes():
    drawn = chart([Series("a", [], [])], "label", "x")
    assert drawn.lines == []
    assert drawn.rows
    assert drawn.columns


def test_text():
    assert code("use `a < b` or `c`") == "use <code>a &lt; b</code> or <code>c</code>"
    assert (percent(float("nan")), percent(0.123)) == ("–", "12.3")
    assert (signed(0.1), signed(-0.1), signed(-0.0001)) == ("+10.0", "−10.0", "0.0")
