"""What changed in the images that lose most. Knows their counts, not their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..page.text import percent
from .gains import count_scores
from .results import BenchmarkResult, PipelineResult

__all__ = ["ImageChange", "worst_images"]

WORST = 10


@dataclass(frozen=True)
class ImageChange:
    """One image: mean IoU before and after, its classes, and what happened to the worst of them."""

    image_id: str
    before: float
    after: float
    classes: str
    change: str

    @property
    def gain(self) -> float:
        return self.after - self.before


def worst_images(
    result: BenchmarkResult, pipeline: PipelineResult, count: int = WORST
) -> list[ImageChange]:
    """The images that lose most, worst first; fewer where fewer lose."""
    before, after = pipeline.image_ious
    order = np.argsort(after - before, kind="stable")[:count]
    return [
        _change(result, pipeline, int(i), float(before[i]), float(after[i]))
        for i in order
        if after[i] < before[i]
    ]


def _change(
    result: BenchmarkResult, pipeline: PipelineResult, index: int, before: float, after: float
) -> ImageChange:
    both = [pipeline.rows[key].counts[index] for key in ("cam_best", pipeline.headline)]
    one, other = (count_scores(counts).iou for counts in both)
    there = [c for c in range(1, len(result.classes)) if both[0][1, c]]
    worst = min(there, key=lambda c: other[c] - one[c])
    return ImageChange(
        result.image_ids[index],
        before,
        after,
        ", ".join(
            f"{result.classes[c]} {percent(one[c], 0)} → {percent(other[c], 0)}" for c in there
        ),
        f"{result.classes[worst]} {_words(*(counts[:, worst] for counts in both))}",
    )


def _words(before: np.ndarray, after: np.ndarray) -> str:
    """What happened to one class, from its counts hit, truth and predicted."""
    found = [hit / truth for hit, truth, _ in (before, after)]
    wrong = [(label - hit) / max(1, label) for hit, _, label in (before, after)]
    shrinks = found[0] - found[1] >= wrong[1] - wrong[0]
    what, (one, other) = ("found", found) if shrinks else ("wrong", wrong)
    of = "of its pixels" if shrinks else "of its label"
    verb = "shrinks" if shrinks else "spreads"
    return f"{verb}: {percent(one, 0)} → {percent(other, 0)} % {of} {what}"
