"""Which images a run processes, and which of them lack a file. Only ids are known here.

A line of a pipeline's list may be an id, a path, a pair of paths, or an id and its classes. Lines
are interpreted by means of the existing ids, where the caller knows them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from .folders import IMAGE_SUFFIXES, first_names
from .names import known_names, normal_form
from .roots import find_list

__all__ = ["HEADS", "lacking", "read_ids", "wanted_ids"]

SUFFIXES = (*IMAGE_SUFFIXES, ".npy", ".xml")
# The folders of images, whose names are not part of an id.
ABOVE = ("JPEGImages", "train2014", "val2014", "train2017", "val2017")
# The first field of a line that is a heading.
HEADS = ("id", "image", "image_id", "imageid", "filename", "file_name", "name")
SEPARATORS = ("\t", ",", ";", None)
NUMBER = re.compile(r"-?\d+(\.\d+)?([|,;]-?\d+)*")


def wanted_ids(
    ids: str | Path | Sequence[str],
    known: Iterable[str] = (),
    roots: Iterable[str | Path | None] = (),
) -> list[str]:
    """The image ids of a list file or a sequence, in order, without repeats.

    known: the existing ids. roots: VOC roots, whose lists may be given by name. Raises InputError.
    """
    if isinstance(ids, (str, Path)):
        return read_ids(find_list(ids, roots), known)
    if not len(ids):
        raise InputError("`ids` is empty; expected image ids, or None for all images")
    there = known_names(known)
    return list(dict.fromkeys(there.get(normal_form(each), each) for each in ids))


def lacking(ids: Collection[str], files: Collection[str], what: str) -> str:
    """ "2 of 50 images have no CAM (a, b)", or "" where all of `ids` are in `files`."""
    names = [image_id for image_id in ids if image_id not in files]
    if not names:
        return ""
    return f"{len(names)} of {len(ids)} images have no {what} ({first_names(names)})"


def read_ids(path: str | Path, known: Iterable[str] = ()) -> list[str]:
    """The image ids of a list file, one per line, in order, without repeats.

    A line is an id or begins with one; further fields may follow after a space, tab, comma or
    semicolon. An id may be a path with either slash and a suffix; only the part below JPEGImages
    (or COCO's train2017 …) counts. In VOC's lists of one class ("id  1") lines with -1 are left
    out. A line that equals a known image's name is that image.
    known: the existing ids, by which lines are interpreted. Raises InputError.
    """
    there = known_names(known)
    lines = _present(_lines(path), path)
    if len(lines) > 1 and _is_head(lines[0], there):
        lines = lines[1:]
    ids: dict[str, str] = {}
    for line in lines:
        name, whole = _id_of_line(line, there)
        if not name or ".." in name.split("/"):
            raise InputError(
                f"{path}: {name[:80]!r} is not an image id; expected a name below the folder"
            )
        if ids.setdefault(name, whole) != whole and name in there.values():
            raise InputError(
                f"{path}: {ids[name][:80]} and {whole[:80]} both name the image {name[:80]}; "
                "expected one folder of images for one list"
            )
    return list(ids)


def _lines(path: str | Path) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read as a list of image ids ({reason})") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); "
            "expected one image id per line: save the list as UTF-8"
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{path}: contains no image id; expected one per line")
    if any((char < " " and char != "\t") or char == "\x7f" for line in lines for char in line):
        raise InputError(f"{path}: is not a text file; expected one image id per line")
    return lines


def _present(lines: list[str], path: str | Path) -> list[str]:
    """The lines of a list, of VOC's ImageSets/Main ("id 1", 0 = difficult) those without -1."""
    fields = [line.split() for line in lines]
    if not all(len(each) == 2 and each[1] in ("-1", "0", "1") for each in fields):
        return lines
    kept = [line for line, each in zip(lines, fields, strict=True) if each[1] != "-1"]
    if not kept:
        raise InputError(f"{path}: marks every image with -1 (absent), so it lists no image")
    return kept


def _is_head(line: str, there: Mapping[str, str]) -> bool:
    return line not in there and re.split(r"[\t,; ]", line)[0].strip('"').lower() in HEADS


def _id_of_line(line: str, there: Mapping[str, str]) -> tuple[str, str]:
    """The id of a line, and the path without suffix that it comes from."""
    for form in (line, _stem(line)):
        if (key := normal_form(form)) in there:
            return there[key], there[key]
    for separator in SEPARATORS:
        path = _path(line.split(separator)[0])
        for form in _tails(path):
            if (key := normal_form(form)) in there:
                return there[key], _stem(path)
    name = _below(_stem(_path(_first_field(line))))
    return name, name


def _first_field(line: str) -> str:
    """The id in a line without a known image: the whole line unless further fields follow."""
    for separator in SEPARATORS:
        first, *rest = (each.strip() for each in line.split(separator))
        if rest and all(NUMBER.fullmatch(each) or _is_path(each) for each in rest if each):
            return first
    return line


def _is_path(text: str) -> bool:
    return text.startswith("/") or os.path.splitext(text)[1].lower() in SUFFIXES


def _path(text: str) -> str:
    path = text.strip().strip("\"'").replace("\\", "/")
    while path.startswith(("/", "./")):
        path = path[1:] if path.startswith("/") else path[2:]
    return path


def _tails(path: str) -> Iterator[str]:
    """A path and its tails without the first folders, each with and without suffix."""
    parts = path.split("/")
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        yield tail
        yield _stem(tail)


def _below(path: str) -> str:
    """The part of a path below the last folder of images in it."""
    parts = path.split("/")
    above = [at for at, part in enumerate(parts[:-1]) if part in ABOVE]
    return "/".join(parts[above[-1] + 1 :]) if above else path


def _stem(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name
