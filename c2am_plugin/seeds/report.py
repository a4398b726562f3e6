"""The report of a run of `make_seeds`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..files.labels import IGNORE
from ..runs.parallel import BatchResult

__all__ = ["SeedCount", "SeedReport"]


@dataclass(frozen=True)
class SeedCount:
    """The numbers of pixels in one image's seeds, and whether the image has no class."""

    pixels: int
    background: int
    ignored: int
    without_class: bool

    @classmethod
    def of(cls, label: np.ndarray, without_class: bool) -> SeedCount:
        """label: uint8 H×W, 0 background, 255 ignored."""
        background, ignored = (int(np.count_nonzero(label == value)) for value in (0, IGNORE))
        return cls(label.size, background, ignored, without_class)


# Seeds that ignore a smaller share of the pixels come from nearly binary CAMs.
UNSURE = 0.01


@dataclass
class SeedReport:
    """The result of a run. Counts are numbers of images; shares are of all their pixels."""

    out_dir: str
    method: str
    settings: dict[str, float]
    pixels: int = 0
    made: int = 0
    already_there: int = 0
    without_class: int = 0
    seconds: float = 0.0
    foreground: float = 0.0
    background: float = 0.0
    ignored: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    MERGE: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("pixels", "made", "already_there", "without_class", "seconds"), "sum"),
        **dict.fromkeys(("foreground", "background", "ignored"), "pixels"),
        "failures": "join",
    }

    def add(self, outcome: BatchResult, already: int) -> None:
        """Fill in the outcome of a run, one SeedCount per image, and the count of done images."""
        counts: list[SeedCount] = list(outcome.results.values())
        self.made, self.already_there = len(counts), already
        self.without_class = sum(count.without_class for count in counts)
        self.seconds = round(outcome.seconds, 3)
        self.failures = outcome.failures
        self.pixels = sum(count.pixels for count in counts)
        if counts:
            self.background = sum(count.background for count in counts) / self.pixels
            self.ignored = sum(count.ignored for count in counts) / self.pixels
            self.foreground = 1 - self.background - self.ignored

    @property
    def decided_everywhere(self) -> bool:
        """Whether hardly any pixel is ignored; with continuous CAMs a fifth or more are."""
        return self.made > self.without_class and self.ignored < UNSURE

    def summary(self) -> str:
        """The run in one or two lines."""
        counts = {
            "already done": self.already_there,
            "without a class, so all background": self.without_class,
            "failed": len(self.failures),
        }
        rest = "".join(f"; {count} {what}" for what, count in counts.items() if count)
        done = f"made the seeds of {self.made} images in {self.seconds:.1f} s{rest}"
        if not self.made:
            return done
        return (
            f"{done}\nof all pixels {self.foreground:.1%} are confident foreground, "
            f"{self.background:.1%} confident background, {self.ignored:.1%} ignored"
        ) + self._doubt()

    def _doubt(self) -> str:
        """A line about seeds from which a network can learn nothing; otherwise empty."""
        shares = {"background": self.background, "ignored": self.ignored}
        shares["foreground"] = self.foreground
        side, share = max(shares.items(), key=lambda each: each[1])
        if share < 0.99:
            return ""
        return (
            f"\nalmost all pixels are {side}, so a network can learn nothing from these seeds; "
            "check the CAMs and cues"
        )
