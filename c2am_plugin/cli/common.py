"""What every command does alike: log to stderr, exit codes, values of options."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable

from ..errors import C2AMError, InputError
from ..files.writing import disk_error
from ..runs.memory import keep_freed_memory
from ..runs.shards import Shard
from ..runs.signals import terminable
from .wording import as_options

__all__ = [
    "background_score",
    "count",
    "cut",
    "print_failures",
    "run",
    "say",
    "score_or_auto",
    "setting",
    "shard",
    "strength",
]


def run(parser: argparse.ArgumentParser, work: Callable[[], int], again: str = "to go on") -> int:
    """Do the work as a command does. again: what the same command does after an interrupt."""
    keep_freed_memory()  # before there are threads, as each might take an arena of its own
    log = logging.getLogger("c2am_plugin")
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(parser))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
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


def print_failures(parser: argparse.ArgumentParser, failures: dict[str, str], report: str) -> int:
    """Exit code 1 and the first failures, where there are any; 0 else."""
    if not failures:
        return 0
    for message in list(failures.values())[:5]:
        say(parser, message)
    say(parser, f"{len(failures)} images failed; all are listed in {report}")
    return 1


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


def score_or_auto(text: str) -> float | str:
    return text if text == "auto" else background_score(text)


def background_score(text: str) -> float:
    return _number(text, lambda value: 0 < value < 1, "a number between 0 and 1")


def cut(text: str) -> float:
    return _number(text, lambda value: 0 <= value < 1, "a number from 0, below 1")


def strength(text: str) -> float:
    return _number(text, lambda value: 0 <= value < float("inf"), "a number from 0")


def setting(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER") from None


def count(text: str) -> int:
    return int(_number(text, lambda value: value >= 1 and value % 1 == 0, "a count from 1"))


def shard(text: str) -> str:
    try:
        Shard.parse(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _number(text: str, fits: Callable[[float], bool], expected: str) -> float:
    """An option's value; argparse turns the error into a usage message and exit code 2."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return value
