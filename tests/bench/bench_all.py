"""All benchmarks in one table: `make bench`. Ratios are measured within one run of each script."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from pathlib import Path

SCRIPTS = ("bench_refine", "bench_metrics", "bench_crf", "bench_maps", "bench_train")
HEAD = ("work", "ours", "reference", "ratio", "agreement")


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}; ratios measured in one run\n"
    )
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for name in SCRIPTS:
        for row in importlib.import_module(name).rows():
            print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
