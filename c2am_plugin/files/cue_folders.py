"""A folder of cues: which file belongs to which image, and how it is read."""

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
    """files: {image id: path}; form: how all of them are read."""

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
    """The cues of a folder under the spelling of `ids`, and what their values mean.

    PNG and `.npy`; JPEG, TIFF, BMP and WebP from a folder that has none of those. flip, stretch,
    read_map: see `CueForm`. Raises InputError where there is no cue, or its values have several
    meanings.
    """
    found = find_files(folder, CUE_SUFFIXES) or find_files(folder, OTHER_SUFFIXES)
    if not found:
        raise InputError(
            f"{folder}: contains no cue ({', '.join(CUE_SUFFIXES)}, or {', '.join(OTHER_SUFFIXES)})"
        )
    files = under_ids(found, ids, "cues")
    wanted = [files[each] for each in ids if each in files] or list(files.values())
    form = cue_form(wanted, folder, flip=flip, stretch=stretch, read_map=read_map)
    return Cues(files, form)
