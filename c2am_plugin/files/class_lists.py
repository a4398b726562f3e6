"""Class lists by name: VOC's 20 classes, COCO's 80, and COCO's 90 ids, of which 10 are unused.

Pipelines number COCO's classes in two ways: 0 … 79 in order, or by COCO's own ids (1 … 90, less
one). From the 12th class on the two differ.
"""

from __future__ import annotations

from .labels import VOC_CLASSES

__all__ = ["CLASS_LISTS", "COCO_CLASSES", "COCO_IDS", "UNUSED"]

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

# What `--classes` takes by name, background first.
CLASS_LISTS = {"voc": VOC_CLASSES, "coco": COCO_CLASSES, "coco91": COCO_IDS}
