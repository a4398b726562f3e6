"""Which run may write where: a run locks its folders before it writes, until it ends.

Knows folders, names and settings, not the contents of files. The settings of a run are stored
beside its folder (`record_path`); they distinguish its files from those of other runs and programs.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cams import CamAdapter
from ..errors import OutputError
from ..files.cam_files import group_of, suffix_of
from ..files.folders import first_names, plain_file, walk
from ..files.writing import TEMPORARY, write_json
from .locks import lock_folder

__all__ = [
    "OutputFolder",
    "as_setting",
    "cam_output",
    "check_folders",
    "digest",
    "hold_file",
    "hold_folders",
    "read_record",
    "read_report",
    "record_path",
    "write_report",
]

# Seconds. A temporary file this old is abandoned: no file takes as long to write.
LONG_DEAD = 86400


@dataclass(frozen=True)
class OutputFolder:
    """A folder for the files `<id><suffix>`, and the settings they are made with (JSON values).

    image_of: for several files per image, the id of a file (its name without the suffix) → the
    image's, or None. How many there will be is not known before, so no image counts as done.
    """

    folder: Path
    settings: dict[str, Any]
    suffix: str = ""
    image_of: Callable[[str], str | None] | None = None

    def of_image(self, name: str) -> str:
        """The name `<id><suffix>` of the image whose file this is; that of any other file."""
        if self.image_of is None or not name.endswith(self.suffix):
            return name
        folder, slash, stem = name.removesuffix(self.suffix).rpartition("/")
        return f"{folder}{slash}{self.image_of(stem) or stem}{self.suffix}"


def cam_output(adapter: CamAdapter, folder: Path, settings: dict[str, Any]) -> OutputFolder:
    """The folder of CAM files of an adapter."""
    return OutputFolder(folder, settings, suffix_of(adapter), group_of(adapter))


@contextmanager
def hold_folders(
    command: str,
    ids: Collection[str],
    outputs: Sequence[OutputFolder],
    *,
    overwrite: bool = False,
    shard: str = "",
) -> Iterator[set[str]]:
    """Prepare the folders for a run, and lock them against every other run until it ends.

    Yields the ids that are done: all folders already contain their files, written with the same
    settings; a resumed run skips them. `overwrite` removes these files first, so the set is empty.
    shard: runs with different ids may share the folders, each under its own name.
    Raises OutputError if a folder contains files of another run or program, or if another run is
    writing into it now. All folders are checked before any of them is changed.
    """
    check_folders(command, ids, outputs, overwrite=overwrite)
    done = set(ids)
    with ExitStack() as stack:
        held = [stack.enter_context(_hold(output.folder, shard)) for output in outputs]
        # Check again: another run may have started and ended since.
        there = [_check(output, command, ids, overwrite) for output in outputs]
        for output, safe, present in zip(outputs, held, there, strict=True):
            _clear_away(output, command, ids, safe, shard)
            _prepare(output, command, present, overwrite)
            again = overwrite or output.image_of is not None
            done &= set() if again else {name.removesuffix(output.suffix) for name in present}
        try:
            yield done
        except BaseException:  # interrupted workers could not clean up
            for output, safe in zip(outputs, held, strict=True):
                _clear_away(output, command, ids, safe, shard)
            raise


def check_folders(
    command: str, ids: Collection[str], outputs: Sequence[OutputFolder], *, overwrite: bool = False
) -> None:
    """Raise what `hold_folders` would raise for the contents of the folders; change nothing."""
    for output in outputs:
        _check(output, command, ids, overwrite)


def as_setting(value: Any) -> Any:
    """A path, a sequence of ids or paths, or None, as a JSON value."""
    return str(value) if isinstance(value, (str, Path)) else value and list(map(str, value))


def digest(data: bytes | str) -> str:
    """What settings keep of long data, 16 characters; of text, its UTF-8."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:16]


