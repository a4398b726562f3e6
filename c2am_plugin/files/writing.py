"""Writes files atomically: a file is complete or absent."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import OutputError

__all__ = ["atomic_path", "disk_error", "write_json"]

TEMPORARY = ".c2am-tmp"
# A full disk, an exceeded quota or file size limit, a read-only or broken disk, or a folder with
# the file's name.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EISDIR)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block succeeds, otherwise removed.

    A file is never visible half-written under its own name. Missing folders are created. Raises
    OutputError where the disk is full or cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name is random, as processes with the same id on two machines may write to one folder.
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}{TEMPORARY}")
    try:
        yield temporary
        os.replace(temporary, path)
    except Exception as error:
        if reason := disk_error(error):
            raise OutputError(f"{path}: cannot be written ({reason})") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def disk_error(error: BaseException | None) -> str | None:
    """The system's message if a full, read-only or broken disk caused an error; else None.

    torch and Pillow raise their own errors after a failed write, so the whole chain is searched.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return error.strerror
        error = error.__context__
    return None


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. Raises OutputError."""
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
