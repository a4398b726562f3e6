"""All that signals do to a run: SIGTERM counts as Ctrl-C, steps are finished, workers are deaf."""

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
    """Within the block SIGTERM, by which schedulers end what takes too long, is a
    KeyboardInterrupt. In threads, which get no signals, nothing changes."""
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
    """An event that Ctrl-C and SIGTERM set, so that no step is cut in two; asking twice stops."""
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
    """Within the block SIGINT and SIGTERM, unless ignored, put None into the queue; yields those
    that came.

    An exception out of the blue could leave a lock of the pool held for ever.
    """
    signalled: list[int] = []

    def note(number: int, _: Any) -> None:
        signalled.append(number)
        queue.put(None)

    if (
        threading.current_thread() is not threading.main_thread()
    ):  # which alone may say what signals do
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
    # those of the job; the training loop decides when to stop.
    for kind in SIGNALS:
        signal.signal(kind, signal.SIG_IGN)
