"""Options that several commands share, and checks of option values.

An invalid value is wrong usage in every command: one line and exit code 2. The functions `add_…`
take the `add_argument` of the group that they extend.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import __version__
from ..errors import InputError
from ..runs.shards import Shard

__all__ = [
    "Add",
    "Running",
    "Values",
    "add_backbone",
    "add_crf_backend",
    "add_cue_form",
    "add_cue_use",
    "add_method",
    "add_pictures",
    "add_recipe",
    "add_running",
    "add_seed",
    "add_value_range",
    "background_score",
    "below_one",
    "boundary",
    "command_parser",
    "count",
    "from_zero",
    "method",
    "one_or_several",
    "parse",
    "positive",
    "probability",
    "score_or_auto",
    "setting",
    "shard",
    "whole",
]

Values = dict[str, Any]
Add = Callable[..., Any]


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
    parser.add_argument(
        "--log-json",
        metavar="FILE",
        default=None,
        help="append the start, each warning, each image that fails and the end to FILE, as one "
        "JSON object per line",
    )
    return parser


@dataclass(frozen=True)
class Running:
    """How a command runs and reports. arguments: the values by name, for the event log."""

    quiet: bool = False
    log_json: str | None = None
    arguments: Values = field(default_factory=dict)


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> tuple[Values, Running]:
    """The values by argument name, and how to run. Progress bars are shown only on a terminal."""
    values = vars(parser.parse_args(argv))
    quiet, log_json = values.pop("quiet"), values.pop("log_json")
    running = Running(quiet, log_json, dict(values))
    values["progress"] = not quiet and sys.stderr.isatty()
    return values, running


def one_or_several(values: list[str]) -> str | list[str]:
    """A single value instead of a list of one, so that one folder is recorded as one."""
    return values[0] if len(values) == 1 else values


def score_or_auto(text: str) -> float | str:
    return text if text == "auto" else background_score(text)


def background_score(text: str) -> float:
    return _number(text, lambda value: 0 < value < 1, "a number between 0 and 1")


def below_one(text: str) -> float:
    return _number(text, lambda value: 0 <= value < 1, "a number from 0 to below 1")


def probability(text: str) -> float:
    return _number(text, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def from_zero(text: str) -> float:
    return _number(text, lambda value: 0 <= value < float("inf"), "a number, 0 or above")


def positive(text: str) -> float:
    return _number(text, lambda value: 0 < value < float("inf"), "a number above 0")


def count(text: str) -> int:
    return _integer(text, 1, "a whole number above 0")


def whole(text: str) -> int:
    return _integer(text, 0, "a whole number, 0 or above")


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


def _integer(text: str, least: int, expected: str) -> int:
    return int(_number(text, lambda value: value >= least and value % 1 == 0, expected))


def _number(text: str, fits: Callable[[float], bool], expected: str) -> float:
    """A number that `fits`; argparse turns the error into a usage message and exit code 2."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return value


def add_method(add: Add, meaning: str, **default: Any) -> None:
    add("--method", type=method, metavar="NAME", help=meaning, **default)


def add_value_range(add: Add) -> None:
    """Add the options for CAM values outside [0, 1]."""
    add("--clip", action="store_true", help="accept NaN and values above 1 by clipping")
    add(
        "--scale-by", type=float, metavar="MAX", help="the CAM values range from 0 to MAX, e.g. 255"
    )


def add_cue_form(add: Add) -> None:
    """Add the options for cues of another polarity or shape."""
    add("--flip-cues", action="store_true", help="the cues are high on the background")
    add("--stretch-cues", action="store_true", help="accept cues of any shape, e.g. square inputs")


def add_cue_use(add: Add) -> None:
    """Add the options for how cues refine CAMs."""
    add(
        "--strength",
        type=from_zero,
        default=1.0,
        metavar="S",
        help="influence of the cues: 1 as in the paper (default), 0 no influence",
    )
    add(
        "--calibrate",
        choices=("auto", "on", "off"),
        default="auto",
        help="calibrate the cues to your CAMs first (auto: only soft cues of c2am-cues)",
    )
    add("--guard", action="store_true", help="down-weight cues that would erase most of a class")
    add_cue_form(add)


def add_crf_backend(add: Add, **default: Any) -> None:
    add(
        "--crf-backend",
        choices=("auto", "numba", "pydensecrf"),
        help="package that runs the dense CRF (auto: numba, else pydensecrf)",
        **default,
    )


def add_backbone(add: Add, weights: str) -> None:
    """Add the options for a network's backbone. weights: the help of its initial weights."""
    add("--backbone", metavar="NAME", help="torchvision's name, or timm:NAME (default: resnet50)")
    add("--weights", metavar="NAME|FILE", help=weights)


def add_recipe(add: Add, recipes: Iterable[str]) -> None:
    add(
        "--recipe",
        choices=("auto", *recipes),
        help="auto (default) is small for fewer than 2,000 images, else paper",
    )
    add("--epochs", type=count, metavar="N", help="passes over the images")
    add("--lr", type=positive, metavar="X", help="learning rate")


def add_seed(add: Add, pictures: int) -> None:
    """Add --seed and --picture-every. pictures: the default number of steps between pictures."""
    add("--seed", type=whole, metavar="N", help="seed of the random numbers (default: 0)")
    add(
        "--picture-every",
        type=whole,
        metavar="STEPS",
        help=f"steps between pictures; 0: no pictures (default: {pictures})",
    )


def add_pictures(add: Add, kinds: str, count: int) -> None:
    """Add --pictures and --show. count: the default number of images of each of these kinds."""
    add(
        "--pictures",
        type=whole,
        default=count,
        metavar="N",
        help=f"number of images shown of each kind: {kinds} (default: {count})",
    )
    add("--show", action="append", default=[], metavar="ID", help="show this image; repeatable")


def add_running(
    parser: argparse.ArgumentParser,
    *,
    overwrite: str = "replace files made with other settings or by another program",
    shards: bool = False,
    device: bool = False,
    readers: bool = False,
) -> None:
    """Add the options about where and how a command runs, as the last group of its help.

    readers: the workers only read images for a network, so there may be none.
    """
    add = parser.add_argument_group("running").add_argument
    if shards:
        add(
            "--shard",
            type=shard,
            metavar="I/N",
            help="process only the I-th of N parts of the images; c2am-merge merges the reports",
        )
    if readers:
        meaning = "processes that read images; 0: only this one"
        add("--workers", type=whole, metavar="N", help=meaning)
    else:
        meaning = "images processed at once (default: one per core)"
        add("--workers", type=count, metavar="N", help=meaning)
    if device:
        add(
            "--device",
            metavar="NAME",
            help="cpu, cuda, cuda:1 … (default: a GPU if there is one)",
        )
    if overwrite:
        add("--overwrite", action="store_true", help=overwrite)
