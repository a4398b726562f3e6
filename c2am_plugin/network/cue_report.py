"""What a run of c2am-cues did, for the person and for the file beside the cues."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..runs.parallel import BatchResult
from .cue_writer import CueResult

__all__ = ["CueReport"]


@dataclass
class CueReport:
    """What a run did. Shares are of all pixels of the images of this run.

    boundary       as it was given: a number or a rule
    mean_boundary  of the values, as it was used; the mean over images where each has its own
    polarity       flag, rule, margin and n_images of the decision; the last two are None where it
                   was given, or the checkpoint does not say
    """

    out: str
    soft: bool
    boundary: str | float
    scales: tuple[float, ...]
    mean_boundary: float | None = None
    polarity: dict[str, Any] = field(default_factory=dict)
    pixels: int = 0
    written: int = 0
    already_there: int = 0
    foreground: float = 0.0
    seconds: float = 0.0
    images_per_second: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    MERGE: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("pixels", "written", "already_there", "seconds"), "sum"),
        "failures": "join",
        "foreground": "pixels",
        "mean_boundary": "written",
        "images_per_second": "seconds",
    }

    def summary(self) -> str:
        """The run in a line or two."""
        if not self.polarity:
            return f"all {self.already_there} cues are already done"
        there = f"; {self.already_there} already done" if self.already_there else ""
        failed = f"; {len(self.failures)} failed" if self.failures else ""
        cut = "" if self.mean_boundary is None else f" ({self.mean_boundary:.3g})"
        side = "background" if self.polarity["flag"] else "foreground"
        margin = self.polarity["margin"]
        sure = "" if margin is None else f", margin {margin:.2f}"
        return (
            f"wrote {self.written} {'soft' if self.soft else 'hard'} cues in {self.seconds:.1f} s "
            f"({self.images_per_second:.1f} images/s){there}{failed}\n"
            f"boundary {self.boundary}{cut}: {self.foreground:.1%} of all pixels are foreground; "
            f"P is high on the {side} ({self.polarity['rule']}{sure})"
        )

    def add(self, outcome: BatchResult) -> None:
        """Take over what `CueWriter` returned for each image, and what failed."""
        results: list[CueResult] = list(outcome.results.values())
        self.written = len(results)
        self.failures = outcome.failures
        self.seconds = round(outcome.seconds, 3)
        self.images_per_second = round(len(results) / max(outcome.seconds, 1e-9), 3)
        if results:
            self.pixels = sum(result.pixels for result in results)
            self.foreground = sum(result.foreground for result in results) / self.pixels
            self.mean_boundary = float(np.mean([result.boundary for result in results]))
