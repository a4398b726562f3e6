"""Feeds broken and hostile files to a reader, in a process of its own that is watched and limited.

A case is made from a kind, a seed and a number alone, so each can be made again. Of every file the
reader must either give something valid or raise InputError, with one line that names the file.
Anything else is a finding: another exception, a process that dies, code that is imported or run, a
file that is opened beside the one that was named, more memory or processor time than allowed.

Run as a program this is that process; `run_cases` starts it and goes on behind a case that ends it.
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["Kind", "Tally", "case", "kinds", "run_cases"]

MIB = 2**20
# What the whole process may map beyond what it has at the start: only so that nothing else suffers.
CEILING = 6 * 2**30
LONGEST_MESSAGE = 600
# Events that are no harm: looking into a stack or an object, parsing a literal without running it,
# arrays, and the one file as an array.
HARMLESS = {"compile", "sys._getframe", "object.__getattr__", "builtins.id"}
HARMLESS |= {"array.__new__", "mmap.__new__"}


@dataclass(frozen=True)
class Kind:
    """One sort of file and what reads it.

    make    draws a case: (what was done, the bytes)
    read    reads a file and checks what comes out; raises InputError where it is refused
    samples a file that must be read, and some that the reader may refuse
    weight  how much of a file counts for its memory: its size, and the pixels that it declares
    memory may grow by `factor` × weight + `base` bytes; `seconds` of processor time are enough
    """

    suffix: str
    make: Callable[[random.Random], tuple[str, bytes]]
    read: Callable[[Path], None]
    samples: Callable[[], tuple[bytes, ...]]
    factor: int
    base: int
    seconds: int = 10
    weight: Callable[[Path], int] = lambda path: path.stat().st_size


@dataclass
class Tally:
    """What became of many cases. findings: {number: (what was done, what went wrong)}.

    seconds is of processor time; growth is the largest in bytes, share the largest share of what
    was allowed.
    """

    cases: int = 0
    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    growth: int = 0
    share: float = 0.0
    findings: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add(self, number: int, line: dict[str, Any]) -> None:
        self.cases += 1
        self.read += line["outcome"] == "read"
        self.refused += line["outcome"] == "refused"
        self.seconds = max(self.seconds, line["seconds"])
        self.growth = max(self.growth, line["growth"])
        self.share = max(self.share, line["growth"] / line["allowed"])
        if line["outcome"] not in ("read", "refused"):
            self.findings[number] = (line["name"], line["outcome"])


def kinds(module: str) -> dict[str, Kind]:
    """The kinds that a module of cases names."""
    found: dict[str, Kind] = import_module(module).KINDS
    return found


def case(module: str, kind: str, seed: int, number: int) -> tuple[str, bytes]:
    """One case again: (what was done, the bytes)."""
    return kinds(module)[kind].make(random.Random(f"{kind} {seed} {number}"))


def run_cases(
    module: str, kind: str, seed: int, numbers: range, folder: Path, *, progress: Any = None
) -> Tally:
    """Run the cases of these numbers. Files of findings are kept in `folder`."""
    tally, start = Tally(), numbers.start
    # Freed memory goes back at once, so that what the next case takes is seen.
    environment = {
        **os.environ,
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "65536",
    }
    environment |= {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    while start < numbers.stop:
        command = [
            sys.executable,
            __file__,
            module,
            kind,
            *map(str, (seed, start, numbers.stop)),
            str(folder),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            assert child.stdout is not None
            for text in child.stdout:
                line = json.loads(text)
                start = line["number"] + 1
                tally.add(line["number"], line)
                if progress is not None:
                    progress.update()
        if child.returncode:
            # What ended it is the case that gave no line.
            name = case(module, kind, seed, start)[0]
            tally.cases += 1
            tally.findings[start] = (name, f"the process ended with {child.returncode}")
            start += 1
    for number in tally.findings:
        keep = folder / f"{kind}-{seed}-{number}{kinds(module)[kind].suffix}"
        keep.write_bytes(case(module, kind, seed, number)[1])
    return tally


# --- the process that reads ----------------------------------------------------------------------


class Watch:
    """Notes what an audit hook hears while a file is read, and stops it."""

    def __init__(self) -> None:
        self.path: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.path is None or event in HARMLESS:
            return
        # Where a header is no Python, newer Pythons look for "<string>" to quote its source.
        known = (self.path, "<string>")
        if event == "open" and str(arguments[0]) in known and arguments[1] in ("r", "rb", None):
            return
        path, self.path = self.path, None  # not while it is told
        self.seen.append(f"{event} {str(arguments)[:200]}")
        self.path = path
        raise RuntimeError(f"{event} is not allowed here")


def memory_now() -> tuple[int, int]:
    """(resident now, the highest since `forget_peak`), in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def read_watched(kind: Kind, path: Path, watch: Watch) -> dict[str, Any]:
    """One case: its outcome ("read", "refused" or what went wrong), seconds and memory."""
    from c2am_plugin.errors import InputError

    allowed = kind.factor * kind.weight(path) + kind.base
    gc.collect()
    forget_peak()
    before, started = memory_now()[0], time.process_time()
    resource.setrlimit(
        resource.RLIMIT_CPU, (int(started) + kind.seconds + 1, resource.RLIM_INFINITY)
    )
    watch.seen, watch.path = [], str(path)
    try:
        kind.read(path)
        outcome = "read"
    except InputError as error:
        outcome = check_message(str(error), path)
    except Exception as error:
        outcome = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    finally:
        watch.path = None
    seconds, growth = time.process_time() - started, memory_now()[1] - before
    if watch.seen:
        outcome = f"did {watch.seen}"
    elif growth > allowed:
        outcome = f"took {growth / MIB:.0f} MiB of {allowed / MIB:.0f}"
    return {"outcome": outcome, "seconds": seconds, "growth": growth, "allowed": allowed}


def check_message(message: str, path: Path) -> str:
    """ "refused" for a message as it should be: short, one line, with the file's name."""
    rest = message.replace(str(path), "")
    if rest == message:
        return f"no file is named: {message[:200]}"
    if len(rest) > LONGEST_MESSAGE or any(char < " " or char == "\x7f" for char in rest):
        return f"a message of {len(rest)} characters: {rest[:200]!r}"
    return "refused"


def main(module: str, name: str, seed: int, first: int, last: int, folder: Path) -> None:
    warnings.simplefilter("ignore")
    kind, watch = kinds(module)[name], Watch()
    path = folder / f"now-{os.getpid()}{kind.suffix}"
    warm_up(kind, path)
    gc.collect()
    gc.freeze()
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + CEILING,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(first, last):
        done, data = case(module, name, seed, number)
        path.write_bytes(data)
        del data
        line = read_watched(kind, path, watch)
        print(json.dumps({"number": number, "name": done, **line}), flush=True)
    path.unlink()


def warm_up(kind: Kind, path: Path) -> None:
    """What is imported on first use is imported before anybody watches."""
    good, *others = kind.samples()
    path.write_bytes(good)
    kind.read(path)
    for bad in (b"", good[: len(good) // 2], b"text", bytes(300), *others):
        path.write_bytes(bad)
        try:
            kind.read(path)
        except Exception:  # it is the cases that are judged
            continue


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:6]), Path(sys.argv[6]))
