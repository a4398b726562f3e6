"""Worker processes: copies of this one where that is safe, and none that outlives its run.

A copy of a process starts in a few milliseconds, where joblib's workers import everything anew.
Only a process with a single thread may be copied: a lock that another thread holds would stay
held in the copy.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import cache
from itertools import islice
from multiprocessing import get_context
from threading import Thread
from typing import Any, TypeVar

__all__ = ["can_copy", "end_with", "run_in_copies"]

T = TypeVar("T")
# So many items are on their way to each worker, so that none waits for its next.
AHEAD = 4
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>: the signal to get when the parent dies

_work: Callable[[Any], Any]


def can_copy() -> bool:
    """Whether this process has a single thread, those of C libraries counted (known on Linux)."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def run_in_copies(
    work: Callable[[str], T], items: Sequence[str], workers: int
) -> Generator[T, None, None]:
    """`work(item)` for every item in copies of this process, made at once; in no certain order.

    `work` need not be picklable. What is in hand when the iterator is closed is finished. Raises
    BrokenProcessPool where a worker is killed.
    """
    rest = iter(items)
    pool = ProcessPoolExecutor(workers, get_context("fork"), _begin, (work, os.getpid()))
    first = {pool.submit(_call, item) for item in islice(rest, AHEAD * workers)}

    def results() -> Generator[T, None, None]:
        waiting = first
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                waiting |= {pool.submit(_call, item) for item in islice(rest, len(done))}
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
            deadline = time.monotonic() + 1
            while not can_copy() and time.monotonic() < deadline:
                time.sleep(0.001)  # the pool's threads have ended, but the system still lists them

    return results()


def _begin(work: Callable[[Any], Any], parent: int) -> None:
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and lets images finish
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _call(item: Any) -> Any:
    try:
        return _work(item)
    except SystemExit:  # by SIGTERM; the pool would take it for a result and go on
        os._exit(1)


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
