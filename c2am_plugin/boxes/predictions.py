"""What a classifier says of each image: a CSV of an image id and its classes, the best first."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from ..errors import InputError
from .truths import Truths

__all__ = ["read_predictions"]

HEADS = ("id", "image", "image_id", "filename", "file_name")


def read_predictions(path: str | Path, truths: Truths) -> dict[str, list[str]]:
    """{image id: classes, the best first} of a CSV whose lines are `id,class,class,…`.

    Classes are written as the ground truth names or numbers them. A first line that begins with
    "id" or "image" is a heading; a suffix of an image (.jpg) is no matter. Raises InputError.
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
        raise InputError(f"{path}: holds no prediction; expected lines of id,class,class,…")
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
