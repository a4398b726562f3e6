"""What can go wrong, as one small tree.

Every message is one line for the person at the keyboard: which file, what was found, what was
expected, what to do. It names arguments in backquotes, as Python calls them: `labels`,
`calibrate="on"`. The commands print it with their own options in their places (cli.common) and
exit with 1; anything that is not a C2AMError is a bug and keeps its traceback.

    C2AMError
    ├── InputError           a file, folder or argument is not as it should be; also a ValueError
    │   └── UnsafeFileError  a file asked to run code when it is read
    ├── OutputError          writing would destroy or mix what is already there
    ├── TrainingError        training cannot go on, or its result would be worthless
    ├── LostRank             another process of a run under torchrun has ended
    └── MissingDependency    an optional package is needed and absent
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
    """The base of every error that this package raises on purpose."""


class InputError(C2AMError, ValueError):
    """A file, folder or argument is not as it should be."""


class UnsafeFileError(InputError):
    """A file names code that it wants run when it is read; nothing of it was run."""


class OutputError(C2AMError):
    """Writing would destroy or mix what is already there."""


class TrainingError(C2AMError):
    """Training cannot go on, or its result would be worthless."""


class LostRank(C2AMError):
    """Another process of a run under torchrun has ended, or cannot be reached."""


class MissingDependency(C2AMError):
    """An optional package is needed for this and is not installed."""
