"""Readers that do wrong with a file of "bad", for the tests of the harness itself."""

from __future__ import annotations

import os
import pickle
import random
import signal
from itertools import count
from pathlib import Path

from fuzz_readers import MIB, Kind

from c2am_plugin.errors import InputError

__all__ = ["KINDS"]


def divide(_: Path) -> None:
    raise ZeroDivisionError


def refuse(message: str) -> None:
    raise InputError(message)


def spin(_: Path) -> None:
    for _ in count():
        pass


SINS = {
    "none": lambda path: refuse(f"{path}: is bad"),
    "code": lambda path: os.system("true"),
    "pickle": lambda path: pickle.loads(b"cposix\nsystem\n."),
    "import": lambda path: __import__("this"),
    "another file": lambda path: Path(__file__).read_bytes(),
    "memory": lambda path: bytes(b"x" * 40 * MIB),
    "exception": divide,
    "crash": lambda path: signal.raise_signal(signal.SIGSEGV),
    "time": spin,
    "long message": lambda path: refuse(f"{path}: {'x' * 5000}"),
    "control characters": lambda path: refuse(f"{path}: \x1b[2J"),
    "no name": lambda path: refuse("a file is bad"),
    "wrong value": lambda path: (_ for _ in ()).throw(AssertionError),
}


def draw(rng: random.Random) -> tuple[str, bytes]:
    return "drawn", rng.choice((b"good", b"bad"))


def kind_of(sin: str) -> Kind:
    def read(path: Path) -> None:
        if path.read_bytes() == b"bad":
            SINS[sin](path)

    return Kind(".bin", draw, read, lambda: (b"good",), factor=1, base=16 * MIB, seconds=1)


KINDS = {sin: kind_of(sin) for sin in SINS}
