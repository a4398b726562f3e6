"""Shared by all commands: logging to stderr, exit codes, the last line."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ..errors import C2AMError
from ..files.writing import disk_error
from ..runs.memory import keep_freed_memory
from ..runs.signals import terminable
from .wording import as_options

__all__ = ["conclude", "finish", "print_failures", "run", "say"]


def run(
    parser: argparse.ArgumentParser,
    work: Callable[[], int],
    again: str = "to continue",
    quiet: bool = False,
) -> int:
    """Run a command's work and return its exit code.

    again: what running the same command does after an interrupt, for the message.
    """
    keep_freed_memory()  # before any thread starts, as each may get its own memory arena
    log = logging.getLogger("c2am_plugin")
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(parser))
    log.addHandler(handler)
    before = log.level
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        with terminable():
            return work()
    except C2AMError as error:
        say(parser, str(error))
        return 1
    except OSError as error:
        if not (reason := disk_error(error)):
            raise
        say(parser, f"{error.filename or 'output'}: {reason}")
        return 1
    except KeyboardInterrupt:
        say(parser, f"interrupted; run the same command again {again}")
        return 130
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


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
