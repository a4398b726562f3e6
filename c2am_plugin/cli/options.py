"""What the commands' options have in common: checked values and recurring options.

An invalid value is wrong usage in every command: one line and exit code 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import __version__
from ..errors import InputError
from ..runs.shards import Shard

__all__ = [
    "CRF_BACKENDS",
    "Values",
    "add_running",
    "background_score",
    "below_one",
    "boundary",
    "command_parser",
    "count",
    "from_zero",
    "method",
    "parse",
    "positive",
    "probability",
    "score_or_auto",
    "setting",
    "shard",
    "whole",
]

Values = dict[str, Any]

CRF_BACKENDS = ("auto", "numba", "pydensecrf")


def command_parser(
    command: str, description: str, epilog: str = "", **options: Any
) -> argparse.ArgumentParser:
    """A parser with the options that every command has."""
    parser = argparse.ArgumentParser(command, description=description, epilog=epilog, **options)
    parser.add_argument("--version", action="version", version=f"{command} {__version__}")
    parser.add_argument(
        "--quiet",
        action="store_true",
        default=False,
        help="print only warnings, errors and the result",
    )
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> tuple[Values, bool]:
    """The values by argument name, and --quiet. There is a progress bar only on a terminal."""
    values = vars(parser.parse_args(argv))
    quiet = values.pop("quiet")
    values["progress"] = not quiet and sys.stderr.isatty()
    return values, quiet


def score_or_auto(text: str) -> float | str:
    return text if text == "auto" else background_score(text)


def background_score(text: str) -> float:
    return _number(text, lambda value: 0 < value < 1, "a number between 0 and 1")


def below_one(text: str) -> float:
    return _number(text, lambda value: 0 <= value < 1, "a number from 0, below 1")


def probability(text: str) -> float:
    return _number(text, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def from_zero(text: str) -> float:
    return _number(text, lambda value: 0 <= value < float("inf"), "a number from 0")


def positive(text: str) -> float:
    return _number(text, lambda value: 0 < value < float("inf"), "a number above 0")


def count(text: str) -> int:
    return int(_number(text, lambda value: value >= 1 and value % 1 == 0, "a count from 1"))


def whole(text: str) -> int:
    return int(_number(text, lambda value: value >= 0 and value % 1 == 0, "a whole number from 0"))


def boundary(text: str) -> float | str:
    from ..network.boundaries import read_boundary

    try:
        return read_boundary(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def method(text: str) -> str:
    if text == "auto":
        return text
    from ..registry import adapter_names

    if text not in (known := adapter_names()):
        raise argparse.ArgumentTypeError(f"{text!r} is unknown; known are auto, {', '.join(known)}")
    return text


def setting(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER") from None


def shard(text: str) -> str:
    try:
        Shard.parse(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _number(text: str, fits: Callable[[float], bool], expected: str) -> float:
    """A number that `fits`; argparse turns the error into a usage message and exit code 2."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return value


def add_running(
    parser: argparse.ArgumentParser,
    *,
    workers: str = "images processed at once (default: one per core)",
    least_workers: Callable[[str], int] = count,
    overwrite: str = "replace files made with other settings or by another program",
    shards: bool = False,
    device: bool = False,
) -> None:
    """Add the options about where and how a command runs, as the last group of its help."""
    add = parser.add_argument_group("running").add_argument
    if shards:
        add(
            "--shard",
            type=shard,
            metavar="I/N",
            help="process only the I-th of N parts of the images; c2am-merge merges the reports",
        )
    add("--workers", type=least_workers, metavar="N", help=workers)
    if device:
        add(
            "--device",
            metavar="NAME",
            help="cpu, cuda, cuda:1 … (default: a GPU if there is one)",
        )
    if overwrite:
        add("--overwrite", action="store_true", help=overwrite)
