"""A classifier's predictions: a CSV of image ids and predicted classes, the best first."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from ..errors import InputError
from ..files.lists import HEADS
from .truths import Truths

__all__ = ["read_predictions"]


def read_predictions(path: str | Path, truths: Truths) -> dict[str, list[str]]:
    """{image id: classes, the best first} from a CSV whose lines are `id,class,class,…`.

    Classes are given by the names or numbers of the ground truth. A first line whose first field is
    "id" or "image" (or another of `lists.HEADS`) is a heading. A file name's suffix is ignored.
    Raises InputError.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV ({error})") from error
    if rows and rows[0][0].lower() in HEADS:
        rows = rows[1:]
    if not rows:
        raise InputError(f"{path}: contains no predictions; expected lines of id,class,class,…")
    known = set(truths.ids)
    found: dict[str, list[str]] = {}
    for row in rows:
        image_id = row[0] if row[0] in known else os.path.splitext(row[0])[0]
        classes = [truths.name_of(cell) for cell in row[1:] if cell]
        if not classes:
            raise InputError(
                f"{path}: {row[0][:80]!r} has no class; expected lines of id,class,class,…"
            )
        found[image_id] = classes
    return found
