"""One way to run many images: parallel, resumable, with progress and a list of failures.

Knows folders, ids and files, not what is in them. Every command of the package goes through
`claim_folders` (may I write here?), `run_images` (do it) and `atomic_path` (all or nothing).
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import current_process
from pathlib import Path
from threading import Condition, get_ident
from typing import Any, TypeVar

from ..errors import C2AMError, InputError, OutputError
from .memory import keep_freed_memory
from .processes import can_copy, end_with, run_in_copies

__all__ = [
    "IMAGE_SUFFIXES",
    "BatchResult",
    "atomic_path",
    "disk_error",
    "find_files",
    "first_names",
    "read_ids",
    "record_path",
    "run_images",
    "walk",
    "write_json",
]

T = TypeVar("T")

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
TEMPORARY = ".c2am-tmp"
# The disk is full, the quota or a limit is reached, it is read-only, or it is broken; or a folder
# has the name of the file.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EISDIR)
# A copy of this process pays for so many images; joblib's processes, which start anew, for so many.
COPIES_PAY, PROCESSES_PAY = 8, 200
# So many folders behind two links or more are no data set.
MOST_FAR = 4096
# On a cluster: so many images are sent at once, so that the progress bar moves.
PART = 2000


def first_names(names: Iterable[str], count: int = 5) -> str:
    """The first few of many names, for a message of one line."""
    names = sorted(names)
    rest = len(names) - count
    shown = [n if len(n) <= 200 and n.isprintable() else ascii(n)[:200] for n in names[:count]]
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def find_files(folder: str | Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """{image id: path} of a folder's files, sorted by id, from one walk (links are followed).

    The id is the path below the folder without the suffix ("2007_000032", "val/0001"). Hidden
    files are passed over. Raises InputError where the folder is missing or two files share an id.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for root, prefix, names in walk(folder):
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() not in suffixes or name.startswith("."):
                continue
            image_id = prefix + stem
            if image_id in found:
                raise InputError(
                    f"{folder}: {found[image_id].name} and {name} share the id {image_id}; keep one"
                )
            found[image_id] = Path(root, name)
    return dict(sorted(found.items()))


def walk(folder: str | Path) -> Iterator[tuple[str, str, list[str]]]:
    """(path, the same below `folder` with "/" at its end or empty, file names) of every folder.

    Links are followed, hidden folders are passed over; what is not there holds nothing. Raises
    InputError for a folder that cannot be listed, and for a maze of links.
    """
    # The links that lead to a folder, resolved: where folders link to each other, no way is gone
    # in circles, but the ways are too many.
    behind: dict[str, tuple[str, ...]] = {}
    far = 0
    for root, folders, names in os.walk(folder, followlinks=True, onerror=_raise_unreadable):
        links = behind.pop(root, ())
        far += len(links) > 1
        if far > MOST_FAR:
            raise InputError(f"{folder}: its folders link to each other in too many ways")
        folders[:] = [each for each in folders if not each.startswith(".")]
        for name in list(folders):
            path = os.path.join(root, name)
            if os.path.islink(path):
                target = os.path.realpath(path)
                if target in links or _lies_in(root, target):
                    folders.remove(name)
                    continue
                behind[path] = (*links, target)
            elif links:
                behind[path] = links
        below = os.path.relpath(root, folder).replace(os.sep, "/")
        yield root, "" if below == "." else below + "/", names


def _lies_in(path: str, folder: str) -> bool:
    return (os.path.realpath(path) + os.sep).startswith(folder + os.sep)


def _raise_unreadable(error: OSError) -> None:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror})") from error


