"""Worker processes: copies of this one where that is safe, and none that outlives its run.

A copy of a process starts in a few milliseconds, where joblib's workers import everything anew.
Only a process with a single thread may be copied: a lock that another thread holds would stay
held in the copy.
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
# So many items are on their way to each worker, so that none waits for its next.
AHEAD = 4
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>: the signal to get when the parent dies

_work: Callable[[Any], Any]  # of a worker


def can_copy() -> bool:
    """Whether this process has a single thread, those of C libraries counted (known on Linux)."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


@contextmanager
def run_in_copies(
    work: Callable[[I], T], items: Sequence[I], workers: int
) -> Iterator[Iterator[T]]:
    """Copies of this process, made at once, that do `work(item)` for every item.

    Yields the results, in no certain order. `work` need not be picklable. At the end of the block
    what is in hand is finished. SIGINT and SIGTERM are a KeyboardInterrupt between two results;
    BrokenProcessPool is raised where a worker is killed.
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
                submit(AHEAD * workers)  # the copies begin here; `_begin` lets the signals through
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield results()
        except BrokenProcessPool:
            time.sleep(0.1)  # a signal to all processes may reach this one last
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
    # By the system's mask, as a handler in Python waits for locks that a dead worker may hold.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return _work(item)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


@cache
def end_with(parent: int) -> None:
    """In a worker process of joblib: end soon after the run does.

    joblib's workers outlive a killed run, and would go on to write into a folder that the next
    run has claimed.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
