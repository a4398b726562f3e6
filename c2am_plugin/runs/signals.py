"""How a run handles signals: SIGTERM acts as Ctrl-C, steps are finished, workers ignore both."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

__all__ = ["SIGNALS", "ignore_signals", "interrupts", "signals_into", "terminable"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block SIGTERM, which schedulers send at a job's time limit, raises
    KeyboardInterrupt. Threads other than the main one get no signals; there nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def interrupts() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that the step is finished; a second signal raises
    KeyboardInterrupt at once."""
    asked = threading.Event()

    def note(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {kind: signal.signal(kind, note) for kind in SIGNALS}
    try:
        yield asked
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def signals_into(queue: SimpleQueue[Any]) -> Iterator[list[int]]:
    """Within the block SIGINT and SIGTERM, unless ignored, put None into the queue. Yields the
    list of the signals received.

    An exception at an arbitrary point could leave a lock of the pool held for ever.
    """
    signalled: list[int] = []

    def note(number: int, _: Any) -> None:
        signalled.append(number)
        queue.put(None)

    if threading.current_thread() is not threading.main_thread():  # only it may set handlers
        yield signalled
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield signalled
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals(_: int) -> None:
    # Ctrl-C reaches every process of the terminal, and the SIGTERM of a scheduler or of torchrun
    # every process of the job; the training loop decides when to stop.
    for kind in SIGNALS:
        signal.signal(kind, signal.SIG_IGN)
