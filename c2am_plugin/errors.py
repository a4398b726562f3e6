"""The exception tree of this package.

Every message is one line for the user: which file, what was found, what was expected, what to do.
It names arguments in backquotes, as Python spells them: `labels`, `calibrate="on"`. The commands
put their own options in place of the arguments (cli.common) and exit with 1. Anything that is not
a C2AMError is a bug and keeps its traceback.

    C2AMError
    ├── InputError           a file, folder or argument is invalid; also a ValueError
    │   └── UnsafeFileError  a file asks to run code when it is loaded
    ├── OutputError          writing would destroy existing files or mix with them
    ├── TrainingError        training cannot continue, or its result would be worthless
    ├── LostRank             another process of a run under torchrun has ended
    └── MissingDependency    a required optional package is not installed
"""

from __future__ import annotations

__all__ = [
    "C2AMError",
    "InputError",
    "LostRank",
    "MissingDependency",
    "OutputError",
    "TrainingError",
    "UnsafeFileError",
]


class C2AMError(Exception):
    """The base class of every error that this package raises deliberately."""


class InputError(C2AMError, ValueError):
    """A file, folder or argument is invalid."""


class UnsafeFileError(InputError):
    """A file asks to run code when it is loaded; none of that code was run."""


class OutputError(C2AMError):
    """Writing would destroy existing files or mix with them."""


class TrainingError(C2AMError):
    """Training cannot continue, or its result would be worthless."""


class LostRank(C2AMError):
    """Another process of a run under torchrun has ended, or cannot be reached."""


class MissingDependency(C2AMError):
    """A required optional package is not installed."""
