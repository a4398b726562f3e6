"""Ground truth boxes: VOC's XML, CUB-200-2011's bounding_boxes.txt, COCO's JSON.

Each defines a box differently; all are converted to x0 y0 x1 y1, half-open pixels of the image.
VOC counts from 1 and includes the last pixel (xmin ymin xmax ymax → xmin−1 ymin−1 xmax ymax). CUB
and COCO store x y width height, counted from 0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import Any, Protocol
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from ..errors import InputError
from ..files.folders import find_files, plain_file

__all__ = ["Truth", "Truths", "find_truths", "read_truth"]

EXPECTED = (
    "expected a folder of VOC's XML files, CUB's folder or its bounding_boxes.txt, or a COCO JSON"
)
# In bytes. The largest XML files of VOC and ImageNet have a few kilobytes.
LARGEST_XML = 2**24
# Errors caused by other JSON files and by numbers with too many digits.
NO_COCO = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Truth:
    """The objects of one image.

    boxes  float64 [G, 4], x0 y0 x1 y1, half-open pixels of the image
    names  the class of each
    size   (width, height) of the image, if the annotation contains it
    bad    number of objects left out because their box is missing or has no area
    """

    boxes: np.ndarray
    names: tuple[str, ...]
    size: tuple[int, int] | None = None
    bad: int = 0


class Truths(Protocol):
    """The ground truth of many images, by id. bad: number of records of other images."""

    ids: list[str]
    bad: int

    def find(self, image_id: str) -> Truth | Path:
        """One image's objects, or the file that contains them; see `read_truth`."""

    def name_of(self, text: str) -> str:
        """The class that a prediction names, possibly by its number."""