def read_ids(path: str | Path) -> list[str]:
    """The image ids of a list file, one a line, in order, without repeats.

    Blank lines and Windows line ends are no matter. The lists of PSA and SEAM, whose lines are
    "/JPEGImages/ID.jpg /SegmentationClassAug/ID.png", are read as ID. Raises InputError.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read as a list of image ids ({reason})") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); "
            "expected one image id a line: save the list as UTF-8"
        ) from error
    ids = [_id_of_line(line.strip()) for line in text.splitlines() if line.strip()]
    if not ids:
        raise InputError(f"{path}: holds no image id; expected one a line")
    if any(char < " " or char == "\x7f" for name in ids for char in name):
        raise InputError(f"{path}: is not a text file; expected one image id a line")
    if outside := [name for name in ids if not name or ".." in name.split("/")]:
        raise InputError(
            f"{path}: {outside[0][:80]!r} is no image id; expected a name below the folder"
        )
    return list(dict.fromkeys(ids))


def _id_of_line(line: str) -> str:
    if line.startswith("/"):
        return Path(line.split()[0]).stem
    stem, suffix = os.path.splitext(line)
    return stem if suffix.lower() in IMAGE_SUFFIXES else line


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well, else removed.

    So a file is never visible half-written under its own name. Missing folders are made. Raises
    OutputError where the disk is full or cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # At random, as processes of the same number on two machines may write into one folder.
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}{TEMPORARY}")
    try:
        yield temporary
        os.replace(temporary, path)
    except Exception as error:
        if reason := disk_error(error):
            raise OutputError(f"{path}: cannot be written ({reason})") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def disk_error(error: BaseException | None) -> str | None:
    """What a full, read-only or broken disk says where that is behind an error; else None.

    torch and Pillow raise errors of their own on the way out of a write that failed.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return error.strerror
        error = error.__context__
    return None


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. Raises OutputError."""
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def record_path(folder: str | Path, command: str, shard: str = "") -> Path:
    """Where a run's settings and report are kept: beside the folder, which holds results only.

    shard: the name of the part of the run whose report is meant.
    """
    folder = Path(os.path.abspath(folder))
    return folder.with_name(".".join(filter(None, (folder.name, command, shard, "json"))))


@dataclass
class BatchResult:
    """What a run over images gave: results by id, failures as {id: one line}, and seconds."""

    results: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def run_images(
    work: Callable[[str], T],
    ids: Sequence[str],
    *,
    workers: int | None = None,
    title: str = "images",
    prefer: str = "threads",
    progress: bool = True,
) -> BatchResult:
    """Call `work(image_id)` for every id, in parallel, with one progress bar on stderr.

    workers: None for one a core. prefer: "threads" where the work releases the GIL, "processes"
    where it does not (then `work` must be picklable) and there are images enough to pay for
    starting them: copies of this process where it may be copied and joblib is not in use, else
    joblib's. joblib.parallel_config overrides both. `work.only(image_id)`, where there is
    such a method, is the same work with what one image needs: that travels to other processes.
    An image that fails does not stop the run; its error is kept by id. Raises C2AMError where the
    system kills a worker process.
    """
    from tqdm import tqdm

    class Bar(tqdm):
        monitor_interval = 0  # a thread, beside which the next run could not be copied

    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}; expected at least 1")
    outcome = BatchResult()
    start = time.perf_counter()
    keep_freed_memory()  # before there are threads, as each might take an arena of its own
    hand = _Hand()
    options = {"total": len(ids), "desc": title, "unit": "image", "miniters": 1}
    try:
        with (
            _start(work, ids, workers, prefer, hand) as results,
            Bar(**options, disable=not progress) as bar,
        ):
            for image_id, result, failure in results:
                if failure is None:
                    outcome.results[image_id] = result
                else:
                    outcome.failures[image_id] = failure
                bar.update()
    except BrokenProcessPool as error:
        raise C2AMError(
            f"{title}: the system killed a worker process, most often because memory ran out; "
            f"{len(outcome.results)} of {len(ids)} images are done. Run the same command again to "
            "go on, best with fewer --workers"
        ) from error
    except BaseException:
        hand.stop()
        raise
    outcome.results = dict(sorted(outcome.results.items()))
    outcome.failures = dict(sorted(outcome.failures.items()))
    outcome.seconds = time.perf_counter() - start
    return outcome


def _start(
    work: Callable[[str], T], ids: Sequence[str], workers: int | None, prefer: str, hand: _Hand
) -> AbstractContextManager[Iterator[tuple[str, T | None, str | None]]]:
    """Begin the work: (id, result, failure) of each image when it is done, in no certain order."""
    if "joblib" not in sys.modules:  # who has loaded it may have told it where to run
        if workers == 1:
            return closing(_attempt(hand, work, image_id) for image_id in ids)
        if prefer == "processes" and len(ids) >= 2 * COPIES_PAY and can_copy():
            copies = min(workers or len(os.sched_getaffinity(0)), len(ids) // COPIES_PAY)
            return run_in_copies(partial(_attempt, hand, work), ids, copies)

    from joblib import Parallel, delayed

    if len(ids) < PROCESSES_PAY:
        prefer = "threads"
    only = getattr(work, "only", lambda _: work)
    me = os.getpid()
    calls = (delayed(_joblib_attempt)(me, hand, only(image_id), image_id) for image_id in ids)
    try:
        parallel = Parallel(workers or -1, prefer=prefer, return_as="generator_unordered")
        return closing(parallel(calls))
    except ValueError:  # Dask's backend gives all results at once
        return closing(_in_parts(Parallel(workers or -1), calls))


def _in_parts(parallel: Any, calls: Iterator[Any]) -> Generator[Any, None, None]:
    """The results of a joblib backend that returns lists: a part of the calls at a time."""
    while part := list(islice(calls, PART)):
        yield from parallel(part)


class _Hand:
    """The images that threads of this process have in hand; they take no more after `stop`."""

    def __init__(self) -> None:
        self.images, self.stopped, self.changed = 0, False, Condition()
        self.owner = get_ident()  # interrupts reach this thread alone, and end its image as well

    def __reduce__(self) -> tuple[type[_Hand], tuple[()]]:
        return _Hand, ()  # joblib ends other processes itself

    def stop(self) -> None:
        """Wait until the images in hand are done: threads cut short would leave their files."""
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
    parent: int, hand: _Hand, work: Callable[[str], T], image_id: str
) -> tuple[str, T | None, str | None]:
    keep_freed_memory()
    if os.getppid() == parent:
        end_with(parent)
    elif os.getpid() != parent and current_process().name.startswith("LokyProcess"):
        os._exit(1)  # a child of joblib, begun too late
    return _attempt(hand, work, image_id)


def _attempt(
    hand: _Hand, work: Callable[[str], T], image_id: str
) -> tuple[str, T | None, str | None]:
    try:
        with hand:
            return image_id, None if hand.stopped else work(image_id), None
    except C2AMError as error:
        message = " ".join(str(error).split("\n"))
        named = re.search(rf"(?<!\w){re.escape(image_id)}(?!\w)", message)
        return image_id, None, message if named else f"{image_id}: {message}"
    except Exception as error:
        message = " ".join(str(error).split())
        return image_id, None, f"{image_id}: {type(error).__name__}: {message}"
