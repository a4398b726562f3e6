"""All that signals do to a run: SIGTERM counts as Ctrl-C, steps are finished, workers are deaf."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["ignore_signals", "interrupts", "terminable"]


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
    before = {kind: signal.signal(kind, note) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def ignore_signals(_: int) -> None:
    # Ctrl-C reaches every process of the terminal, and the SIGTERM of a scheduler or of torchrun
    # those of the job; the training loop decides when to stop.
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.SIG_IGN)
