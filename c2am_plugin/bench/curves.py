"""mIoU over the threshold as inline SVG: a few lines, coloured by the page's style sheet."""

from __future__ import annotations

from html import escape

import numpy as np

from .results import PipelineResult

__all__ = ["curve_svg"]

WIDTH, HEIGHT = 260, 190
LEFT, RIGHT, TOP, BOTTOM = 30, 10, 10, 34
NAMES = {"cam": "CAM", "cues": "CAM + cues", "guard": "CAM + cues, guarded"}


def curve_svg(pipeline: PipelineResult) -> str:
    """The curves of one pipeline, its own t marked. Style: classes line-cam, line-cues, …"""
    thresholds = pipeline.thresholds
    top = _nice_top(100 * max(curve.max() for curve in pipeline.curves.values()))
    last = float(thresholds[-1])

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / last

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="mIoU over threshold, {escape(pipeline.label)}">'
    ]
    for value in np.linspace(0, top, 5):
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" '
            f'y2="{y(value):.1f}"/>'
            f'<text class="end" x="{LEFT - 6}" y="{y(value) + 4:.1f}">{value:g}</text>'
        )
    for value in np.arange(0, last + 0.001, 0.2):
        parts.append(
            f'<text class="mid" x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 16}">{value:.1f}</text>'
        )
    parts.append(f'<text class="mid" x="{x(last / 2):.1f}" y="{HEIGHT - 3}">threshold</text>')
    parts.append(
        f'<line class="own" x1="{x(pipeline.t):.1f}" x2="{x(pipeline.t):.1f}" y1="{TOP}" '
        f'y2="{HEIGHT - BOTTOM}"/><text x="{x(pipeline.t) + 4:.1f}" y="{HEIGHT - BOTTOM - 6}">'
        f"t = {pipeline.t:.2f}</text>"
    )
    for name, curve in pipeline.curves.items():
        points = " ".join(
            f"{x(t):.1f},{y(100 * v):.1f}" for t, v in zip(thresholds, curve, strict=True)
        )
        best = int(np.argmax(curve))
        parts.append(
            f'<polyline class="line line-{name}" points="{points}"/>'
            f'<circle class="dot dot-{name}" r="3.5" cx="{x(thresholds[best]):.1f}" '
            f'cy="{y(100 * curve[best]):.1f}"><title>{NAMES[name]}: {100 * curve[best]:.1f} at '
            f"{thresholds[best]:.2f}</title></circle>"
        )
    return "".join(parts) + "</svg>"


def _nice_top(value: float) -> float:
    """The end of an axis from 0 whose quarters are round numbers."""
    return next(top for top in (4, 8, 20, 40, 60, 80, 100) if value <= top)
