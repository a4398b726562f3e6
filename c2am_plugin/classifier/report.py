"""What a run that wrote CAM files did, for the person and for the file beside them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

from ..runs.parallel import BatchResult

__all__ = ["CamReport"]

SHOWN = 5  # classes in a message


@dataclass
class CamReport:
    """What a run did. classes: names by the 0-based class index of the files. empty: images of this
    run without a class, whose files hold none. zero: images of this run and their classes
    whose CAM is 0 everywhere."""

    out: str
    method: str
    scales: tuple[float, ...]
    classes: tuple[str, ...]
    written: int = 0
    already_there: int = 0
    empty: int = 0
    zero: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0
    images_per_second: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    MERGE: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("written", "already_there", "empty", "seconds"), "sum"),
        **dict.fromkeys(("failures", "zero"), "join"),
        "images_per_second": "seconds",
    }

    def summary(self) -> str:
        """The run in a line."""
        there = f"; {self.already_there} already done" if self.already_there else ""
        failed = f"; {len(self.failures)} failed" if self.failures else ""
        empty = f"; {self.empty} of them without a class" if self.empty else ""
        return (
            f"wrote {self.written} CAM files for {self.method} in {self.seconds:.1f} s "
            f"({self.images_per_second:.1f} images/s){empty}{there}{failed}"
        )

    def zeros(self) -> str:
        """The CAMs that are 0 everywhere, in a line; "" where there are none."""
        of = Counter(name for names in self.zero.values() for name in names).most_common()
        if not of:
            return ""
        shown = ", ".join(f"{name} in {count}" for name, count in of[:SHOWN])
        more = f", and {len(of) - SHOWN} more classes" if len(of) > SHOWN else ""
        return (
            f"{sum(count for _, count in of)} CAMs in {len(self.zero)} images are 0 everywhere "
            f"({shown}{more}): the classifier finds these classes nowhere in images whose labels "
            "name them; train it longer, or check the labels"
        )

    def add(self, outcome: BatchResult) -> None:
        """Take over each image's number of classes, and what failed."""
        self.written = len(outcome.results)
        self.empty = sum(not classes for classes, _ in outcome.results.values())
        self.zero = {
            image_id: [self.classes[c] for c in zero]
            for image_id, (_, zero) in outcome.results.items()
            if zero
        }
        self.failures = outcome.failures
        self.seconds = round(outcome.seconds, 3)
        self.images_per_second = round(self.written / max(outcome.seconds, 1e-9), 3)
