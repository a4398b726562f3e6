"""numpy numbers in a file written by torch.save, as plain Python values.

Training scripts store them beside the tensors (a best score, a flag). numpy's own constructors
accept more than numbers, so these replace them when torch loads with weights_only=True.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["NUMBERS"]


class Dtype:
    """Replaces numpy.dtype: the code of a number type, such as "b1" or "f8", and its byte order."""

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        if not (isinstance(code, str) and re.fullmatch("[biuf][1248]", code)):
            raise ValueError("a dtype that is not of a number")
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        if state[1] == ">":
            self.order = ">"


def scalar(dtype: Dtype, data: bytes) -> bool | int | float:
    """Replaces numpy's scalar(dtype, bytes)."""
    if not isinstance(dtype, Dtype) or not isinstance(data, bytes):
        raise ValueError("a numpy scalar that is not a number")
    (value,) = np.frombuffer(data, dtype.order + dtype.code)
    plain: bool | int | float = value.item()
    return plain


# For torch.serialization.safe_globals: the replacement, and the name in the file.
NUMBERS: tuple[tuple[Callable[..., Any], str], ...] = (
    (Dtype, "numpy.dtype"),
    (scalar, "numpy.core.multiarray.scalar"),
    (scalar, "numpy._core.multiarray.scalar"),
)
