"""Which images a run is about, and which of them lack a file. Knows ids only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ..runs.parallel import first_names, read_ids

__all__ = ["lacking", "wanted_ids"]


def wanted_ids(ids: str | Path | Sequence[str]) -> list[str]:
    """The image ids of a list file or a sequence, in order, without repeats. Raises InputError."""
    return read_ids(ids) if isinstance(ids, (str, Path)) else list(dict.fromkeys(ids))


def lacking(ids: Collection[str], files: Collection[str], what: str) -> str:
    """ "2 of 50 images have no CAM (a, b)", or "" where all of `ids` are in `files`."""
    names = [image_id for image_id in ids if image_id not in files]
    if not names:
        return ""
    return f"{len(names)} of {len(ids)} images have no {what} ({first_names(names)})"
