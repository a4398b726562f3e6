"""What every training run of this package agrees on: its files and its limits."""

from __future__ import annotations

__all__ = ["FEW_IMAGES", "FILES", "UNREADABLE"]

# With fewer images than this, "auto" is "small".
FEW_IMAGES = 2000
FILES = ("last.pt", "resume.pt", "log.csv")
# One unreadable image in this many is left out; more, and something is wrong with the folder.
UNREADABLE = 20
