"""Finds layouts and profiles by name, and the layout of a file. None of them is named here.

A layout is an adapter: how a file is built. A profile is a pipeline: a layout and its numbers. A
third party adds a pipeline with one entry point: a profile of an existing layout, in the group
`c2am_plugin.profiles`, or its own adapter, in `c2am_plugin.adapters`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import numpy as np

from .cams import CamAdapter, Profile, content_of, read_cams
from .errors import InputError
from .files.cam_files import files_of_layouts, group_of, suffix_of
from .files.cam_values import read_values
from .files.folders import first_names, sample

__all__ = [
    "MapReader",
    "adapter_names",
    "choose_adapter",
    "detect",
    "find_cams",
    "get_adapter",
    "get_profile",
    "layout_names",
    "profiles",
]

LAYOUTS, PROFILES = "c2am_plugin.adapters", "c2am_plugin.profiles"
# The number of files that are read to determine the format of a folder.
SAMPLE = 16
# The layout in which C2AM's inference stores its maps.
MAPS = "puzzlecam"
log = logging.getLogger("c2am_plugin")


def adapter_names() -> list[str]:
    """The names of all profiles, which are the values of `method`."""
    return list(profiles())


def layout_names() -> list[str]:
    """The names of the layouts, in the order of the packages' metadata."""
    return list(_points(LAYOUTS))


def profiles() -> dict[str, Profile]:
    """Every profile by name; of two with the same name the first.

    A layout without a profile of its name gets one with the adapter's own numbers.
    """
    found: dict[str, Profile] = {}
    for point in _points(PROFILES).values():
        rows = point.load()
        for row in [rows] if isinstance(rows, Profile) else rows:
            found.setdefault(row.name, row)
    for name in layout_names():
        if name not in found:
            found[name] = _own_profile(name, _layout(name))
    return found


def get_profile(name: str) -> Profile:
    """The profile with this name. Raises InputError, with the known names, for an unknown one."""
    known = profiles()
    if name not in known:
        raise InputError(f"method {name!r} is unknown; known are auto, {', '.join(known)}")
    return known[name]


def get_adapter(name: str) -> CamAdapter:
    """The adapter of a pipeline's layout, with the numbers of its profile.

    name: the profile's name, e.g. "psa", "weaktr:coco". Raises InputError for an unknown name.

    >>> get_adapter("seam").background_score
    0.26
    """
    profile, layouts = get_profile(name), _points(LAYOUTS)
    if profile.layout not in layouts:
        raise InputError(
            f"method {name}: its layout {profile.layout!r} is unknown; "
            f"known are {', '.join(layouts)}"
        )
    return _with_numbers(_layout(profile.layout), profile)


def _layout(name: str) -> CamAdapter:
    point = _points(LAYOUTS)[name]
    try:
        adapter: CamAdapter = point.load()()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the adapter {name} ({point.value}) cannot be loaded ({error}); install its package "
            "again with pip"
        ) from error
    return adapter


@dataclass(frozen=True)
class MapReader:
    """Reads the maps that C2AM's inference stores: keys [0, 1], one class, image size."""

    adapter: CamAdapter

    @classmethod
    def find(cls) -> MapReader:
        return cls(get_adapter(MAPS))

    def __call__(self, path: Path) -> np.ndarray:
        """float32 H×W in [0, 1], 1 = foreground. Raises InputError."""
        cams = read_cams(self.adapter, path, path.stem)
        if cams.class_ids.tolist() != [0]:
            raise InputError(
                f"{path}: is a CAM file with the classes {first_names(map(str, cams.class_ids))}, "
                "not a cue; expected .png, a float array, or a map of C2AM (keys [0, 1])"
            )
        return cams.maps[0].astype(np.float32)


def _own_profile(name: str, adapter: CamAdapter) -> Profile:
    score = getattr(adapter, "background_score", getattr(adapter, "threshold", None))
    return Profile(name, name, score, dict(getattr(adapter, "seed_settings", {})))


def _with_numbers(adapter: CamAdapter, profile: Profile) -> CamAdapter:
    own: dict[str, object] = {
        "name": profile.name,
        "background_score": profile.background_score,
        "profile": profile,
    }
    if hasattr(adapter, "seed_settings"):
        own["seed_settings"] = dict(profile.seeds)
    if profile.seed_folders:
        own["seed_names"] = profile.seed_folders
    for attribute, value in own.items():
        setattr(adapter, attribute, value)
    return adapter


def _points(group: str) -> dict[str, EntryPoint]:
    """Every entry point by name; of two with the same name the first."""
    points: dict[str, EntryPoint] = {}
    for point in _installed(tuple(sys.path)):
        if point.group == group:
            points.setdefault(point.name, point)
    return points


@cache
def _installed(_: tuple[str, ...]) -> list[EntryPoint]:
    """The entry points of both groups: all packages on this path are searched once."""
    return [point for group in (LAYOUTS, PROFILES) for point in entry_points(group=group)]


