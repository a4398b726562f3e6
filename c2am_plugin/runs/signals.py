"""How a run handles signals: SIGTERM acts as Ctrl-C, steps are finished, workers ignore both."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["SIGNALS", "ignore_signals", "interrupts", "terminable"]

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


def ignore_signals(_: int) -> None:
    # Ctrl-C reaches every process of the terminal, and the SIGTERM of a scheduler or of torchrun
    # every process of the job; the training loop decides when to stop.
    for kind in SIGNALS:
        signal.signal(kind, signal.SIG_IGN)
