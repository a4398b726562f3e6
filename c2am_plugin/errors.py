"""The exception tree of this package.

Every message is one line for the user: which file, what was found, what was expected, what to do.
It names arguments in backquotes, as Python spells them: `labels`, `calibrate="on"`. The commands
replace the arguments with their own options (cli.wording) and exit with 1. Any other exception is a
bug and keeps its traceback.

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
    """The base class of every error that this package raises deliberately.

    >>> from c2am_plugin import C2AMError, read_cue
    >>> try:
    ...     read_cue("missing/2007_000032.png")
    ... except C2AMError as error:
    ...     print(error)
    missing/2007_000032.png: cannot be read as a cue image (No such file or directory)
    """


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
