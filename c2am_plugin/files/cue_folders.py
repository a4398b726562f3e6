"""Cue folders: which file belongs to which image, and how the files are read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .cues import CUE_SUFFIXES, OTHER_SUFFIXES, CueForm
from .folders import find_files
from .names import under_ids
from .value_ranges import cue_form

__all__ = ["Cues", "find_cues"]


class Cues(NamedTuple):
    """The cues of a folder: `files`, {image id: path}, and `form`, how all of them are read."""

    files: dict[str, Path]
    form: CueForm


def find_cues(
    folder: str | Path,
    ids: Collection[str] = (),
    *,
    flip: bool = False,
    stretch: bool = False,
    read_map: Callable[[Path], np.ndarray] | None = None,
) -> Cues:
    """The cues of a folder, with the names spelled as in `ids`, and the meaning of their values.

    Reads PNG and `.npy`; JPEG, TIFF, BMP and WebP only in a folder without those. flip, stretch,
    read_map: see `CueForm`. Raises InputError where there is no cue, or where the values are
    ambiguous.
    """
    found = find_files(folder, CUE_SUFFIXES) or find_files(folder, OTHER_SUFFIXES)
    if not found:
        raise InputError(
            f"{folder}: contains no cue; expected {', '.join((*CUE_SUFFIXES, *OTHER_SUFFIXES))}"
        )
    files = under_ids(found, ids, "cues")
    wanted = [files[each] for each in ids if each in files] or list(files.values())
    form = cue_form(wanted, folder, flip=flip, stretch=stretch, read_map=read_map)
    return Cues(files, form)
