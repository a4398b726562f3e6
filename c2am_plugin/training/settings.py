"""The file names and limits that all training runs share."""

from __future__ import annotations

__all__ = ["FEW_IMAGES", "FILES", "UNREADABLE"]

# With fewer images than this, "auto" is "small".
FEW_IMAGES = 2000
FILES = ("last.pt", "resume.pt", "log.csv", "report.html")
# At most one image in this many may be unreadable and is left out; more is an error.
UNREADABLE = 20
