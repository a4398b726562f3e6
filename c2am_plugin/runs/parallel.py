"""Process many images: in parallel, with progress and a list of failures.

Knows items and their ids, not what the files contain. Every command of the package uses
`hold_folders` (may this run write here?), `run_images` (the work) and `atomic_path` (no
half-written files).
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from multiprocessing import current_process
from threading import Condition, Thread, get_ident
from typing import Any, Protocol, TypeVar

from ..errors import C2AMError, InputError
from .events import tell_failed, tell_finished
from .memory import keep_freed_memory, return_holes

__all__ = ["BatchResult", "Item", "run_images"]


class Item(Protocol):
    """What the work on one image needs: its id and, usually, the paths of its files.

    It is sent to other processes, so it must be small and picklable.
    """

    @property
    def image_id(self) -> str: ...


I = TypeVar("I", bound=Item)  # noqa: E741
T = TypeVar("T")

# joblib's processes, which import everything again, are used from this many images on.
MIN_IMAGES_FOR_PROCESSES = 200
# After this many images, memory between their results is returned.
BETWEEN_RETURNS = 100
# Images sent to a cluster at once; few enough for the progress bar to move.
PART = 2000


@dataclass
class BatchResult:
    """The outcome of a run over images: results by id, failures as {id: one line}, and seconds."""

    results: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def run_images(
    work: Callable[[I], T],
    items: Sequence[I],
    *,
    workers: int | None = None,
    title: str = "images",
    prefer: str = "threads",
    progress: bool = True,
) -> BatchResult:
    """Call `work(item)` for every item, in parallel, with one progress bar on stderr.

    workers: None for one per core. prefer: "threads" if the work releases the GIL, otherwise
    "processes" (then `work` must be picklable). Processes are used if there are enough images to
    be worth their start-up time. joblib.parallel_config overrides both. Another process is sent
    `work` and one item per image, so `work` should not contain the paths of single images.
    An image that fails does not stop the run; its error is kept by id. Raises C2AMError if the
    system kills a worker process.
    """
    from tqdm import tqdm

    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}; expected at least 1")
    outcome = BatchResult()
    start = time.perf_counter()
    hand = _Hand()
    options = {"total": len(items), "desc": title, "unit": "image", "miniters": 1}
    try:
        with (
            _start(work, items, workers, prefer, hand) as results,
            tqdm(**options, disable=not progress) as bar,
        ):
            for count, (image_id, result, failure) in enumerate(results, start=1):
                if failure is None:
                    outcome.results[image_id] = result
                else:
                    outcome.failures[image_id] = failure
                    tell_failed(image_id, failure)
                bar.update()
                if count % BETWEEN_RETURNS == 0:
                    return_holes()
    except BrokenProcessPool as error:
        raise C2AMError(
            f"{title}: the system killed a worker process, most often because memory ran out; "
            f"{len(outcome.results)} of {len(items)} images are done. Run the same command again "
            "to continue, preferably with fewer `workers`"
        ) from error
    except BaseException:
        hand.stop()
        raise
    outcome.results = dict(sorted(outcome.results.items()))
    outcome.failures = dict(sorted(outcome.failures.items()))
    outcome.seconds = time.perf_counter() - start
    tell_finished(title, len(outcome.results), len(outcome.failures))
    return outcome


def _start(
    work: Callable[[I], T], items: Sequence[I], workers: int | None, prefer: str, hand: _Hand
) -> AbstractContextManager[Iterator[tuple[str, T | None, str | None]]]:
    """Begin the work: yields (id, result, failure) per finished image, in arbitrary order."""
    # A caller that loaded joblib may have configured a backend.
    if workers == 1 and "joblib" not in sys.modules:
        return closing(_attempt(hand, work, item) for item in items)

    from joblib import Parallel, delayed

    if len(items) < MIN_IMAGES_FOR_PROCESSES:
        prefer = "threads"
    me = os.getpid()
    calls = (delayed(_joblib_attempt)(me, hand, work, item) for item in items)
    try:
        parallel = Parallel(workers or -1, prefer=prefer, return_as="generator_unordered")
        return closing(parallel(calls))
    except ValueError:  # Dask's backend returns all results at once
        return closing(_in_parts(Parallel(workers or -1), calls))


def _in_parts(parallel: Any, calls: Iterator[Any]) -> Generator[Any, None, None]:
    """The results of a joblib backend that returns lists, PART calls at a time."""
    while part := list(islice(calls, PART)):
        yield from parallel(part)


class _Hand:
    """Counts the images that threads of this process are working on; `stop` starts no more."""

    def __init__(self) -> None:
        self.images, self.stopped, self.changed = 0, False, Condition()
        self.owner = get_ident()  # interrupts reach only this thread, and also end its image

    def __reduce__(self) -> tuple[type[_Hand], tuple[()]]:
        return _Hand, ()  # joblib ends other processes itself

    def stop(self) -> None:
        """Wait for the images in progress: interrupted threads would leave temporary files."""
        with self.changed:
            self.stopped = True
            self.changed.wait_for(lambda: self.images == 0)

    def __enter__(self) -> None:
        self._count(1)

    def __exit__(self, *_: object) -> None:
        self._count(-1)

    def _count(self, step: int) -> None:
        if get_ident() != self.owner:
            with self.changed:
                self.images += step
                self.changed.notify_all()


def _joblib_attempt(
    parent: int, hand: _Hand, work: Callable[[I], T], item: I
) -> tuple[str, T | None, str | None]:
    if os.getppid() == parent:
        keep_freed_memory()
        _end_with(parent)
    elif os.getpid() != parent and current_process().name.startswith("LokyProcess"):
        os._exit(1)  # a joblib worker that started after its run had ended
    return _attempt(hand, work, item)


def _attempt(hand: _Hand, work: Callable[[I], T], item: I) -> tuple[str, T | None, str | None]:
    image_id = item.image_id
    try:
        with hand:
            return image_id, None if hand.stopped else work(item), None
    except C2AMError as error:
        message = " ".join(str(error).split("\n"))
        named = re.search(rf"(?<!\w){re.escape(image_id)}(?!\w)", message)
        return image_id, None, message if named else f"{image_id}: {message}"
    except Exception as error:
        message = " ".join(str(error).split())
        return image_id, None, f"{image_id}: {type(error).__name__}: {message}"


@cache
def _end_with(parent: int) -> None:
    """In a worker process of joblib: exit soon after the run ends.

    joblib's workers outlive a killed run. They would continue to write into a folder that the next
    run has locked.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
