"""Boxes as files: COCO's JSON, plain text, and the JSON that PSOL's training reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from ..files.writing import atomic_path
from .components import Components

__all__ = ["FORMATS", "ImageBoxes", "choose_format", "write_boxes"]

FORMATS = ("coco", "text", "psol")


@dataclass(frozen=True)
class ImageBoxes:
    """The boxes of one image, in pixels of the image. size: (width, height).

    file: the image, if known.
    """

    size: tuple[int, int]
    components: Components
    file: Path | None = None


def choose_format(name: str, out: str | Path) -> str:
    """ "auto" is text if the name ends with .txt, otherwise coco. Raises InputError."""
    if name == "auto":
        return "text" if Path(out).suffix.lower() == ".txt" else "coco"
    if name not in FORMATS:
        raise InputError(f"format {name!r} is unknown; expected auto, {', '.join(FORMATS)}")
    return name


def write_boxes(
    out: str | Path, found: Mapping[str, ImageBoxes], form: str, images: Path | None
) -> None:
    """Write the boxes of many images, by id, as one file, atomically. Raises OutputError.

    coco  images, annotations, categories; bbox is x y width height; score is the mean of the map
          over the component
    text  lines of `id x0 y0 x1 y1`; an image without a box has no line
    psol  {path of the image: [x, y, width, height]} as shares of the image's sides, for PSOL's
          loader. It needs every image; an image without a box gets the whole image as its box
    images: the folder of the images; COCO's file names are relative to it.
    """
    if form == "text":
        lines = [
            " ".join(map(str, (image_id, *box)))
            for image_id, image in found.items()
            for box in image.components.boxes.tolist()
        ]
        text = "".join(line + "\n" for line in lines)
    else:
        content = _coco(found, images) if form == "coco" else _psol(found)
        text = json.dumps(content, separators=(",", ":")) + "\n"
    try:
        with atomic_path(out) as temporary:
            # A name that is not valid UTF-8 is written as its bytes on the disk.
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error})") from error


def _coco(found: Mapping[str, ImageBoxes], images: Path | None) -> dict[str, Any]:
    numbers = _numbers(list(found))
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, image in found.items():
        name = image.file.relative_to(images).as_posix() if image.file and images else image_id
        width, height = image.size
        entries.append(
            {"id": numbers[image_id], "file_name": name, "width": width, "height": height}
        )
        boxes, _, scores = image.components
        for (x0, y0, x1, y1), score in zip(boxes.tolist(), scores.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": numbers[image_id],
                    "category_id": 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                    "score": round(score, 4),
                }
            )
    return {
        "images": entries,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "object"}],
    }


def _numbers(ids: list[str]) -> dict[str, int]:
    """COCO numbers its images; ids that are already distinct numbers are kept."""
    plain = {each: int(each) for each in ids if each.isascii() and each.isdecimal()}
    if len(set(plain.values())) == len(ids):
        return plain
    return {image_id: number for number, image_id in enumerate(ids, 1)}


def _psol(found: Mapping[str, ImageBoxes]) -> dict[str, list[float]]:
    boxes = {}
    for image in found.values():
        width, height = image.size
        every = image.components.boxes.tolist()
        x0, y0, x1, y1 = every[0] if every else (0, 0, width, height)
        shares = [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height]
        boxes[str(image.file)] = shares
    return boxes
