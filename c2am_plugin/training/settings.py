"""What every training run of this package agrees on: its files, its limits, its checks."""

from __future__ import annotations

from ..errors import InputError

__all__ = ["FEW_IMAGES", "FILES", "UNREADABLE", "check_least"]

# With fewer images than this, "auto" is "small".
FEW_IMAGES = 2000
FILES = ("last.pt", "resume.pt", "log.csv")
# One unreadable image in this many is left out; more, and something is wrong with the folder.
UNREADABLE = 20


def check_least(least: int, **values: int | None) -> None:
    """Raises InputError for a value that is below `least`."""
    for name, value in values.items():
        if value is not None and value < least:
            raise InputError(f"{name} {value}: expected {least} or more")
