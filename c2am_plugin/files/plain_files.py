"""Opening files of folders that somebody else filled: a pipe would never end the wait for its first
byte, a device never the reading."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["plain_file"]


def plain_file(path: str, flags: int) -> int:
    """An opener for `open`, of files alone; links are followed. Raises OSError for all else."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "a directory, pipe or device; expected a file", path)
