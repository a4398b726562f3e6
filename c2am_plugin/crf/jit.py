"""Loops that numba compiles, once for all processes where its cache has a place. Needs numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["jit"]


def jit(function: Callable[..., Any]) -> Any:
    """`function`, compiled at its first call and kept in numba's cache.

    Where the package and the home folder are both read-only, as in a container, there is no cache,
    and each process compiles for itself.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder that could hold the cache is writable
        return numba.njit(**options)(function)
