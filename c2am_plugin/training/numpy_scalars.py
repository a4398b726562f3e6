"""Numbers of numpy in a file of torch.save, as plain Python values.

Training scripts store them beside the tensors (a best score, a flag). numpy's own constructors take
more than numbers, so these stand in for them where torch reads with weights_only=True.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["NUMBERS"]


class Dtype:
    """In the place of numpy.dtype: the code of a number, as "b1" or "f8", and its byte order."""

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        if not (isinstance(code, str) and re.fullmatch("[biuf][1248]", code)):
            raise ValueError("a dtype that is not of a number")
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        if state[1] == ">":
            self.order = ">"


def scalar(dtype: Dtype, data: bytes) -> bool | int | float:
    """In the place of numpy's scalar(dtype, bytes)."""
    if not isinstance(dtype, Dtype) or not isinstance(data, bytes):
        raise ValueError("a numpy scalar that is not a number")
    (value,) = np.frombuffer(data, dtype.order + dtype.code)
    plain: bool | int | float = value.item()
    return plain


# As torch.serialization.safe_globals takes them: what stands in, and the name in the file.
NUMBERS: tuple[tuple[Callable[..., Any], str], ...] = (
    (Dtype, "numpy.dtype"),
    (scalar, "numpy.core.multiarray.scalar"),
    (scalar, "numpy._core.multiarray.scalar"),
)
