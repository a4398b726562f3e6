"""Ground truth boxes: VOC's XML, CUB-200-2011's bounding_boxes.txt, COCO's JSON.

Each has its own idea of a box; here all become x0 y0 x1 y1, half-open pixels of the image:
VOC counts from 1 and includes the last pixel (xmin ymin xmax ymax → xmin−1 ymin−1 xmax ymax), CUB
and COCO store x y width height from 0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
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
# The largest XML of VOC and ImageNet has some kilobytes.
LARGEST_XML = 2**24
# What other JSON, and numbers of too many digits, run into.
NO_COCO = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Truth:
    """The objects of one image.

    boxes  float64 [G, 4], x0 y0 x1 y1, half-open pixels of the image
    names  the class of each
    size   (width, height) of the image, where the annotation says it
    """

    boxes: np.ndarray
    names: tuple[str, ...]
    size: tuple[int, int] | None = None


class Truths(Protocol):
    """The ground truth of many images, by id."""

    ids: list[str]

    def find(self, image_id: str) -> Truth | Path:
        """One image's objects, or the file that has them; see `read_truth`."""

    def name_of(self, text: str) -> str:
        """The class that a prediction means, which may be written as its number."""


def find_truths(path: str | Path) -> Truths:
    """The ground truth at a path, whichever of the three it is. Raises InputError.

    Objects marked `difficult` (VOC) or `iscrowd` (COCO) are left out.
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
    raise InputError(f"{path}: holds no ground truth boxes; {EXPECTED}")


def read_truth(found: Truth | Path) -> Truth:
    """The objects that `Truths.find` gave, or gave the file of. Raises InputError."""
    return _read_voc(found) if isinstance(found, Path) else found


@dataclass
class VocTruths:
    """A folder of XML files."""

    files: Mapping[str, Path]
    ids: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = list(self.files)

    def find(self, image_id: str) -> Path:
        return self.files[image_id]

    def name_of(self, text: str) -> str:
        return text


SIDES = ("xmin", "ymin", "xmax", "ymax")


def _read_voc(path: Path) -> Truth:
    root = _read_xml(path)
    kept = [each for each in root.findall("object") if each.findtext("difficult") != "1"]
    boxes = [[_number(path, each, f"bndbox/{side}") for side in SIDES] for each in kept]
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    corners[:, :2] = np.maximum(corners[:, :2] - 1, 0)
    _check_boxes(path, corners)
    size = None
    if root.find("size") is not None:
        width, height = (int(_number(path, root, f"size/{x}")) for x in ("width", "height"))
        size = (width, height) if width > 0 and height > 0 else None
    return Truth(corners, tuple(each.findtext("name", "").strip() for each in kept), size)


def _read_xml(path: Path) -> Element:
    """The root of a small XML file. A file that declares entities is refused: a few lines of them
    can expand to gigabytes, and no annotation needs any."""
    builder = TreeBuilder()
    parser = expat.ParserCreate("utf-8")  # no file names the codec that is imported to read it
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        with open(path, "rb", opener=plain_file) as file:
            text = file.read(LARGEST_XML + 1)
        if len(text) > LARGEST_XML:
            raise ValueError("larger than any annotation")
        parser.Parse(text, True)
        root = builder.close()
    except _DoctypeError as error:
        raise InputError(f"{path}: declares a document type, which no annotation needs") from error
    except (OSError, expat.ExpatError, AssertionError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as XML ({error})") from error
    return root


class _DoctypeError(Exception):
    pass


def _refuse_doctype(*_: Any) -> None:
    raise _DoctypeError


def _number(path: Path, element: Element, name: str) -> float:
    text = element.findtext(name) or ""
    try:
        number = float(text)
        if isfinite(number):
            return number
    except ValueError:
        pass
    raise InputError(
        f"{path}: {element.tag}/{name} is {text[:40]!r}; expected a number, as in VOC's XML"
    )


@dataclass
class StoredTruths:
    """Ground truth that is read as a whole. aliases: other ways to write a class."""

    by_id: dict[str, Truth]
    aliases: dict[str, str]
    ids: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = list(self.by_id)

    def find(self, image_id: str) -> Truth:
        return self.by_id[image_id]

    def name_of(self, text: str) -> str:
        return self.aliases.get(text, text)


def _read_cub(folder: Path) -> StoredTruths:
    """CUB-200-2011: images.txt `number path`, bounding_boxes.txt `number x y width height`.

    The class is the folder of an image; classes.txt, where it is there, numbers them.
    """
    names = dict(_rows(folder / "images.txt", 2))
    path = folder / "bounding_boxes.txt"
    by_id = {}
    for number, *fields in _rows(path, 5):
        if number not in names:
            raise InputError(f"{path}: image {number} is not in {folder / 'images.txt'}")
        try:
            x, y, width, height = map(float, fields)
        except ValueError as error:
            raise InputError(f"{path}: image {number} has the box {fields}") from error
        image_id = os.path.splitext(names[number])[0]
        box = np.array([[x, y, x + width, y + height]])
        _check_boxes(f"{path}: image {number}", box)
        by_id[image_id] = Truth(box, (image_id.split("/")[0],))
    classes = folder / "classes.txt"
    return StoredTruths(by_id, dict(_rows(classes, 2)) if classes.is_file() else {})


def _rows(path: Path, count: int) -> list[list[str]]:
    """The lines of a text file of `count` fields."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); is this CUB-200-2011?") from error
    rows = [line.split(None, count - 1) for line in lines if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != count:
            raise InputError(f"{path}: line {number} has {len(row)} fields; expected {count}")
    return rows


def _read_coco(path: Path) -> StoredTruths:
    """COCO: images {id, file_name, width, height}, annotations {image_id, category_id, bbox}."""
    try:
        content = json.loads(path.read_bytes())
        images = {image["id"]: image for image in content["images"]}
        categories = {each["id"]: str(each["name"]) for each in content.get("categories", [])}
        found: dict[str, list[tuple[list[float], str]]] = {}
        for each in content["annotations"]:
            if each.get("iscrowd"):
                continue
            image_id = os.path.splitext(images[each["image_id"]]["file_name"])[0]
            x, y, width, height = map(float, each["bbox"])
            name = categories.get(each.get("category_id"), str(each.get("category_id", "")))
            found.setdefault(image_id, []).append(([x, y, x + width, y + height], name))
        sizes = {
            os.path.splitext(image["file_name"])[0]: (int(image["width"]), int(image["height"]))
            for image in images.values()
            if int(image.get("width") or 0) > 0 and int(image.get("height") or 0) > 0
        }
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except NO_COCO as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise InputError(
            f"{path}: is no COCO JSON ({reason}); expected images with id "
            "and file_name, annotations with image_id and bbox [x, y, width, height]"
        ) from error
    by_id = {}
    for image_id, objects in found.items():
        boxes = np.array([box for box, _ in objects])
        _check_boxes(f"{path}: {image_id}", boxes)
        by_id[image_id] = Truth(boxes, tuple(name for _, name in objects), sizes.get(image_id))
    return StoredTruths(by_id, {str(number): name for number, name in categories.items()})


def _check_boxes(where: Path | str, boxes: np.ndarray) -> None:
    good = np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    if not good:
        raise InputError(f"{where}: has a box without an inside: {boxes.tolist()}")
