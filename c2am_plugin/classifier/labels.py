"""Image-level labels from wherever they are kept: which classes each image shows.

A table (CSV or TSV), PSA's cls_labels.npy, a folder of VOC's XML files, COCO's JSON, or a folder of
masks, of which only the classes are taken. Knows files of labels, not images.
"""

from __future__ import annotations

import csv
import json
import logging
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files.folders import IMAGE_SUFFIXES, find_files, first_names, plain_file
from ..files.labels import IGNORE, VOC_CLASSES, read_label
from ..registry import adapter_names, get_adapter

__all__ = ["ImageLabels", "labels_of", "read_class_names", "read_labels"]

log = logging.getLogger("c2am_plugin")

# A class's label in an 8-bit PNG is its index + 1, and 255 is ignored.
MOST_CLASSES = IGNORE - 1
# First cells of a table's header, and of a second column that lists all classes of an image.
ID_HEADERS = {"id", "image_id", "imageid", "image", "filename", "file", "file_name", "name"}
LIST_HEADERS = {"classes", "labels", "tags", "class_names", "categories"}


@dataclass(frozen=True)
class ImageLabels:
    """classes: names by 0-based class index. of: {image id: bool [C]}. source: what was read."""

    classes: tuple[str, ...]
    of: Mapping[str, np.ndarray]
    source: str


def read_labels(path: str | Path, classes: Sequence[str] | None = None) -> ImageLabels:
    """Image-level labels of any of the five kinds.

    path     `cls_labels.npy` {id: [C]}; a table id,class,class,… (.csv, .tsv, .txt), or with a
             header one column of 0 and 1 for each class; COCO's .json; a folder of VOC's .xml, or
             of mask PNGs (0 background, c + 1 for class c, 255 ignored)
    classes  names by index, background left out. Default: the order of the file where it has one
             (COCO's ids, numbers), VOC's where all names are VOC's, else by alphabet; that is
             logged, as it decides the class ids in CAM files

    Raises InputError with the file, what was found and what was expected.
    """
    path = Path(path)
    if path.is_dir():
        found = _read_folder(path, classes)
    elif not path.exists():
        raise InputError(f"{path}: no such file or folder of labels")
    elif path.suffix.lower() == ".npy":
        found = _from_vectors(path, classes)
    elif path.suffix.lower() == ".json":
        found = _from_coco(path, classes)
    else:
        found = _from_table(path, classes)
    if not found.of:
        raise InputError(f"{path}: contains no image's label")
    if not 1 <= len(found.classes) <= MOST_CLASSES:
        raise InputError(
            f"{path}: has {len(found.classes)} classes; expected 1 to {MOST_CLASSES}, which fit "
            "8-bit pseudo labels"
        )
    return found


def read_class_names(path: str | Path) -> list[str]:
    """Foreground class names of a file, one a line; "background" on the first line is left out."""
    names = [line.strip() for line in _text(Path(path)).splitlines() if line.strip()]
    names = names[1:] if names and names[0].lower() == "background" else names
    if not names:
        raise InputError(f"{path}: contains no class name; expected one a line")
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: names {first_names(double)} twice; keep one")
    return names


def labels_of(labels: ImageLabels, ids: Sequence[str]) -> np.ndarray:
    """bool N×C in the order of the ids. What looks wrong and is possible is logged.

    Raises InputError where an id has no label, and where no image of them shows any class.
    """
    if lost := [image_id for image_id in ids if image_id not in labels.of]:
        raise InputError(
            f"{labels.source}: {len(lost)} of {len(ids)} images have no label "
            f"({first_names(lost, 3)}); it has ids like {next(iter(labels.of))}. "
            "Add them, or name the images that have one with `ids`"
        )
    chosen = np.array([labels.of[image_id] for image_id in ids])
    if not chosen.any():
        raise InputError(
            f"{labels.source}: no label of the {len(ids)} images names a class; "
            "a classifier needs images of at least one"
        )
    if others := len(labels.of) - len(set(ids)):
        log.info("%s: labels of %d other images are not used", labels.source, others)
    counts = chosen.sum(0)
    without = [name for name, count in zip(labels.classes, counts, strict=True) if not count]
    if without:
        log.warning(
            "%d of %d classes have no image: %s",
            len(without),
            len(counts),
            first_names(without),
        )
    if always := [n for n, c in zip(labels.classes, counts, strict=True) if c == len(ids)]:
        log.warning("every image shows %s: nothing tells where it is", first_names(always))
    if empty := int((~chosen.any(1)).sum()):
        log.info("%d of %d images show no class", empty, len(ids))
    return chosen


