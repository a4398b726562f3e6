"""One run at a time per folder: a lock that the system releases when its process ends.

Knows folders, not what is written into them. The lock is on a hidden file in the folder, so every
path to the folder, through a link or another machine's mount, meets the same lock. The file is
removed at the end; a file that a killed run left behind is not locked and blocks no other run.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import OutputError
from .signals import postponed

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["lock_folder"]

LOCK = ".c2am-lock"
log = logging.getLogger("c2am_plugin")

_held: set[int] = set()


def _let_go() -> None:
    """Release the locks in a forked child: a worker must not keep a lock after its run."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def lock_folder(folder: Path, shard: str = "") -> Iterator[bool]:
    """Lock `folder`, which must exist, against every other run, in this process or another.

    shard: lock only this part of the folder; the name must be valid in a file name. Different
    shards may be locked at the same time; the whole folder and a shard may not.
    Yields whether the folder is locked. On a file system without locks it is not; a warning is
    logged, and the run continues. Raises OutputError, which names the other run, if that run has
    locked the folder.
    """
    with ExitStack() as stack:
        held = stack.enter_context(_lock(folder, LOCK, shared=bool(shard)))
        if shard and held:
            stack.enter_context(_lock(folder, f"{LOCK}.{shard}", shared=False))
        yield held


@contextmanager
def _lock(folder: Path, name: str, shared: bool) -> Iterator[bool]:
    descriptor = None
    try:
        with postponed():  # an interrupt in between would leave the file
            descriptor = _acquire(folder, name, shared)
            if descriptor is not None:
                _held.add(descriptor)
        yield descriptor is not None
    finally:
        if descriptor is not None and descriptor in _held:  # not so in a forked child
            with postponed():
                _release(descriptor, folder / name, shared)


def _release(descriptor: int, path: Path, shared: bool) -> None:
    _held.remove(descriptor)
    with suppress(OSError):
        if shared:  # the last shard removes the file
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    os.close(descriptor)


def _acquire(folder: Path, name: str, shared: bool) -> int | None:
    """The descriptor of the locked file; None if the file system has no locks."""
    path = folder / name
    while True:
        if path.is_symlink():
            raise OutputError(f"{path}: is a link, and its target would be overwritten; remove it")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _flock(descriptor, shared)
        except BlockingIOError as error:
            holder = os.read(descriptor, 300).decode(errors="replace") or "it has just started"
            os.close(descriptor)
            raise OutputError(
                f"{folder}: another run is writing into it ({holder}); wait until that run ends, "
                "or choose another folder"
            ) from error
        except OSError as error:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            log.warning(
                "%s: cannot be locked on this file system (%s); make sure that no second run "
                "writes into it",
                folder,
                error.strerror,
            )
            return None
        if _is_at(descriptor, path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _myself().encode(), 0)
            return descriptor
        os.close(descriptor)  # the previous holder removed the file just before this lock


def _flock(descriptor: int, shared: bool) -> None:
    if fcntl is None:
        raise OSError(0, "no flock on this system")
    fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _myself() -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"process {os.getpid()} on {socket.gethostname()} since {since}"
