"""Two results of `make bench` beside each other.

    python tests/bench/compare.py OLD.json NEW.json

A change is marked where the ratios of the two files do not overlap and their medians differ by a
tenth or more. What differs between the machines is listed first.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

LEAST = 1.1


def main(argv: list[str]) -> int:
    if len(argv) != 2:
        print("usage: compare.py OLD.json NEW.json", file=sys.stderr)
        return 2
    try:
        old, new = (read(Path(name)) for name in argv)
    except ValueError as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 1
    print("\n".join(table(old, new)))
    return 0


def read(path: Path) -> dict[str, Any]:
    """The content of a file of bench_all.py. Raises ValueError, in one line."""
    try:
        content = json.loads(path.read_text())
        return {
            "machine": dict(content["machine"]),
            "rows": {
                row["work"]: [float(each) for each in row["ratios"]] for row in content["rows"]
            },
        }
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: was not written by bench_all.py --json") from error


def table(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lines of Markdown: what differs between the machines, and every row with both ratios."""
    lines = [
        f"{name}: {old['machine'].get(name, '–')} → {new['machine'].get(name, '–')}"
        for name in sorted({*old["machine"], *new["machine"]})
        if old["machine"].get(name) != new["machine"].get(name)
    ]
    lines += ["", "| work | old | new | new / old | |", "|---|---:|---:|---:|---|"]
    for work in [*old["rows"], *(work for work in new["rows"] if work not in old["rows"])]:
        before, after = old["rows"].get(work), new["rows"].get(work)
        change, mark = "–", ""
        if before and after:
            factor = statistics.median(after) / statistics.median(before)
            change, mark = f"{factor:.2f}", verdict(before, after)
        lines.append(f"| {work} | {shown(before)} | {shown(after)} | {change} | {mark} |")
    return lines


def verdict(before: list[float], after: list[float]) -> str:
    """ "faster" or "slower" beyond the noise of both, else empty."""
    factor = statistics.median(after) / statistics.median(before)
    if min(after) > max(before) and factor >= LEAST:
        return "faster"
    return "slower" if max(after) < min(before) and factor <= 1 / LEAST else ""


def shown(ratios: list[float] | None) -> str:
    if not ratios:
        return "–"
    low, high = min(ratios), max(ratios)
    return f"{low:.2f}×" if low == high else f"{low:.2f}–{high:.2f}×"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
