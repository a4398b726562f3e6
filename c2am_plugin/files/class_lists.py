"""Class lists by name: VOC's 20 classes, COCO's 80, and COCO's 90 ids, of which 10 are unused.

Pipelines number COCO's classes in two ways: 0 … 79 in order, or by COCO's own ids minus one
(0 … 89). The two differ from the 12th class on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import InputError
from .labels import VOC_CLASSES

__all__ = ["CLASS_LISTS", "COCO_CLASSES", "COCO_IDS", "UNUSED", "are_voc_ids", "class_names"]

UNUSED = "(unused)"

# COCO's names in the order of its ids, 1 … 90.
_BY_ID = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, "
    "fire hydrant, (unused), stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, "
    "elephant, bear, zebra, giraffe, (unused), backpack, umbrella, (unused), (unused), handbag, "
    "tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, "
    "skateboard, surfboard, tennis racket, bottle, (unused), wine glass, cup, fork, knife, spoon, "
    "bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, "
    "couch, potted plant, bed, (unused), dining table, (unused), (unused), toilet, (unused), tv, "
    "laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, "
    "(unused), book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)
COCO_IDS = ("background", *_BY_ID.split(", "))
COCO_CLASSES = tuple(name for name in COCO_IDS if name != UNUSED)

# The lists that `classes` takes by name, background first.
CLASS_LISTS = {"voc": VOC_CLASSES, "coco": COCO_CLASSES, "coco91": COCO_IDS}
# As "2007_000032".
VOC_ID = re.compile(r"(?:.*/)?20(?:0[7-9]|1[0-2])_\d{6}")


def are_voc_ids(ids: Iterable[str]) -> bool:
    """Whether all these images are PASCAL VOC's, by their ids; not of none.

    >>> are_voc_ids(["2007_000032"]), are_voc_ids(["000000000030"])
    (True, False)
    """
    found = [bool(VOC_ID.fullmatch(each)) for each in ids]
    return bool(found) and all(found)


def class_names(classes: str | Path | Sequence[str] | None) -> tuple[str, ...]:
    """Names from a file, one a line, or a sequence; background first. Default VOC's.

    "voc", "coco" (80 classes) and "coco91" (COCO's ids up to 90) are lists by name.
    """
    if classes is None:
        return VOC_CLASSES
    if isinstance(classes, str) and classes in CLASS_LISTS:
        return CLASS_LISTS[classes]
    if isinstance(classes, (str, Path)):
        try:
            lines = Path(classes).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{classes}: cannot be read as class names ({error})") from error
        classes = [line.strip() for line in lines if line.strip()]
    if not 2 <= len(classes) <= 255:
        raise InputError(f"{len(classes)} class names; expected 2 to 255, background first")
    return tuple(classes)
