"""How a run handles signals: SIGTERM acts as Ctrl-C, steps are finished, workers ignore both.

Only the main thread gets signals; in other threads nothing here has an effect.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["SIGNALS", "ignore_signals", "interrupts", "postponed", "terminable"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block SIGTERM, which schedulers send at a job's time limit, raises
    KeyboardInterrupt."""
    with _handled(signal.default_int_handler, [signal.SIGTERM]):
        yield


@contextmanager
def interrupts() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that the step is finished; a second signal raises
    KeyboardInterrupt at once."""
    asked = threading.Event()

    def note(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    with _handled(note):
        yield asked


@contextmanager
def postponed() -> Iterator[None]:
    """Ctrl-C and SIGTERM within the block, which must be short, arrive at its end."""
    came: list[int] = []
    try:
        with _handled(lambda number, frame: came.append(number)):
            yield
    finally:
        if came:
            signal.raise_signal(came[0])


@contextmanager
def _handled(
    handler: Callable[[int, Any], Any], kinds: Sequence[signal.Signals] = SIGNALS
) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # None: a handler of the host program that Python could not put back.
    ours = [kind for kind in kinds if signal.getsignal(kind) is not None]
    before = {kind: signal.signal(kind, handler) for kind in ours}
    try:
        yield
    finally:
        for kind, earlier in before.items():
            signal.signal(kind, earlier)


def ignore_signals(_: int) -> None:
    # Ctrl-C reaches every process of the terminal, and the SIGTERM of a scheduler or of torchrun
    # every process of the job; the training loop decides when to stop.
    for kind in SIGNALS:
        signal.signal(kind, signal.SIG_IGN)
