"""The report of a run of `convert_cams`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

__all__ = ["ConvertReport"]


@dataclass
class ConvertReport:
    """The result of a run. Counts are numbers of images."""

    out_dir: str
    method: str
    to: str
    background_score: float | None
    converted: int = 0
    already_there: int = 0
    without_class: int = 0
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    MERGE: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("converted", "already_there", "without_class", "seconds"), "sum"),
        "failures": "join",
    }

    def summary(self) -> str:
        """The run in one or two lines."""
        counts = {
            "already done": self.already_there,
            "without a class": self.without_class,
            "failed": len(self.failures),
        }
        rest = "".join(f"; {count} {what}" for what, count in counts.items() if count)
        done = (
            f"converted {self.converted} images from {self.method} to {self.to} in "
            f"{self.seconds:.1f} s{rest}"
        )
        if self.background_score is None:
            return done
        return f"{done}\ncompare these CAMs with t = {self.background_score:g}"