def find_truths(path: str | Path) -> Truths:
    """The ground truth at a path, in any of the three formats. Raises InputError.

    Objects marked `difficult` (VOC) or `iscrowd` (COCO) are left out. So are objects whose box is
    missing or has no area; these are counted.
    """
    path = Path(path)
    if path.is_dir() and (path / "bounding_boxes.txt").is_file():
        return _read_cub(path)
    if path.is_dir():
        folder = path / "Annotations" if (path / "Annotations").is_dir() else path
        files = find_files(folder, (".xml",))
        if files:
            return VocTruths(files)
    elif path.name == "bounding_boxes.txt":
        return _read_cub(path.parent)
    elif path.suffix.lower() == ".json":
        return _read_coco(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; {EXPECTED}")
    raise InputError(f"{path}: contains no ground truth boxes; {EXPECTED}")


def read_truth(found: Truth | Path) -> Truth:
    """The objects that `Truths.find` returned, read from the file if it returned one. Raises
    InputError."""
    return _read_voc(found) if isinstance(found, Path) else found


@dataclass
class VocTruths:
    """A folder of XML files."""

    files: Mapping[str, Path]
    ids: list[str] = field(init=False)
    bad: int = 0

    def __post_init__(self) -> None:
        self.ids = list(self.files)

    def find(self, image_id: str) -> Path:
        return self.files[image_id]

    def name_of(self, text: str) -> str:
        return text


SIDES = ("xmin", "ymin", "xmax", "ymax")


def _read_voc(path: Path) -> Truth:
    root = _read_xml(path)
    found = [
        (_voc_corners(each), each.findtext("name", "").strip())
        for each in root.findall("object")
        if each.findtext("difficult") != "1"
    ]
    width, height = (_number(root, f"size/{side}") for side in ("width", "height"))
    size = (int(width), int(height)) if width >= 1 and height >= 1 else None
    return _truth(found, size)


def _voc_corners(element: Element) -> list[float]:
    """The half-open box of an object; NaN for a side that is missing or not a number."""
    x0, y0, x1, y1 = (_number(element, f"bndbox/{side}") for side in SIDES)
    return [max(x0 - 1, 0), max(y0 - 1, 0), x1, y1]


def _read_xml(path: Path) -> Element:
    """The root of a small XML file. A file that declares entities is refused: a few lines of
    entities can expand to gigabytes, and annotations do not need them."""
    builder = TreeBuilder()
    parser = expat.ParserCreate("utf-8")  # a file must not choose a codec to be imported
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        with open(path, "rb", opener=plain_file) as file:
            text = file.read(LARGEST_XML + 1)
        if len(text) > LARGEST_XML:
            raise ValueError(f"larger than {LARGEST_XML >> 20} MiB")
        parser.Parse(text, True)
        root = builder.close()
    except _DoctypeError as error:
        raise InputError(
            f"{path}: declares a document type; expected an annotation without one"
        ) from error
    except (OSError, expat.ExpatError, AssertionError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as XML ({error})") from error
    return root


class _DoctypeError(Exception):
    pass


def _refuse_doctype(*_: Any) -> None:
    raise _DoctypeError


def _number(element: Element, name: str) -> float:
    try:
        number = float(element.findtext(name) or "")
    except ValueError:
        return nan
    return number if isfinite(number) else nan


@dataclass
class StoredTruths:
    """Ground truth that is read as a whole. aliases: other names of classes."""

    by_id: dict[str, Truth]
    aliases: dict[str, str]
    bad: int = 0
    ids: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = list(self.by_id)

    def find(self, image_id: str) -> Truth:
        return self.by_id[image_id]

    def name_of(self, text: str) -> str:
        return self.aliases.get(text, text)


def _read_cub(folder: Path) -> StoredTruths:
    """CUB-200-2011: images.txt `number path`, bounding_boxes.txt `number x y width height`.

    The class is the folder of an image; classes.txt, if present, numbers the classes.
    """
    path = folder / "bounding_boxes.txt"
    (names, _), (rows, bad) = _rows(folder / "images.txt", 2), _rows(path, 5)
    ids = {number: os.path.splitext(name)[0] for number, name in names}
    found: dict[str, list[tuple[list[float], str]]] = {}
    for number, *fields in rows:
        if number not in ids:
            bad += 1
            continue
        image_id = ids[number]
        found.setdefault(image_id, []).append((_corners(fields), image_id.split("/")[0]))
    classes = folder / "classes.txt"
    named = dict(_rows(classes, 2)[0]) if classes.is_file() else {}
    return StoredTruths({i: _truth(objects) for i, objects in found.items()}, named, bad)


def _corners(box: Any) -> list[float]:
    """x y width height → x0 y0 x1 y1; NaN if these are not four numbers."""
    try:
        x, y, width, height = map(float, box)
    except (TypeError, ValueError, OverflowError):
        return [nan] * 4
    return [x, y, x + width, y + height]


def _truth(found: Sequence[tuple[list[float], str]], size: tuple[int, int] | None = None) -> Truth:
    """The objects of one image, without those whose box is missing or has no area."""
    good = [
        (box, name)
        for box, name in found
        if all(map(isfinite, box)) and box[2] > box[0] and box[3] > box[1]
    ]
    boxes = np.array([box for box, _ in good], np.float64).reshape(-1, 4)
    return Truth(boxes, tuple(name for _, name in good), size, len(found) - len(good))


def _rows(path: Path, count: int) -> tuple[list[list[str]], int]:
    """The lines of a text file that have `count` fields, and the number of other lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); is this CUB-200-2011?") from error
    rows = [line.split(None, count - 1) for line in lines if line.strip()]
    good = [row for row in rows if len(row) == count]
    if rows and not good:
        raise InputError(
            f"{path}: expected lines of {count} fields; no line has them, the first has "
            f"{len(rows[0])}"
        )
    return good, len(rows) - len(good)


def _read_coco(path: Path) -> StoredTruths:
    """COCO: images {id, file_name, width, height}, annotations {image_id, category_id, bbox}."""
    found: dict[str, list[tuple[list[float], str]]] = {}
    bad = 0
    try:
        content = json.loads(path.read_bytes())
        names = {each["id"]: os.path.splitext(each["file_name"])[0] for each in content["images"]}
        sizes = {names[each["id"]]: _size(each) for each in content["images"]}
        categories = {each["id"]: str(each["name"]) for each in content.get("categories", [])}
        for each in content["annotations"]:
            if each.get("iscrowd"):
                continue
            if each.get("image_id") not in names:
                bad += 1
                continue
            name = categories.get(each.get("category_id"), str(each.get("category_id", "")))
            objects = found.setdefault(names[each["image_id"]], [])
            objects.append((_corners(each.get("bbox")), name))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except NO_COCO as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise InputError(
            f"{path}: is not a COCO JSON ({reason}); expected images with id "
            "and file_name, annotations with image_id and bbox [x, y, width, height]"
        ) from error
    by_id = {image_id: _truth(objects, sizes[image_id]) for image_id, objects in found.items()}
    return StoredTruths(by_id, {str(number): name for number, name in categories.items()}, bad)


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = (int(image.get(side) or 0) for side in ("width", "height"))
    return (width, height) if width > 0 and height > 0 else None
