"""What freed memory does next: it stays with the process, up to its peak, for the next image.

The commands ask for that, and the worker processes of a run. The functions of the library do not:
the process that calls them is not theirs.
"""

from __future__ import annotations

import ctypes
from functools import cache

__all__ = ["keep_freed_memory"]

# M_MMAP_MAX, M_TRIM_THRESHOLD and M_ARENA_MAX of <malloc.h>.
MALLOPT = ((-4, 0), (-1, (1 << 31) - 1), (-8, 1))


@cache
def keep_freed_memory() -> None:
    """Let glibc keep what was freed. The effect is on the whole process.

    By default large arrays are mapped anew each time, and up to half of the time of small work
    goes into clearing their pages. C libraries other than glibc are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in MALLOPT:
        mallopt(parameter, value)
