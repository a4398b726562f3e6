"""The long fuzzing run: `python tests/robustness/fuzz_long.py [--seed N] [--share F] [KIND …]`.

Prints the README's table: of each kind of file how many broken and hostile ones there were, what
became of them, and the most that one took. Files of findings stay in the folder that it names.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from fuzz_readers import MIB, Tally, kinds, run_cases
from tqdm import tqdm

# Cases of a whole run.
CASES = {"CAM .npy": 25_000, "checkpoint": 1000}
OTHERS = 3000
HEAD = ("file", "cases", "read", "refused", "findings", "slowest, s", "memory, MiB", "of its limit")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    modules = {kind: module for module in ("fuzz_cams", "fuzz_files") for kind in kinds(module)}
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(modules)}; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the cases of a whole run")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="c2am-fuzz-"))
    found = 0
    print(f"| {' | '.join(HEAD)} |\n|---|{'---:|' * (len(HEAD) - 1)}", flush=True)
    for kind in given.kinds or modules:
        count = round(CASES.get(kind, OTHERS) * given.share)
        with tqdm(total=count, desc=kind, unit="file") as bar:
            tally = run_cases(modules[kind], kind, given.seed, range(count), folder, progress=bar)
        print(row(kind, tally), flush=True)
        for number, (done, wrong) in sorted(tally.findings.items()):
            print(f"{kind} {given.seed} {number} ({done}): {wrong}", file=sys.stderr)
        found += len(tally.findings)
    if found:
        print(f"{found} findings; their files are in {folder}", file=sys.stderr)
    return 1 if found else 0


def row(kind: str, tally: Tally) -> str:
    cells = (
        kind,
        f"{tally.cases:,}",
        f"{tally.read:,}",
        f"{tally.refused:,}",
        len(tally.findings),
        f"{tally.seconds:.1f}",
        f"{tally.growth / MIB:.0f}",
        f"{100 * tally.share:.0f} %",
    )
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    raise SystemExit(main())
