"""Folders of files: which ids they contain, and at which paths. Reads names, not contents."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import InputError

__all__ = [
    "IMAGE_SUFFIXES",
    "find_files",
    "first_names",
    "plain_file",
    "refuse_inside",
    "sample",
    "walk",
]

T = TypeVar("T")

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# No data set has more folders than this behind two or more links.
MOST_FAR = 4096


def first_names(names: Iterable[str], count: int = 5) -> str:
    """The first few of many names, on one line for a message."""
    names = sorted(names)
    rest = len(names) - count
    shown = [n if len(n) <= 200 and n.isprintable() else ascii(n)[:200] for n in names[:count]]
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def sample(items: Sequence[T], count: int) -> list[T]:
    """Up to `count` of the items, in order and spread over the whole sequence.

    >>> sample("abcdefg", 3)
    ['a', 'c', 'e']
    >>> sample("ab", 3)
    ['a', 'b']
    """
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def find_files(folder: str | Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """{image id: path} of a folder's files, sorted by id, from one walk (links are followed).

    The id is the path below the folder without the suffix ("2007_000032", "val/0001"). Hidden
    files are ignored. Raises InputError where the folder is missing or two files share an id.
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
    """(path, the path below `folder` ending in "/" or empty, file names) of every folder.

    Follows links and ignores hidden folders; a missing folder yields nothing. Raises InputError for
    a folder that cannot be listed, and for too many links.
    """
    # The resolved links that lead to each folder. They prevent endless loops; where folders link to
    # each other, there may still be too many paths.
    behind: dict[str, tuple[str, ...]] = {}
    far = 0
    for root, folders, names in os.walk(folder, followlinks=True, onerror=_raise_unreadable):
        links = behind.pop(root, ())
        far += len(links) > 1
        if far > MOST_FAR:
            raise InputError(f"{folder}: its folders contain too many links to each other")
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


def refuse_inside(inputs: Iterable[str | Path], *outputs: str | Path) -> None:
    """Raise InputError for an output that is, or is inside, an input: a later run would read it."""
    for source in (Path(folder).resolve() for folder in inputs):
        for output in outputs:
            place = Path(output).resolve()
            if source in (place, *place.parents):
                inside = "inside " if place != source else ""
                raise InputError(f"{output}: is {inside}the input {source}; choose another folder")


def plain_file(path: str, flags: int) -> int:
    """An opener for `open` that accepts only regular files; links are followed. Raises OSError."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "a directory, pipe or device; expected a file", path)
