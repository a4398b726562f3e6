"""What the C library does with freed memory: kept for the next image, or returned to the system.

The commands and the worker processes of a run keep it. The library functions do not, because the
process belongs to their caller.
"""

from __future__ import annotations

import ctypes
from functools import cache

__all__ = ["keep_freed_memory", "return_holes"]

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


def return_holes() -> None:
    """Give the free pages between what is in use back to the system, in a few milliseconds.

    Small results come to lie where large arrays were freed, and what is left there fits no other
    array: without this, a run of ten thousand images takes more than a gigabyte. Has no effect with
    C libraries other than glibc.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return
