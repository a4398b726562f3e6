"""What every command does alike: log to stderr, exit codes, the last line."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from ..errors import C2AMError
from ..files.writing import disk_error
from ..runs.memory import keep_freed_memory
from ..runs.signals import terminable
from .wording import as_options

__all__ = ["finish", "print_failures", "run", "say"]


def run(
    parser: argparse.ArgumentParser,
    work: Callable[[], int],
    again: str = "to go on",
    quiet: bool = False,
) -> int:
    """Do the work as a command does. again: what the same command does after an interrupt."""
    keep_freed_memory()  # before there are threads, as each might take an arena of its own
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


def print_failures(
    parser: argparse.ArgumentParser, failures: dict[str, str], report: str | Path
) -> int:
    """Exit code 1 and the first failures, where there are any; 0 otherwise."""
    if not failures:
        return 0
    for message in list(failures.values())[:5]:
        say(parser, message)
    say(parser, f"{len(failures)} images failed; all are listed in {report}")
    return 1


def finish(written: str, report: str | Path | None = None, *following: str | Path) -> None:
    """The last line: what was written and where, and the words of the command that comes next.

    Words in capitals stand for what the person has to fill in.
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
    """Print a message of the library to stderr, as one line of this command."""
    print(_line(parser, message), file=sys.stderr)


def _line(parser: argparse.ArgumentParser, message: str) -> str:
    return _plain(f"{parser.prog}: {as_options(parser, message)}")


def _plain(text: str) -> str:
    """On one line, and without what commands a terminal: names of files may hold anything."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
