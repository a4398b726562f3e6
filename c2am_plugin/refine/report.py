"""What a run of `refine_cams` did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ..runs.parallel import BatchResult
from ..seeds.report import SeedReport
from .image import ImageJob, ImageResult

__all__ = ["RefineReport"]


@dataclass
class RefineReport:
    """What a run did. Counts are numbers of images; shares are of all pixels of these images.

    cue_shares: of several cue folders, the weight of each in the mean of their log-odds.
    """

    out_dir: str
    method: str
    background_score: float
    stored_background: bool = False
    pixels: int = 0
    refined: int = 0
    kept_unchanged: int = 0
    already_there: int = 0
    left_out: int = 0
    without_class: int = 0
    below_zero: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    foreground_before: float = 0.0
    foreground_after: float = 0.0
    cues_all_background: list[str] = field(default_factory=list)
    cues_all_foreground: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    untouched: int = 0
    calibrated: bool = False
    warnings: list[str] = field(default_factory=list)
    cue_shares: dict[str, float] = field(default_factory=dict)
    seeds: SeedReport | None = None

    MERGE: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("pixels", "refined", "kept_unchanged", "already_there"), "sum"),
        **dict.fromkeys(("without_class", "seconds", "untouched", "below_zero"), "sum"),
        **dict.fromkeys(("cues_all_background", "cues_all_foreground", "failures"), "join"),
        "warnings": "join",
        **dict.fromkeys(("foreground_before", "foreground_after"), "pixels"),
        "images_per_second": "seconds",
    }

    def summary(self) -> str:
        """The run in a few lines."""
        counts = {
            "already done": self.already_there,
            "kept unchanged, without a cue": self.kept_unchanged,
            "left out": self.left_out,
            "without a class": self.without_class,
            "with a cue that is all background": len(self.cues_all_background),
            "with a cue that is all foreground": len(self.cues_all_foreground),
            "failed": len(self.failures),
        }
        rest = "".join(f"; {count} {what}" for what, count in counts.items() if count)
        done = (
            f"refined {self.refined} images in {self.seconds:.1f} s "
            f"({self.images_per_second:.1f} images/s){rest}"
        )
        if not self.refined + self.kept_unchanged:
            return done
        if self.cue_shares:
            weights = ", ".join(f"{share:.2f} of {path}" for path, share in self.cue_shares.items())
            done += f"\ncues weighted {weights}"
        return (
            f"{done}\n"
            f"foreground at {self.against()}: {self.foreground_before:.1%} of all "
            f"pixels before, {self.foreground_after:.1%} after"
        ) + self.doubt()

    def doubt(self) -> str:
        """A line about a result that is rarely intended, and what to try; otherwise empty."""
        before, after = self.foreground_before, self.foreground_after
        look = "c2am-describe compares the cues with the CAMs"
        option = "a lower `strength`" if self.calibrated else '`calibrate="on"`'
        if 2 * self.untouched > self.refined:
            return (
                f"\n{self.untouched} of {self.refined} images are unchanged: their cues carry no "
                f"information about the CAMs; {look}"
            )
        if not before or before / 3 <= after <= 3 * before:
            return ""
        if after == 0 or after > 0.99:
            side = "foreground" if after else "background"
            return (
                f"\nalmost all pixels are {side} now: is the polarity wrong (`flip_cues=True`)? "
                f"{look}"
            )
        times = f"{after / before:.2f} times" if after < before else f"{after / before:.1f} times"
        return (
            f"\nthe foreground is {times} its former size, which is rarely intended: try {option}; "
            f"{look}"
        )

    def against(self) -> str:
        """What the CAMs were compared with."""
        if self.stored_background:
            return "the background in the files"
        return f"t = {self.background_score:g}"

    @classmethod
    def of(
        cls, job: ImageJob, outcome: BatchResult, *, already: int, left_out: int
    ) -> RefineReport:
        """The report of a run of `job`. already: the number of images that were done before."""
        results: dict[str, ImageResult] = outcome.results
        kept = sum(result.cue == "none" for result in results.values())
        pixels = sum(result.pixels for result in results.values())
        return cls(
            out_dir=str(job.out_dir or job.labels),
            method=job.adapter.name,
            background_score=job.background_score,
            stored_background=getattr(job.adapter, "stores_background", False),
            pixels=pixels,
            refined=len(results) - kept,
            kept_unchanged=kept,
            already_there=already,
            left_out=left_out,
            without_class=sum(result.n_classes == 0 for result in results.values()),
            below_zero=sum(result.below_zero for result in results.values()),
            seconds=round(outcome.seconds, 3),
            images_per_second=round(len(results) / max(outcome.seconds, 1e-9), 2),
            foreground_before=sum(result.before for result in results.values()) / (pixels or 1),
            foreground_after=sum(result.after for result in results.values()) / (pixels or 1),
            cues_all_background=[i for i, result in results.items() if result.cue == "background"],
            cues_all_foreground=[i for i, result in results.items() if result.cue == "foreground"],
            failures=outcome.failures,
            untouched=sum(result.untouched for result in results.values()),
            calibrated=job.calibration is not None,
        )
