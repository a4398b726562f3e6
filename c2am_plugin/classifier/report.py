"""What a run that wrote CAM files did, for the person and for the file beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ..runs.parallel import BatchResult

__all__ = ["CamReport"]


@dataclass
class CamReport:
    """What a run did. classes: names by the 0-based class index of the files. empty: images of this
    run without a class, whose files hold none."""

    out: str
    method: str
    scales: tuple[float, ...]
    classes: tuple[str, ...]
    written: int = 0
    already_there: int = 0
    empty: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    MERGE: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("written", "already_there", "empty", "seconds"), "sum"),
        "failures": "join",
        "images_per_second": "seconds",
    }

    def summary(self) -> str:
        """The run in a line."""
        there = f"; {self.already_there} were there already" if self.already_there else ""
        failed = f"; {len(self.failures)} failed" if self.failures else ""
        empty = f"; {self.empty} of them without a class" if self.empty else ""
        return (
            f"wrote {self.written} CAM files for {self.method} in {self.seconds:.1f} s "
            f"({self.images_per_second:.1f} images/s){empty}{there}{failed}"
        )

    def add(self, outcome: BatchResult) -> None:
        """Take over each image's number of classes, and what failed."""
        self.written = len(outcome.results)
        self.empty = sum(count == 0 for count in outcome.results.values())
        self.failures = outcome.failures
        self.seconds = round(outcome.seconds, 3)
        self.images_per_second = round(self.written / max(outcome.seconds, 1e-9), 3)
