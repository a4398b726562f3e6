"""Finds adapters by name, and the adapter that fits a file. Knows none of them itself.

A third party adds a pipeline with one module and one entry point in the group below.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from .cams import CamAdapter
from .errors import InputError
from .files.folders import first_names, sample

__all__ = ["adapter_names", "choose_adapter", "detect", "get_adapter"]

GROUP = "c2am_plugin.adapters"
# So many files of a folder tell its format.
SAMPLE = 16
log = logging.getLogger("c2am_plugin")


def adapter_names() -> list[str]:
    """The names that `--method` takes, in the order of the packages' metadata."""
    return list(_points())


def get_adapter(name: str) -> CamAdapter:
    """The adapter of a name. Raises InputError with the known names."""
    points = _points()
    if name not in points:
        raise InputError(f"method {name!r} is unknown; known are auto, {', '.join(points)}")
    adapter: CamAdapter = points[name].load()()
    return adapter


def _points() -> dict[str, EntryPoint]:
    """Every entry point by name; of two with one name the first."""
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        points.setdefault(point.name, point)
    return points


def choose_adapter(method: str, paths: Sequence[Path]) -> CamAdapter:
    """The adapter of that name, or with "auto" the one that fits a folder's files, which is said.

    Raises InputError where no adapter has the name or fits.
    """
    if method != "auto":
        return get_adapter(method)
    adapter, conclusion = detect(sample(paths, SAMPLE))
    log.info("%s", conclusion)
    return adapter


def detect(paths: Iterable[Path]) -> tuple[CamAdapter, str]:
    """The adapter that fits all of these files, and a sentence that says what was concluded.

    Files without a class fit several formats and decide nothing, nor do files that cannot be
    read, if others can. Where a whole family fits (PSA, SC-CAM and SEAM store the same), its first
    adapter is taken and the sentence says so. Raises InputError where nothing fits or different
    families do.
    """
    candidates: list[CamAdapter] = [point.load()() for point in _points().values()]
    if not candidates:
        raise InputError("no adapter is registered; install the package with pip")
    count, last, unreadable = 0, None, None
    for path in paths:
        try:
            content = candidates[0].load(path)
        except InputError as error:
            unreadable = unreadable or error
            continue
        fitting = [adapter for adapter in candidates if adapter.fits(content)]
        if not fitting and count:
            before = first_names(dict.fromkeys(adapter.family for adapter in candidates))
            raise InputError(
                f"{path}: is not in {before} format as the files before it; "
                "keep one format in a folder, or name it with --method"
            )
        if not fitting:
            raise InputError(f"{path}: its format is none of {', '.join(adapter_names())}")
        candidates, count, last = fitting, count + 1, path
    if last is None and unreadable:
        raise unreadable
    families = list(dict.fromkeys(adapter.family for adapter in candidates))
    if len(families) > 1 or last is None:
        raise InputError(
            f"{last}: no file says whether the format is {first_names(families)} "
            "(none of the first has a class); choose with --method"
        )
    chosen, *others = candidates
    if not others:
        return chosen, f"{chosen.name} format, t = {chosen.background_score:g}"
    alternatives = " or ".join(f"{other.name} ({other.background_score:g})" for other in others)
    return chosen, (
        f"{chosen.family} format, which {chosen.name} shares with {alternatives}: taking "
        f"t = {chosen.background_score:g} of {chosen.name}; --method decides"
    )