def find_cams(folder: str | Path, method: str = "auto") -> dict[str, Path]:
    """{image id: path} of a folder's CAM files, sorted by id.

    method: the name of a profile; "auto" for every layout, those with one file per image first.
    Raises InputError where the folder is missing or contains no CAM file.
    """
    names = layout_names()
    layouts = [_layout(each) for each in names] if method == "auto" else [get_adapter(method)]
    found = files_of_layouts(folder, layouts)
    if not found:
        wanted = [("<id>_<class>" if group_of(each) else "") + suffix_of(each) for each in layouts]
        others = [_layout(each) for each in names if method != "auto"]
        fitting = [each.name for each in others if files_of_layouts(folder, [each])]
        advice = f"; it contains files of {first_names(fitting)}" if fitting else ""
        raise InputError(
            f"{folder}: contains no CAM file ({', '.join(dict.fromkeys(wanted))}){advice}"
        )
    return found


def choose_adapter(
    method: str,
    paths: Sequence[Path],
    *,
    scale_by: float | None = None,
    tell_below_zero: bool = True,
) -> CamAdapter:
    """The adapter of that name, or with "auto" the one that fits the files, which is reported.

    A sample of the files determines how their values are read (`files.cam_values.read_values`):
    divided by scale_by, or as values of only 0 and 1, or 0 and 255. Raises InputError where no
    adapter has the name or fits.
    """
    some = sample(paths, SAMPLE)
    if method == "auto":
        adapter, conclusion = detect(some)
        log.info("%s", conclusion)
    else:
        adapter = get_adapter(method)
        _check_layout(adapter, some)
    read_values(adapter, some, scale_by, named=method != "auto", tell_below_zero=tell_below_zero)
    return adapter


def _check_layout(adapter: CamAdapter, paths: Sequence[Path]) -> None:
    """Raise InputError, with the layouts that fit, if no readable file has this layout.

    The run reports single files of another layout.
    """
    other: Path | None = None
    for path in paths:
        try:
            content = adapter.load(path)
        except InputError:
            continue
        if adapter.fits(content):
            return
        other = other or path
    if other is None:
        return
    try:
        read_cams(adapter, other, other.stem)
    except InputError as error:
        fitting = [name for name in layout_names() if get_adapter(name).fits(adapter.load(other))]
        advice = f"; its layout fits `method={first_names(fitting)}`" if fitting else ""
        raise InputError(f"{error}{advice}") from error


def detect(paths: Iterable[Path]) -> tuple[CamAdapter, str]:
    """The adapter that fits all of these files, and a sentence with the conclusion.

    Files without a class fit several layouts and are not decisive; nor are unreadable files, if
    others can be read. The numbers are those of the profile with the layout's name; the sentence
    lists the profiles of that layout whose numbers differ. Raises InputError where no layout fits,
    or several families fit.
    """
    candidates: list[CamAdapter] = [get_adapter(name) for name in layout_names()]
    if not candidates:
        raise InputError("no adapter is registered; install the package with pip")
    count, last, unreadable = 0, None, None
    for path in paths:
        try:
            content = _load(candidates, path)
        except InputError as error:
            unreadable = unreadable or error
            continue
        fitting = [
            adapter
            for adapter in candidates
            if suffix_of(adapter) == path.suffix.lower() and adapter.fits(content)
        ]
        if not fitting and count:
            before = first_names(dict.fromkeys(adapter.family for adapter in candidates))
            raise InputError(
                f"{path}: is not in {before} format like the files before it; "
                "keep one format per folder, or name it with `method`"
            )
        if not fitting:
            raise InputError(
                f"{path}: contains {content_of(content)}; its format is unknown, known are "
                f"{', '.join(layout_names())}"
            )
        candidates, count, last = fitting, count + 1, path
    if last is None and unreadable:
        raise unreadable
    families = list(dict.fromkeys(adapter.family for adapter in candidates))
    if len(families) > 1 or last is None:
        raise InputError(
            f"{last}: the files do not determine whether the format is {first_names(families)} "
            "(none of the files read has a class); choose with `method`"
        )
    return candidates[0], _conclusion([adapter.name for adapter in candidates], families[0])


def _load(candidates: Sequence[CamAdapter], path: Path) -> Any:
    """The content of a file by the first adapter that reads files of that suffix."""
    suffix = path.suffix.lower()
    reader = next((each for each in candidates if suffix_of(each) == suffix), candidates[0])
    return reader.load(path)


def _conclusion(layouts: Sequence[str], family: str) -> str:
    known, chosen = profiles(), get_profile(layouts[0])
    others = [
        other
        for other in known.values()
        if other.layout in layouts and _numbers(other) != _numbers(chosen)
    ]
    if not others:
        return f"{chosen.name} format, {_score(chosen)}"
    alternatives = ", ".join(f"{other.name} ({_score(other, '')})" for other in others)
    return (
        f"{family} format: using {_score(chosen)} of {chosen.name}; pipelines with the same format "
        f"and other numbers: {alternatives}; choose with `method`"
    )


def _numbers(profile: Profile) -> tuple[object, ...]:
    return profile.background_score, dict(profile.seeds), profile.seed_folders


def _score(profile: Profile, prefix: str = "t = ") -> str:
    score = profile.background_score
    if score is None:
        stored = getattr(_layout(profile.layout), "stores_background", False)
        return "the background in its files" if stored else "no constant t"
    return f"{prefix}{score:g}"
