"""Who may write where: a run claims its folders before it writes, and holds them until it ends.

Knows folders, names and settings, not what the files hold. The settings of a run are kept beside
its folder (`record_path`); they tell its files from those of another run, or of nobody.
"""

from __future__ import annotations

import glob
import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files.folders import first_names, plain_file, walk
from ..files.writing import TEMPORARY, write_json
from .locks import lock_folder

__all__ = [
    "OutputFolder",
    "as_setting",
    "check_folders",
    "hold_file",
    "hold_folders",
    "read_record",
    "record_path",
]

# Nothing takes so long to write, in seconds.
LONG_DEAD = 86400


@dataclass(frozen=True)
class OutputFolder:
    """A folder that will get the files `<id><suffix>`, made with these settings (fit for JSON)."""

    folder: Path
    settings: dict[str, Any]
    suffix: str = ""


@contextmanager
def hold_folders(
    command: str,
    ids: Collection[str],
    outputs: Sequence[OutputFolder],
    *,
    overwrite: bool = False,
    shard: str = "",
) -> Iterator[set[str]]:
    """Make the folders ready for a run, and hold them against every other while it lasts.

    Yields the ids that are done: their files are in all folders, written with the same settings;
    a resumed run skips them. With `overwrite` these are removed first, so the set is empty.
    shard: several runs with different ids may share the folders, each under another name.
    Raises OutputError where files are there that another run, or somebody else, wrote, or where
    another run is writing now. All folders are asked before anything is touched in any.
    """
    check_folders(command, ids, outputs, overwrite=overwrite)
    done = set(ids)
    with ExitStack() as stack:
        held = [stack.enter_context(_hold(output.folder, shard)) for output in outputs]
        # Once more: another run may have come and gone since.
        there = [_check(output, command, ids, overwrite) for output in outputs]
        for output, safe, present in zip(outputs, held, there, strict=True):
            _clear_away(output, command, ids, safe, shard)
            _prepare(output, command, present, overwrite)
            done &= set() if overwrite else {name.removesuffix(output.suffix) for name in present}
        try:
            yield done
        except BaseException:  # workers that were cut short could not clear up
            for output, safe in zip(outputs, held, strict=True):
                _clear_away(output, command, ids, safe, shard)
            raise


def check_folders(
    command: str, ids: Collection[str], outputs: Sequence[OutputFolder], *, overwrite: bool = False
) -> None:
    """Raise what `hold_folders` would of what the folders hold, and touch nothing."""
    for output in outputs:
        _check(output, command, ids, overwrite)


def as_setting(value: Any) -> Any:
    """A path, a sequence of ids or nothing, as JSON holds it."""
    return str(value) if isinstance(value, (str, Path)) else value and list(value)


def hold_file(
    path: Path, command: str, settings: dict[str, Any], *, overwrite: bool = False
) -> None:
    """Make ready for a run whose result is the one file `path`, written as a whole at its end.

    Raises OutputError where the file is there and another run, or somebody else, wrote it.
    """
    record, settings = record_path(path, command), _as_stored(settings)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; expected the name of a file")
    with _naming(path):
        if path.exists() and read_record(record) != settings:
            if not overwrite:
                raise OutputError(
                    f"{path}: is there already and is not of a {command} run with these settings; "
                    "choose another name, or replace it with `overwrite=True`"
                )
            path.unlink()
    write_json(record, {"settings": settings})


