"""Determines from a sample of files what the values of a folder of CAM files mean.

Three kinds of values need attention: values below 0 (read as 0, and reported); only 0 and 255 (or 0
and 1), which a drawing helper left in the arrays before they were saved; and values whose scale
only the user knows. The result is set on the adapter, which divides by its `file_scale` when it
reads and multiplies by it when it writes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..cams import CamAdapter, ImageCams, below_zero_line
from ..errors import InputError

__all__ = ["read_values"]

log = logging.getLogger("c2am_plugin")
# The foreground values that drawing helpers leave in a binary CAM.
PEAKS = (1.0, 255.0)


def read_values(
    adapter: CamAdapter,
    paths: Sequence[Path],
    scale_by: float | None = None,
    *,
    named: bool = False,
    tell_below_zero: bool = True,
) -> None:
    """Set on the adapter how the values of these files are read, and report unusual values.

    scale_by  the files' values are CAMs times this positive number; None: detect it from the files
    named     whether the user named the method

    Raises InputError for a scale that is not a positive number.
    """
    if scale_by is not None and not 0 < scale_by < float("inf"):
        raise InputError(f"scale_by is {scale_by}; expected a positive number, e.g. 255")
    contents = [content for path in paths if (content := _load(adapter, path)) is not None]
    look: Any = getattr(adapter, "look_at", None)
    if look is not None and paths:
        look(contents, paths[0].parent, named)
    if not hasattr(adapter, "file_scale"):
        if scale_by is not None:
            raise InputError(f"{adapter.name}: this adapter reads only values from 0 to 1")
        return
    settable: Any = adapter
    settable.file_scale = PEAKS[-1]
    cams = [each for content in contents if (each := _parse(adapter, content)) is not None]
    peak = _binary_peak([each.maps for each in cams])
    settable.file_scale = float(scale_by or peak or 1.0)
    settable.binary = peak == settable.file_scale
    if settable.binary:
        log.warning(
            "all values of these CAMs are 0 or %g: they were binarised, e.g. by a drawing helper "
            "that writes into the arrays before they are saved (as in SC-CAM's released code); "
            "they are refined as binary CAMs; for continuous CAMs, save or copy them before "
            "drawing",
            peak,
        )
    below = sum(each.below_zero for each in cams)
    if below and tell_below_zero:
        log.info("%s", below_zero_line(below, len(cams), " looked at"))


def _load(adapter: CamAdapter, path: Path) -> Any:
    try:
        return adapter.load(path)
    except InputError:
        return None  # the run reports it


def _parse(adapter: CamAdapter, content: Any) -> ImageCams | None:
    try:
        return adapter.parse(content, "")
    except InputError:
        return None  # the run reports it, or the values are above every known scale


def _binary_peak(scaled: Sequence[np.ndarray]) -> float | None:
    """1 or 255 if that and 0 are the only stored values; else None. The maps are divided by 255."""
    found = set()
    for maps in scaled:
        if maps.size and (high := maps.max()):
            known = [p for p in PEAKS if high == (np.full(1, p, maps.dtype) / PEAKS[-1])[0]]
            if not known or not bool(((maps == 0) | (maps == high)).all()):
                return None
            found.update(known)
    return found.pop() if len(found) == 1 else None
