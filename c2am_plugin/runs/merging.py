"""Merge the reports of all N shards of a run. Knows only the report classes the caller passes.

A report is a dataclass. Its `MERGE` gives the rule for each field: "sum", "join" (lists and dicts),
or the name of the field that weights its mean. A field without a rule is the same in all shards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import InputError
from ..files.folders import plain_file
from .output_folders import record_path, write_report

__all__ = ["merge_reports"]

T = TypeVar("T")


def merge_reports(
    out_dir: str | Path, kinds: Mapping[str, Callable[..., Any]]
) -> list[tuple[str, Any]]:
    """Merge the reports of all shards that wrote into `out_dir` and store the result beside it.

    kinds: {command: class of its report}. Returns [(command, report)]. A run without shards (1/1)
    already has its report and keeps it. Raises InputError if a shard's report is missing or the
    shards belong to different runs.
    """
    merged = []
    for command, kind in kinds.items():
        parts = _reports_of(out_dir, command)
        if not parts:
            continue
        settings = [part["settings"] for part in parts]
        if any(other != settings[0] for other in settings):
            raise InputError(
                f"{out_dir}: its shards ran with different settings; run all of them again with "
                "the same settings"
            )
        try:
            report = _merge([kind(**part["report"]) for part in parts])
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{out_dir}: the reports of its shards do not match ({error}); run the shards again"
            ) from error
        if len(parts) > 1:
            write_report(record_path(out_dir, command), settings[0], _as_dict(report))
        merged.append((command, report))
    if not merged:
        raise InputError(
            f"{out_dir}: its parent folder contains no report of a run into it; expected the "
            f"output folder of {', '.join(kinds)}"
        )
    return merged


def _reports_of(out_dir: str | Path, command: str) -> list[dict[str, Any]]:
    """The stored reports of all shards of one command, in order, or that of an unsplit run."""
    record = record_path(out_dir, command)
    if not record.parent.is_dir():
        raise InputError(f"{out_dir}: no such folder")
    name = re.compile(re.escape(record.stem) + r"\.(\d+)-of-(\d+)\.json")
    found = {}
    for path in _entries(record.parent):
        if match := name.fullmatch(path.name):
            found[int(match[1]), int(match[2])] = path
    counts = sorted({count for _, count in found})
    if len(counts) > 1:
        raise InputError(
            f"{out_dir}: has reports of runs with {' and with '.join(map(str, counts))} shards; "
            f"remove the files {record.stem}.*-of-N.json that are obsolete"
        )
    wanted = [(index, count) for count in counts for index in range(1, count + 1)]
    if lacking := [f"{index}/{count}" for index, count in wanted if (index, count) not in found]:
        raise InputError(f"{out_dir}: shard {', '.join(lacking)} has not finished; run it first")
    if wanted:
        return [_read(found[key]) for key in wanted]
    return [_read(record)] if record.exists() else []


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror or error})") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8", opener=plain_file) as file:
            content = json.load(file)
        return {"settings": content["settings"], "report": content["report"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: is not the report of a finished run ({error}); run the command again"
        ) from error


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
            # A shard without any images may have left a field empty.
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
    return sorted({item for part in parts for item in part})


def _as_dict(report: Any) -> dict[str, Any]:
    return {field.name: getattr(report, field.name) for field in fields(report)}