def hold_file(
    path: Path, command: str, settings: dict[str, Any], *, overwrite: bool = False
) -> None:
    """Prepare for a run whose result is the single file `path`, written as a whole at the end.

    Raises OutputError if the file exists and another run or program wrote it.
    """
    record, settings = record_path(path, command), _as_stored(settings)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; expected the name of a file")
    with _naming(path):
        if path.exists() and read_record(record) != settings:
            if not overwrite:
                raise OutputError(
                    f"{path}: exists and was not written by a {command} run with these settings; "
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
    """The names of this run's files that exist. Raises OutputError; changes nothing."""
    folder, settings = output.folder, _as_stored(output.settings)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; choose another folder")
    names = {image_id + output.suffix for image_id in ids}
    present = _present_files(folder)
    theirs = {name for name in present if output.of_image(name) in names}
    earlier = read_record(record_path(folder, command))
    if earlier is not None and earlier != settings:
        changed = sorted(k for k in {*earlier, *settings} if earlier.get(k) != settings.get(k))
        difference = _difference(earlier, settings, changed)
        if theirs and not overwrite:
            raise OutputError(
                f"{folder}: contains {len(theirs)} files of a run with other settings "
                f"({difference}); choose another folder, or replace them with `overwrite=True`"
            )
        suffixes = {Path(name).suffix for name in names}
        others = {name for name in present - theirs if Path(name).suffix in suffixes}
        if others:
            raise OutputError(
                f"{folder}: also contains files of a run with other settings ({difference}) that "
                f"this run would not replace ({first_names(others)}); choose another folder"
            )
    if earlier is None and theirs and not overwrite:
        raise OutputError(
            f"{folder}: contains {len(theirs)} files that no {command} run wrote "
            f"({first_names(theirs)}); choose another folder, or replace them with `overwrite=True`"
        )
    return theirs


def _difference(then: dict[str, Any], now: dict[str, Any], changed: list[str]) -> str:
    # The stored settings may have been edited or damaged.
    parts = [f"{k} {str(then.get(k))[:200]} then, {now.get(k)} now" for k in changed if k in now]
    unknown = [k for k in changed if k not in now]
    if unknown:
        parts.append(f"{first_names(unknown)} then, not known now")
    return "; ".join(parts)


def _clear_away(
    output: OutputFolder, command: str, ids: Iterable[str], held: bool, shard: str
) -> None:
    """Remove the temporary files of runs that have ended. Their writers cannot be running: they
    would need the lock that this run has."""
    dead = {image_id + output.suffix for image_id in ids} if held else set()
    remains = [*_temporaries(output, None if held and not shard else dead)]
    if held and not shard:
        record = record_path(output.folder, command)
        beside = glob.escape(str(record.with_name(f".{record.name}.")))
        remains += glob.glob(f"{beside}*{TEMPORARY}")
    with _naming(output.folder):
        for path in remains:
            with suppress(FileNotFoundError):
                os.unlink(path)


def _prepare(output: OutputFolder, command: str, present: Iterable[str], overwrite: bool) -> None:
    """Remove the files to be replaced, then store the settings, so that no interrupted run leaves
    files of two settings."""
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
    """Names of files below `folder`, without hidden files."""
    return {
        prefix + name
        for _, prefix, names in walk(folder)
        for name in names
        if not name.startswith(".")
    }


def _temporaries(output: OutputFolder, targets: set[str] | None) -> Iterator[str]:
    """Temporary files of a folder that were to become one of `targets` (None: anything), or are so
    old that nobody is still writing them."""
    for root, prefix, names in walk(output.folder):
        for name in names:
            if not (name.startswith(".") and name.endswith(TEMPORARY)):
                continue
            path = os.path.join(root, name)
            target = output.of_image(prefix + name[1:].removesuffix(TEMPORARY).rpartition(".")[0])
            if targets is None or target in targets or _is_old(path):
                yield path


def _is_old(path: str) -> bool:
    try:
        return time.time() - os.stat(path).st_mtime > LONG_DEAD
    except FileNotFoundError:  # its run has just finished it
        return False


def read_record(record: Path) -> dict[str, Any] | None:
    """The settings of an earlier run as JSON values; None if there was no run."""
    if not record.exists():
        return None
    return _read_part(record, "settings", None)


def read_report(record: Path) -> dict[str, Any] | None:
    """The report of an earlier run as JSON values; None if there was no run or it has not ended."""
    if not record.exists():
        return None
    return _read_part(record, "report", {}) or None


def write_report(
    record: Path, settings: dict[str, Any], report: dict[str, Any], *, keep: bool = False
) -> None:
    """Store the report of a run that has ended. keep: not where an earlier run has stored one, as
    after a call that had nothing left to do. Raises OutputError."""
    if not keep or read_report(record) is None:
        write_json(record, {"settings": settings, "report": report})


def _read_part(record: Path, name: str, default: dict[str, Any] | None) -> dict[str, Any]:
    try:
        with open(record, encoding="utf-8", opener=plain_file) as file:
            content = json.load(file)
        part = content[name] if default is None else content.get(name, default)
        if not isinstance(part, dict):
            raise TypeError(f"{name} are {type(part).__name__}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OutputError(
            f"{record}: does not contain the settings of a run ({reason}); remove it"
        ) from error
    return part


def record_path(folder: str | Path, command: str, shard: str = "") -> Path:
    """The path of a run's settings and report: beside the folder, which contains only results.

    shard: the name of the shard that the report belongs to.
    """
    folder = Path(os.path.abspath(folder))
    return folder.with_name(".".join(filter(None, (folder.name, command, shard, "json"))))
