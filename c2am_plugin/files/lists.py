"""Which images a run is about, and which of them lack a file. Knows ids only."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from ..errors import InputError
from .folders import IMAGE_SUFFIXES, first_names

__all__ = ["lacking", "read_ids", "wanted_ids"]


def wanted_ids(ids: str | Path | Sequence[str]) -> list[str]:
    """The image ids of a list file or a sequence, in order, without repeats. Raises InputError."""
    return read_ids(ids) if isinstance(ids, (str, Path)) else list(dict.fromkeys(ids))


def lacking(ids: Collection[str], files: Collection[str], what: str) -> str:
    """ "2 of 50 images have no CAM (a, b)", or "" where all of `ids` are in `files`."""
    names = [image_id for image_id in ids if image_id not in files]
    if not names:
        return ""
    return f"{len(names)} of {len(ids)} images have no {what} ({first_names(names)})"


def read_ids(path: str | Path) -> list[str]:
    """The image ids of a list file, one a line, in order, without repeats.

    Blank lines and Windows line ends are no matter. The lists of PSA and SEAM, whose lines are
    "/JPEGImages/ID.jpg /SegmentationClassAug/ID.png", are read as ID. Raises InputError.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read as a list of image ids ({reason})") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); "
            "expected one image id a line: save the list as UTF-8"
        ) from error
    ids = [_id_of_line(line.strip()) for line in text.splitlines() if line.strip()]
    if not ids:
        raise InputError(f"{path}: holds no image id; expected one a line")
    if any(char < " " or char == "\x7f" for name in ids for char in name):
        raise InputError(f"{path}: is not a text file; expected one image id a line")
    if outside := [name for name in ids if not name or ".." in name.split("/")]:
        raise InputError(
            f"{path}: {outside[0][:80]!r} is no image id; expected a name below the folder"
        )
    return list(dict.fromkeys(ids))


def _id_of_line(line: str) -> str:
    if line.startswith("/"):
        return Path(line.split()[0]).stem
    stem, suffix = os.path.splitext(line)
    return stem if suffix.lower() in IMAGE_SUFFIXES else line
