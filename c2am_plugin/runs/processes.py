"""Worker processes: copies of this one where that is safe. No worker outlives its run.

A copy of a process starts in a few milliseconds; joblib's workers import everything again.
Only a process with a single thread may be copied: a lock of another thread would never be
released in the copy.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from itertools import islice
from multiprocessing import get_context
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from .memory import keep_freed_memory
from .signals import SIGNALS, signals_into

__all__ = ["can_copy", "end_with", "run_in_copies"]

I = TypeVar("I")  # noqa: E741
T = TypeVar("T")
# Items queued per worker, so that no worker waits for its next item.
AHEAD = 4
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>: the signal to get when the parent dies

_work: Callable[[Any], Any]  # set in each worker


def can_copy() -> bool:
    """Whether this process has a single thread, counting those of C libraries (Linux only)."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


@contextmanager
def run_in_copies(
    work: Callable[[I], T], items: Sequence[I], workers: int
) -> Iterator[Iterator[T]]:
    """Call `work(item)` for every item in copies of this process, which are made immediately.

    Yields the results, in arbitrary order. `work` need not be picklable. Items in progress are
    finished at the end of the block. SIGINT and SIGTERM raise KeyboardInterrupt between two
    results; a killed worker raises BrokenProcessPool.
    """
    arrived: SimpleQueue[Future[T] | None] = SimpleQueue()  # None: a signal
    rest = iter(items)
    pool = ProcessPoolExecutor(workers, get_context("fork"), _begin, (work, os.getpid()))

    def submit(count: int) -> None:
        for item in islice(rest, count):
            pool.submit(_call, item).add_done_callback(arrived.put)

    def results() -> Iterator[T]:
        for _ in items:
            future = arrived.get()
            if future is None:
                raise KeyboardInterrupt
            submit(1)
            yield future.result()

    with signals_into(arrived) as signalled:
        try:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            try:
                submit(AHEAD * workers)  # the copies start here; `_begin` unblocks the signals
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield results()
        except BrokenProcessPool:
            time.sleep(0.1)  # a signal sent to all processes may reach this one last
            if signalled:
                raise KeyboardInterrupt from None
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            deadline = time.monotonic() + 1
            while not can_copy() and time.monotonic() < deadline:
                time.sleep(0.001)  # the pool's threads have ended, but the system still lists them
    if signalled:
        raise KeyboardInterrupt


def _begin(work: Callable[[Any], Any], parent: int) -> None:
    global _work
    _work = work
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _call(item: Any) -> Any:
    # Blocked by the system, because a Python handler would wait for locks of a dead worker.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return _work(item)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


@cache
def end_with(parent: int) -> None:
    """In a worker process of joblib: exit soon after the run ends.

    joblib's workers outlive a killed run. They would continue to write into a folder that the next
    run has locked.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
