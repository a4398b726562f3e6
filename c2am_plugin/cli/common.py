"""What every command does alike: log to stderr, exit codes, values of options."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable

from ..batch import disk_error
from ..errors import C2AMError, InputError
from ..interrupts import terminable
from ..shards import Shard

__all__ = ["count", "cut", "print_failures", "run", "setting", "shard", "strength", "threshold"]


def run(command: str, work: Callable[[], int], again: str = "to go on") -> int:
    """Do the work as a command does. again: what the same command does after an interrupt."""
    log = logging.getLogger("c2am_plugin")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{command}: %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with terminable():
            return work()
    except C2AMError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if not (reason := disk_error(error)):
            raise
        print(f"{command}: {error.filename or 'output'}: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{command}: interrupted; run the same command again {again}", file=sys.stderr)
        return 130
    finally:
        log.removeHandler(handler)


def print_failures(command: str, failures: dict[str, str], report: str) -> int:
    """Exit code 1 and the first failures, where there are any; 0 else."""
    if not failures:
        return 0
    for message in list(failures.values())[:5]:
        print(f"{command}: {message}", file=sys.stderr)
    print(f"{command}: {len(failures)} images failed; all are listed in {report}", file=sys.stderr)
    return 1


def threshold(text: str) -> float:
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
