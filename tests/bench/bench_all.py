"""All benchmarks in one table: `make bench`. Ratios are measured within one run of each script.

    python tests/bench/bench_all.py [--json bench.json] [--rounds 2] [SCRIPT …]

The table is printed, and written as JSON with the machine, for `compare.py`. Each script runs
`rounds` times; the table has the median ratio, the JSON all of them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import statistics
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SCRIPTS = ("bench_refine", "bench_metrics", "bench_crf", "bench_maps", "bench_train")
HEAD = ("work", "ours", "reference", "ratio", "agreement")
PACKAGES = ("numpy", "torch", "numba", "pydensecrf2", "pillow", "scipy", "joblib")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scripts", nargs="*", default=SCRIPTS, metavar="SCRIPT")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    about = machine()
    load = [os.getloadavg()[0]]
    print(f"{about['cpu']}, {about['cores']} cores, Python {about['python']}\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    rows = []
    for name in args.scripts:
        script = importlib.import_module(name)
        for row in merged([script.rows() for _ in range(args.rounds)]):
            rows.append(row)
            print(f"| {' | '.join(str(row[key]) for key in HEAD)} |", flush=True)
        load[1:] = [os.getloadavg()[0]]
        content = {"machine": {**about, "load": load}, "rows": rows}
        args.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    print(f"\nload average {load[0]:.1f} at the start, {load[1]:.1f} at the end; {args.json}")


def merged(rounds: list[list[tuple[Any, ...]]]) -> list[dict[str, Any]]:
    """One row per work, of the rows of all rounds: texts of the last one, and all ratios.

    A row without a ratio, "", stays without.
    """
    rows = []
    for same in zip(*rounds, strict=True):
        found = [row[HEAD.index("ratio")] for row in same]
        ratios = [number(each) for each in found if each]
        row = dict(zip(HEAD, map(str, same[-1]), strict=True))
        ratio = f"{statistics.median(ratios):.2f}×" if ratios else ""
        rows.append({**row, "ratio": ratio, "ratios": ratios})
    return rows


def number(ratio: str) -> float:
    """ "4.7×" or "23 ×" as a number."""
    found = re.fullmatch(r"([\d.]+) ?×", str(ratio))
    if found is None:
        raise ValueError(f"{ratio!r}: expected a ratio such as 4.7×")
    return float(found[1])


def machine() -> dict[str, Any]:
    return {
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := installed(name))},
    }


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