def _read_folder(path: Path, classes: Sequence[str] | None) -> ImageLabels:
    annotations = find_files(path, (".xml",))
    if annotations:
        return _by_name(
            path, {i: _xml_names(file) for i, file in annotations.items()}, classes, "VOC's XML"
        )
    masks = find_files(path, (".png",))
    if not masks:
        raise InputError(f"{path}: contains neither VOC's .xml files nor mask PNGs")
    shown = {}
    for image_id, file in masks.items():
        values = np.unique(read_label(file))
        shown[image_id] = values[(values > 0) & (values < IGNORE)].astype(int) - 1
    log.info("%s: image-level labels are taken from %d masks; no pixel is", path, len(masks))
    return _by_index(path, shown, classes)


def _from_vectors(path: Path, classes: Sequence[str] | None) -> ImageLabels:
    """PSA's file: a dict of id → 0/1 [C]. It is a pickle: adapters read it and run nothing."""
    content = get_adapter(adapter_names()[0]).load(path)
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{path}: contains {type(content).__name__}; expected PSA's dict of id → [classes]"
        )
    of = {}
    for name, vector in content.items():
        values = np.asarray(vector)
        if values.ndim != 1 or values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
            raise InputError(f"{path}: label of {name} is {values.dtype} {values.shape}, not 0/1")
        of[_image_id(name)] = values.astype(bool)
    lengths = {len(values) for values in of.values()}
    if len(lengths) > 1:
        raise InputError(
            f"{path}: labels have {first_names(map(str, lengths))} classes; one number"
        )
    (count,) = lengths
    return ImageLabels(_names(path, count, classes), of, str(path))


def _from_coco(path: Path, classes: Sequence[str] | None) -> ImageLabels:
    try:
        content = json.loads(_text(path))
        names = {c["id"]: str(c["name"]) for c in content["categories"]}
        files = {image["id"]: _image_id(image["file_name"]) for image in content["images"]}
        pairs = [(files[a["image_id"]], names[a["category_id"]]) for a in content["annotations"]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: is not COCO's JSON of images, annotations and categories "
            f"({type(error).__name__}: {str(error)[:80]})"
        ) from error
    shown: dict[str, list[str]] = {image_id: [] for image_id in files.values()}
    for image_id, name in pairs:
        shown[image_id].append(name)
    order = [names[key] for key in sorted(names)]
    return _by_name(path, shown, classes or list(dict.fromkeys(order)), "COCO's categories")


def _from_table(path: Path, classes: Sequence[str] | None) -> ImageLabels:
    text = _text(path)
    first = text.splitlines()[0] if text.strip() else ""
    comma = path.suffix.lower() == ".csv" or ("," in first and "\t" not in first)
    rows = [
        [cell.strip() for cell in row]
        for row in csv.reader(text.splitlines(), delimiter="," if comma else "\t")
        if any(cell.strip() for cell in row)
    ]
    if not rows:
        raise InputError(f"{path}: is empty; expected lines of id,class,class,…")
    header = rows.pop(0) if rows[0][0].lower() in ID_HEADERS else []
    if len({row[0] for row in rows}) < len(rows):
        rows = _joined(rows)
    cells = {cell for row in rows for cell in row[1:]}
    if len(header) > 2 and cells and cells <= {"0", "1", "0.0", "1.0"}:
        return _from_columns(path, header[1:], rows, classes)
    lists = len(header) == 2 and header[1].lower() in LIST_HEADERS
    shown = {}
    for row in rows:
        names = [cell for cell in row[1:] if cell]
        if lists:
            names = [name for cell in names for name in re.split(r"[\s,;|]+", cell) if name]
        shown[_image_id(row[0])] = names
    every = {name for names in shown.values() for name in names}
    if not classes and every and all(re.fullmatch(r"\d{1,4}", name) for name in every):
        return _by_index(path, {i: np.array(n, int) for i, n in shown.items()}, None)
    return _by_name(path, shown, classes, "the table's names")


