"""Keep freed memory in the process, up to its peak, for the next image.

The commands and the worker processes of a run do this. The library functions do not, because the
process belongs to their caller.
"""

from __future__ import annotations

import ctypes
from functools import cache

__all__ = ["keep_freed_memory"]

# M_MMAP_MAX, M_TRIM_THRESHOLD and M_ARENA_MAX of <malloc.h>.
MALLOPT = ((-4, 0), (-1, (1 << 31) - 1), (-8, 1))


@cache
def keep_freed_memory() -> None:
    """Make glibc keep freed memory, for the whole process.

    By default large arrays are mapped anew each time, and small tasks spend up to half of their
    time clearing pages. Has no effect with C libraries other than glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in MALLOPT:
        mallopt(parameter, value)