@contextmanager
def _hold(folder: Path, shard: str) -> Iterator[bool]:
    with ExitStack() as stack:
        with _naming(folder):
            folder.mkdir(parents=True, exist_ok=True)
            held = stack.enter_context(lock_folder(folder, shard))
        yield held


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _check(output: OutputFolder, command: str, ids: Iterable[str], overwrite: bool) -> set[str]:
    """The names of this run that are there already. Raises OutputError, touches nothing."""
    folder, settings = output.folder, _as_stored(output.settings)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; choose another folder")
    names = {image_id + output.suffix for image_id in ids}
    present = _present_files(folder)
    theirs = names & present
    earlier = read_record(record_path(folder, command))
    if earlier is not None and earlier != settings:
        changed = sorted(k for k in {*earlier, *settings} if earlier.get(k) != settings.get(k))
        difference = _difference(earlier, settings, changed)
        if theirs and not overwrite:
            raise OutputError(
                f"{folder}: holds {len(theirs)} files of a run with other settings ({difference}); "
                "choose another folder, or replace them with `overwrite=True`"
            )
        suffixes = {Path(name).suffix for name in names}
        others = {name for name in present - names if Path(name).suffix in suffixes}
        if others:
            raise OutputError(
                f"{folder}: also holds files of a run with other settings ({difference}) that this "
                f"run would not replace ({first_names(others)}); choose another folder"
            )
    if earlier is None and theirs and not overwrite:
        raise OutputError(
            f"{folder}: {len(theirs)} files are there already that no {command} run wrote "
            f"({first_names(theirs)}); choose another folder, or replace them with `overwrite=True`"
        )
    return theirs


def _difference(then: dict[str, Any], now: dict[str, Any], changed: list[str]) -> str:
    # What was stored then may have been changed by hand, or worse.
    parts = [f"{k} {str(then.get(k))[:200]} then, {now.get(k)} now" for k in changed if k in now]
    unknown = [k for k in changed if k not in now]
    if unknown:
        parts.append(f"{first_names(unknown)} then, not known now")
    return "; ".join(parts)


def _clear_away(
    output: OutputFolder, command: str, ids: Iterable[str], held: bool, shard: str
) -> None:
    """Remove the temporary files of runs that are over: their writers would have to hold what is
    held here."""
    dead = {image_id + output.suffix for image_id in ids} if held else set()
    remains = [*_temporaries(output.folder, None if held and not shard else dead)]
    if held and not shard:
        record = record_path(output.folder, command)
        beside = glob.escape(str(record.with_name(f".{record.name}.")))
        remains += glob.glob(f"{beside}*{TEMPORARY}")
    with _naming(output.folder):
        for path in remains:
            with suppress(FileNotFoundError):
                os.unlink(path)


def _prepare(output: OutputFolder, command: str, present: Iterable[str], overwrite: bool) -> None:
    """Remove what is to be replaced, then note the settings; an interrupted run must not mix."""
    record, settings = record_path(output.folder, command), _as_stored(output.settings)
    if overwrite:
        with _naming(output.folder):
            for name in present:
                (output.folder / name).unlink()
    if read_record(record) != settings:
        write_json(record, {"settings": settings})


def _as_stored(settings: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(settings)))


def _present_files(folder: Path) -> set[str]:
    """Names below `folder`, hidden files left out."""
    return {
        prefix + name
        for _, prefix, names in walk(folder)
        for name in names
        if not name.startswith(".")
    }


def _temporaries(folder: Path, targets: set[str] | None) -> Iterator[str]:
    """Temporary files below `folder` that were to become one of `targets` (None: anything), or are
    so old that nobody is still writing them."""
    for root, prefix, names in walk(folder):
        for name in names:
            if not (name.startswith(".") and name.endswith(TEMPORARY)):
                continue
            path = os.path.join(root, name)
            target = prefix + name[1:].removesuffix(TEMPORARY).rpartition(".")[0]
            if targets is None or target in targets or _is_old(path):
                yield path


def _is_old(path: str) -> bool:
    try:
        return time.time() - os.stat(path).st_mtime > LONG_DEAD
    except FileNotFoundError:  # its run finished it just now
        return False


def read_record(record: Path) -> dict[str, Any] | None:
    """The settings of an earlier run as JSON gives them back, None where there was none."""
    if not record.exists():
        return None
    try:
        with open(record, encoding="utf-8", opener=plain_file) as file:
            settings = json.load(file)["settings"]
        if not isinstance(settings, dict):
            raise TypeError(f"settings are {type(settings).__name__}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OutputError(f"{record}: is not a run's settings ({reason}); remove it") from error
    return settings


def record_path(folder: str | Path, command: str, shard: str = "") -> Path:
    """Where a run's settings and report are kept: beside the folder, which holds results only.

    shard: the name of the part of the run whose report is meant.
    """
    folder = Path(os.path.abspath(folder))
    return folder.with_name(".".join(filter(None, (folder.name, command, shard, "json"))))
