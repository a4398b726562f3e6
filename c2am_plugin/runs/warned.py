"""What a run warned of, kept for its report: the same lines that are logged.

Knows the package's logger, not what the warnings are about.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["keeps_warnings", "warnings_so_far"]

P = ParamSpec("P")
R = TypeVar("R")

# Of the run in this thread, so that two runs at once do not mix.
_lines: ContextVar[list[str] | None] = ContextVar("warnings of the run", default=None)


class _Keeper(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        lines = _lines.get()
        if lines is not None:
            lines.append(record.getMessage())
        # Where nobody else listens, Python prints warnings; this handler must not end that.
        listeners = [*logging.getLogger("c2am_plugin").handlers, *logging.getLogger().handlers]
        if listeners == [self] and logging.lastResort:
            logging.lastResort.handle(record)


_keeper = _Keeper(logging.WARNING)


def keeps_warnings(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose warnings `warnings_so_far` returns while it runs."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        logging.getLogger("c2am_plugin").addHandler(_keeper)  # a second time changes nothing
        token = _lines.set([])
        try:
            return function(*args, **kwargs)
        finally:
            _lines.reset(token)

    return call


def warnings_so_far() -> list[str]:
    """The warnings of the innermost run in this thread, in order, each once."""
    return list(dict.fromkeys(_lines.get() or ()))