def _joined(rows: list[list[str]]) -> list[list[str]]:
    """One row an image, where a table has one for each of its classes."""
    joined: dict[str, list[str]] = {}
    for image_id, *names in rows:
        joined.setdefault(image_id, []).extend(names)
    return [[image_id, *names] for image_id, names in joined.items()]


def _from_columns(
    path: Path, header: Sequence[str], rows: list[list[str]], classes: Sequence[str] | None
) -> ImageLabels:
    """A column of 0 and 1 for each class."""
    if wrong := [row[0] for row in rows if len(row) != len(header) + 1]:
        raise InputError(f"{path}: the row of {wrong[0]} has another length than the header")
    shown = {
        _image_id(row[0]): [n for n, cell in zip(header, row[1:], strict=True) if float(cell)]
        for row in rows
    }
    return _by_name(path, shown, classes or header, "the header's names")


def _by_name(
    path: Path, shown: Mapping[str, Iterable[str]], classes: Sequence[str] | None, what: str
) -> ImageLabels:
    """Labels of names, in the order of `classes`, of VOC's classes, or of the alphabet."""
    found = {name for names in shown.values() for name in names}
    if classes is None:
        classes, order = _usual_order(found)
        log.info("%s: %d classes, %s", path, len(classes), order)
    places = {_plain(name): index for index, name in enumerate(classes)}
    if foreign := sorted(name for name in found if _plain(name) not in places):
        raise InputError(
            f"{path}: names {first_names(foreign, 3)}, which the {len(classes)} known classes do "
            f"not have (such as {first_names(classes, 3)}); correct {what} or `classes`"
        )
    of = {}
    for image_id, names in shown.items():
        of[image_id] = np.zeros(len(classes), bool)
        of[image_id][[places[_plain(name)] for name in names]] = True
    return ImageLabels(tuple(classes), of, str(path))


def _usual_order(found: set[str]) -> tuple[list[str], str]:
    vocs = {_plain(name): name for name in VOC_CLASSES[1:]}
    if found and {_plain(name) for name in found} <= set(vocs):
        return list(vocs.values()), "in VOC's order; `classes` sets another"
    return sorted(found), "by alphabet; `classes` sets another order"


def _by_index(
    path: Path, shown: Mapping[str, np.ndarray], classes: Sequence[str] | None
) -> ImageLabels:
    """Labels of 0-based class numbers."""
    largest = max((int(values.max()) for values in shown.values() if len(values)), default=-1)
    if largest >= MOST_CLASSES:
        raise InputError(f"{path}: has a class {largest}; expected 0 to {MOST_CLASSES - 1}")
    names = _names(path, max(largest + 1, len(classes or ())), classes)
    of = {}
    for image_id, values in shown.items():
        of[image_id] = np.zeros(len(names), bool)
        of[image_id][values.astype(int)] = True
    return ImageLabels(names, of, str(path))


def _names(path: Path, count: int, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Names of numbered classes: the given ones, VOC's for twenty, else the numbers."""
    if classes is not None:
        if len(classes) != count:
            raise InputError(f"{path}: has {count} classes and `classes` names {len(classes)}")
        return tuple(classes)
    return VOC_CLASSES[1:] if count == len(VOC_CLASSES) - 1 else tuple(map(str, range(count)))


def _xml_names(path: Path) -> list[str]:
    text = _text(path)
    if "<!ENTITY" in text:
        raise InputError(f"{path}: defines entities, which can expand without end; remove them")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise InputError(f"{path}: is not XML ({error}); expected VOC's annotation") from error
    names = [node.findtext("name", "").strip() for node in root.iter("object")]
    if root.tag != "annotation" or not all(names):
        raise InputError(f"{path}: is not VOC's annotation with objects that have a name")
    return names


def _text(path: Path) -> str:
    try:
        with open(path, encoding="utf-8-sig", opener=plain_file) as file:
            return file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8") from error


def _image_id(name: Any) -> str:
    """The id of "JPEGImages/a.jpg", "a.jpg" or "a"; subfolders of other names are kept."""
    text = str(name).strip().removeprefix("JPEGImages/")
    path = Path(text)
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else text


def _plain(name: str) -> str:
    """ "Dining table" and "diningtable" are one class."""
    return re.sub(r"[\s_-]+", "", name).lower()
