"""One of N runs that share a folder of images, as Slurm arrays and plain loops start them, and
one report of all N. Knows ids and reports, not what is done to an image.

A report is a dataclass whose `MERGE` says for each field how several become one: "sum", "join"
(lists and dicts), or the field that weighs it in a mean. A field without a rule is the same in all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from ..errors import InputError
from ..files.folders import plain_file
from ..files.writing import write_json
from .output_folders import record_path

__all__ = ["Shard", "merge_reports"]

T = TypeVar("T")

# Where the report of a command that runs in shards is defined.
REPORTS = {
    "c2am-refine": ("refine.report", "RefineReport"),
    "c2am-seeds": ("seeds.report", "SeedReport"),
    "c2am-cues": ("network.cue_report", "CueReport"),
}


@dataclass(frozen=True)
class Shard:
    """Number `index` (from 1) of `count` disjoint and complete parts of a run's images.

    The one part of one is the whole, and has no name.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str | None) -> Shard:
        """ "2/4" is the second of four, None the whole. Raises InputError."""
        if text is None:
            return cls(1, 1)
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise InputError(f"shard {text!r}: expected I/N with I from 1 to N, e.g. 1/4")
        return cls(int(match[1]), int(match[2]))

    def of(self, ids: Sequence[str]) -> list[str]:
        """This shard's ids: every N-th, so that neighbours of like size are spread."""
        return list(ids[self.index - 1 :: self.count])

    @property
    def name(self) -> str:
        return f"{self.index}-of-{self.count}" if self.count > 1 else ""


def merge_reports(out_dir: str | Path) -> list[tuple[str, Any]]:
    """One report of all shards that wrote into `out_dir`: [(command, report)], stored beside it.

    Raises InputError where a shard's report is missing, or they are of different runs.
    """
    merged = []
    for command, (module, name) in REPORTS.items():
        if parts := _reports_of(out_dir, command):
            settings = [part["settings"] for part in parts]
            if any(other != settings[0] for other in settings):
                raise InputError(
                    f"{out_dir}: its shards ran with different settings; run them anew"
                )
            kind = getattr(import_module(f"c2am_plugin.{module}"), name)
            try:
                report = _merge([kind(**part["report"]) for part in parts])
            except (TypeError, ValueError, AttributeError) as error:
                raise InputError(
                    f"{out_dir}: its shards' reports do not fit together ({error}); run them anew"
                ) from error
            content = {"settings": settings[0], "report": _as_dict(report)}
            write_json(record_path(out_dir, command), content)
            merged.append((command, report))
    if not merged:
        raise InputError(f"{out_dir}: no run with --shard wrote into it")
    return merged


def _reports_of(out_dir: str | Path, command: str) -> list[dict[str, Any]]:
    """The stored reports of all shards of one command, in order."""
    record = record_path(out_dir, command)
    name = re.compile(re.escape(record.stem) + r"\.(\d+)-of-(\d+)\.json")
    found = {}
    for path in record.parent.iterdir():
        if match := name.fullmatch(path.name):
            found[int(match[1]), int(match[2])] = path
    counts = sorted({count for _, count in found})
    if len(counts) > 1:
        raise InputError(
            f"{out_dir}: has reports of runs in {' and in '.join(map(str, counts))} shards; "
            f"remove {record.stem}.*-of-N.json of those that do not count"
        )
    wanted = [(index, count) for count in counts for index in range(1, count + 1)]
    if lacking := [f"{index}/{count}" for index, count in wanted if (index, count) not in found]:
        raise InputError(f"{out_dir}: shard {', '.join(lacking)} has not finished; run it first")
    return [_read(found[key]) for key in wanted]


def _read(path: Path) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8", opener=plain_file) as file:
            content = json.load(file)
        return {"settings": content["settings"], "report": content["report"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: is not a shard's report ({error}); run it anew") from error


def _merge(reports: Sequence[T]) -> T:
    rules: dict[str, str] = reports[0].MERGE  # type: ignore[attr-defined]
    values = {}
    for name in _as_dict(reports[0]):
        parts = [getattr(report, name) for report in reports]
        rule = rules.get(name)
        if rule == "sum":
            values[name] = sum(parts)
        elif rule == "join":
            values[name] = _join(parts)
        elif rule is None:
            # A shard that found nothing to do may have left a field empty.
            values[name] = next((part for part in parts if part), parts[0])
        else:
            values[name] = _mean(parts, [getattr(report, rule) for report in reports])
    build: Callable[..., T] = type(reports[0])
    return build(**values)


def _mean(parts: Sequence[float | None], weights: Sequence[float]) -> float | None:
    known = [(part, w) for part, w in zip(parts, weights, strict=True) if part is not None and w]
    if not known:
        return parts[0]
    return sum(part * weight for part, weight in known) / sum(weight for _, weight in known)


def _join(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], dict):
        return dict(sorted(item for part in parts for item in part.items()))
    return sorted(item for part in parts for item in part)


def _as_dict(report: Any) -> dict[str, Any]:
    return {field.name: getattr(report, field.name) for field in fields(report)}
