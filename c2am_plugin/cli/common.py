"""Shared by all commands: logging to stderr, exit codes, the last line."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import C2AMError
from ..files.writing import disk_error
from ..runs.events import tell_failed, tell_result
from ..runs.memory import keep_freed_memory
from ..runs.signals import terminable
from .options import Running
from .wording import as_options

if TYPE_CHECKING:
    from .event_log import EventLog

__all__ = ["conclude", "finish", "print_failures", "run", "say"]

AS_USUAL = Running()


def run(
    parser: argparse.ArgumentParser,
    work: Callable[[], int],
    running: Running = AS_USUAL,
    again: str = "to continue",
) -> int:
    """Run a command's work and return its exit code.

    again: what running the same command does after an interrupt, for the message.
    """
    keep_freed_memory()  # before any thread starts, as each may get its own memory arena
    log = logging.getLogger("c2am_plugin")
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING if running.quiet else logging.INFO)
    handler.setFormatter(_OneLine(parser))
    with ExitStack() as stack:
        _attach(stack, log, handler)
        stack.callback(log.setLevel, log.level)
        log.setLevel(handler.level)
        try:
            events = _event_log(parser, running)
        except C2AMError as error:
            say(parser, str(error))
            return 1
        if events is not None:
            log.setLevel(logging.DEBUG)
            _attach(stack, log, events)
        return _work(parser, work, again, events)


def _work(
    parser: argparse.ArgumentParser, work: Callable[[], int], again: str, events: EventLog | None
) -> int:
    status, message = 1, ""
    try:
        with terminable():
            status = work()
    except C2AMError as error:
        message = str(error)
    except OSError as error:
        message = str(error)
        if not (reason := disk_error(error)):
            raise
        message = f"{error.filename or 'output'}: {reason}"
    except KeyboardInterrupt:
        status, message = 130, f"interrupted; run the same command again {again}"
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
        raise
    finally:
        if events is not None:
            events.end(status, message)
    if message:
        say(parser, message)
    return status


def _attach(stack: ExitStack, log: logging.Logger, handler: logging.Handler) -> None:
    log.addHandler(handler)
    stack.callback(log.removeHandler, handler)


def _event_log(parser: argparse.ArgumentParser, running: Running) -> EventLog | None:
    if running.log_json is None:
        return None
    from .event_log import EventLog

    return EventLog(
        running.log_json,
        parser.prog,
        running.arguments,
        lambda message: as_options(parser, message),
        lambda message: say(parser, message),
    )


class Report(Protocol):
    """The report of a run over many images."""

    failures: dict[str, str]

    def summary(self) -> str: ...


def conclude(
    parser: argparse.ArgumentParser,
    report: Report,
    record: str | Path,
    written: str,
    *following: str | Path,
) -> int:
    """Print a report's summary, its failures and the last line; return the exit code.

    record: the file that the report is stored in. written, following: see `finish`.
    """
    print(as_options(parser, report.summary()))
    code = print_failures(parser, report.failures, record)
    finish(written, record, *following)
    return code


def print_failures(
    parser: argparse.ArgumentParser, failures: dict[str, str], report: str | Path
) -> int:
    """Print the first failures and return exit code 1; return 0 where there are none."""
    if not failures:
        return 0
    for image_id, reason in failures.items():
        tell_failed(image_id, reason)
    for message in list(failures.values())[:5]:
        say(parser, message)
    say(parser, f"{len(failures)} images failed; all are listed in {report}")
    return 1


def finish(written: str, report: str | Path | None = None, *following: str | Path) -> None:
    """Print the last line: what was written and where, and the next command as separate words.

    Words in capitals are placeholders for the user to fill in.
    """
    where = f" (report: {report})" if report else ""
    command = " ".join(shlex.quote(str(word)) for word in following)
    print(_plain(f"wrote {written}{where}" + (f"; next: {command}" if command else "")))
    tell_result(written, command)


class _OneLine(logging.Formatter):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser

    def format(self, record: logging.LogRecord) -> str:
        return _line(self.parser, super().format(record))


def say(parser: argparse.ArgumentParser, message: str) -> None:
    """Print a library message to stderr as one line, in the words of this command."""
    print(_line(parser, message), file=sys.stderr)


def _line(parser: argparse.ArgumentParser, message: str) -> str:
    return _plain(f"{parser.prog}: {as_options(parser, message)}")


def _plain(text: str) -> str:
    """One line without terminal control characters, as file names may contain any character."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
