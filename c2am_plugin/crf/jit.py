"""Compile loops with numba, once for all processes if its cache is writable. Needs numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["jit", "jit_fused"]


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """`function`, compiled at its first call and kept in numba's cache.

    If both the package and the home folder are read-only, as in a container, there is no cache,
    and each process compiles for itself.
    """
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache is writable
        return numba.njit(**options)(function)


def jit_fused(function: Callable[..., Any]) -> Any:
    """As `jit`; a product and a sum may become one instruction, which rounds once."""
    return jit(function, fastmath={"contract"})
