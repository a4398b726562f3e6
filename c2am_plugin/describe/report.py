"""The result of `describe_cues`, as numbers and as text for the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..files.folders import first_names

__all__ = ["Agreement", "CueDescription", "Polarity"]

# A larger difference from chance, or between the two polarities, counts as significant.
CLEARLY = 0.02


class Polarity(NamedTuple):
    """Which side of the cues is the foreground, by the rule that backgrounds reach the border.

    verdict  "foreground": high values (255) are foreground; "background": high values are
             background (inverted); or "undecided"
    share    share of the voters whose border is lower than the interior; 0.5 without voters
    voters   number of images that are not flat
    """

    verdict: str
    share: float
    voters: int


@dataclass(frozen=True)
class Agreement:
    """How well cues agree with the CAMs of the same images where the CAMs are confident.

    Shares in [0, 1] of the confident pixels on which the cues agree, with foreground and background
    weighted equally; 0.5 is chance. uncalibrated: cut at mid-grey. calibrated: as with
    `calibrate="on"`. flipped: inverted, then calibrated.
    """

    method: str
    pairs: int
    without_cue: int
    without_cam: int
    other_shape: int
    uncalibrated: float
    calibrated: float
    flipped: float


@dataclass(frozen=True)
class CueDescription:
    """The contents of a folder of cues.

    soft, hard   number of files with intermediate values, and with only 0 and 1
    ours         those of `soft` that c2am-cues wrote as soft cues, whose values are odds
    sizes        {(width, height): number of files}
    foreground   float64 [files], the share of each file's pixels above mid-grey
    empty, full  ids of files with no pixel, and with every pixel, above mid-grey
    failures     {id: why it cannot be read}
    """

    folder: str
    soft: int
    hard: int
    ours: int
    sizes: Mapping[tuple[int, int], int]
    polarity: Polarity
    foreground: np.ndarray
    empty: list[str] = field(default_factory=list)
    full: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    agreement: Agreement | None = None

    def text(self) -> str:
        """The description in a few lines; the last one is the command to use such cues with."""
        lines = {
            "files": self._files(),
            "values": self._values(),
            "polarity": self._polarity(),
            "sizes": self._sizes(),
            "foreground": self._foreground(),
        }
        if self.agreement:
            lines["CAMs"] = self._pairs(self.agreement)
            lines["agreement"] = self._agreement(self.agreement)
        lines["use"] = self._advice()
        return "\n".join(f"{name:<12}{line}" for name, line in lines.items())

    def _files(self) -> str:
        rest = f"; {len(self.failures)} cannot be read" if self.failures else ""
        return f"{len(self.foreground)} cues in {self.folder}{rest}"

    def _values(self) -> str:
        if not self.soft:
            return "hard: only 0 and the maximum"
        by = f", {self.ours} of them calibrated odds from c2am-cues" if self.ours else ""
        return f"soft: {self.soft} grey{by}" + (f"; {self.hard} hard" if self.hard else "")

    def _polarity(self) -> str:
        share, voters = self.polarity.share, self.polarity.voters
        how = f"the border is darker than the interior in {share:.0%} of {voters} cues"
        meaning = {
            "foreground": "high is foreground, as expected",
            "background": "looks inverted: high is background",
            "undecided": "undecided; look at some of the cues",
        }
        return f"{meaning[self.polarity.verdict]} ({how})"

    def _sizes(self) -> str:
        widths, heights = zip(*self.sizes, strict=True)
        most, count = next(iter(self.sizes.items()))
        if len(self.sizes) == 1:
            return f"all {most[0]}×{most[1]} (width×height)"
        return (
            f"{len(self.sizes)} different, {min(widths)} to {max(widths)} wide and {min(heights)} "
            f"to {max(heights)} high; most often {most[0]}×{most[1]} ({count})"
        )

    def _foreground(self) -> str:
        low, middle, high = 100 * np.quantile(self.foreground, (0.25, 0.5, 0.75))
        flat = [
            f"; {len(names)} all {side} ({first_names(names, 3)})"
            for names, side in ((self.empty, "background"), (self.full, "foreground"))
            if names
        ]
        return (
            f"{100 * self.foreground.mean():.1f} % of the pixels are above mid-grey (mean over "
            f"cues; quartiles {low:.1f}, {middle:.1f}, {high:.1f} %)" + "".join(flat)
        )

    def _pairs(self, found: Agreement) -> str:
        counts = {
            "CAMs without a cue": found.without_cue,
            "cues without a CAM": found.without_cam,
            "cues of another shape than their CAM": found.other_shape,
        }
        rest = "".join(f"; {count} {what}" for what, count in counts.items() if count)
        return f"{found.pairs} pairs, {found.method}{rest}"

    def _agreement(self, found: Agreement) -> str:
        return (
            f"where the CAMs are confident, {found.uncalibrated:.0%} of the cue pixels agree when "
            f"cut at mid-grey, {found.calibrated:.0%} when calibrated, {found.flipped:.0%} when "
            "flipped and calibrated (50% is chance)"
        )

    def _advice(self) -> str:
        """The options for c2am-refine. CAMs decide the polarity better than borders do."""
        inverted = self.polarity.verdict == "background"
        worth = 0.5
        if self.agreement:
            worth = max(self.agreement.calibrated, self.agreement.flipped)
            if abs(self.agreement.flipped - self.agreement.calibrated) > CLEARLY:
                inverted = self.agreement.flipped > self.agreement.calibrated
        options = " --flip-cues" if inverted else ""
        if self.ours < self.soft:
            options += " --calibrate on (third-party grey values are not odds)"
        if self.agreement and worth < 0.5 + CLEARLY:
            options += "; but the cues do not agree with these CAMs: are they of the same images?"
        return f"c2am-refine CAM_DIR CUES{options}"
