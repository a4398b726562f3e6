"""What `describe` found in a folder of cues, as numbers and as lines for the person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..files.folders import first_names

__all__ = ["Agreement", "CueDescription", "Polarity"]

# So much better than a coin or than the other side is more than chance.
CLEARLY = 0.02


class Polarity(NamedTuple):
    """Which side of cues is the foreground, by the rule that backgrounds reach the border.

    verdict  "foreground" is high (255), "background" is high (inverted), or "undecided"
    share    of the images, those whose border is lower than their inside; 0.5 where none says
    voters   images that are not flat
    """

    verdict: str
    share: float
    voters: int


@dataclass(frozen=True)
class Agreement:
    """How cues and CAMs of the same images agree on what the CAMs are sure of.

    Shares in [0, 1] of the sure pixels on whose side the cues are, both sides weighing the same;
    0.5 is worth nothing. as_it_stands: cut at mid-grey; fitted: as --calibrate on would take it.
    """

    method: str
    pairs: int
    without_cue: int
    without_cam: int
    other_shape: int
    as_it_stands: float
    fitted: float
    flipped: float


@dataclass(frozen=True)
class CueDescription:
    """What a folder of cues is.

    soft, hard   files with values between the ends, and with 0 and 1 alone
    ours         those of `soft` that c2am-cues wrote as soft cues, whose odds mean something
    sizes        {(width, height): files}
    foreground   float64 [files], the share of each that is above mid-grey
    empty, full  files with nothing above mid-grey, and with nothing else
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
        """The description in some lines, and at the end what to do with such cues."""
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
            return "hard: 0 and the maximum alone"
        by = f", {self.ours} of them by c2am-cues, whose odds mean something" if self.ours else ""
        return f"soft: {self.soft} grey{by}" + (f"; {self.hard} hard" if self.hard else "")

    def _polarity(self) -> str:
        share, voters = self.polarity.share, self.polarity.voters
        how = f"the border is darker than the inside in {share:.0%} of {voters} cues"
        meaning = {
            "foreground": "high is foreground, as it should be",
            "background": "looks inverted: high is background",
            "undecided": "undecided; look at some",
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
            f"{100 * self.foreground.mean():.1f} % of an image above mid-grey (mean; quartiles "
            f"{low:.1f}, {middle:.1f}, {high:.1f} %)" + "".join(flat)
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
            f"of what the CAMs are sure of, the cues get {found.as_it_stands:.0%} right cut at "
            f"mid-grey, {found.fitted:.0%} once fitted, {found.flipped:.0%} flipped and fitted "
            "(50% is chance)"
        )

    def _advice(self) -> str:
        """What c2am-refine should be told. CAMs know more about the polarity than borders do."""
        inverted = self.polarity.verdict == "background"
        worth = 0.5
        if self.agreement:
            worth = max(self.agreement.fitted, self.agreement.flipped)
            if abs(self.agreement.flipped - self.agreement.fitted) > CLEARLY:
                inverted = self.agreement.flipped > self.agreement.fitted
        options = " --flip-cues" if inverted else ""
        if self.ours < self.soft:
            options += " --calibrate on (the greys of others are no odds)"
        if self.agreement and worth < 0.5 + CLEARLY:
            options += "; but they say nothing about these CAMs: are they of the same images?"
        return f"c2am-refine CAM_DIR CUES{options}"
