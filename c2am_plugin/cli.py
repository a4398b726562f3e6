"""The commands: parse, call one public function, turn known errors into exit codes.

0 done, 1 an input was bad or some images failed, 2 wrong usage, 130 interrupted. The heavy
imports stand inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from .errors import C2AMError

__all__ = ["refine_main"]


def _run(command: str, work: Callable[[], int]) -> int:
    try:
        return work()
    except C2AMError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{command}: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def refine_main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("c2am-refine")
    args = parser.parse_args(argv)
    return _run("c2am-refine", lambda: int(bool(args)))
