"""The folders of photographs, labels and lists in the data sets VOC and COCO.

Every argument that takes a folder of photographs or labels also takes a data set's root.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from .folders import IMAGE_SUFFIXES, find_files, first_names

__all__ = ["find_list", "label_files", "label_folder", "lists_of", "photo_files", "photo_folders"]

log = logging.getLogger("c2am_plugin")

VOC = ("", "VOC2012", "VOCdevkit/VOC2012")
COCO = ("train2014", "val2014", "train2017", "val2017")
LABELS = ("SegmentationClassAug", "SegmentationClass")
PHOTOS = "JPEGImages"
# A hint for a missing list of the larger training set.
ORIGIN = (
    "train_aug is not part of VOC; it comes with SBD's labels, and with the WSSS pipelines, e.g. "
    "as voc12/train_aug.txt"
)


def photo_folders(folder: str | Path) -> list[Path]:
    """The folders of photographs of a VOC or COCO root; for another folder the folder itself."""
    folder = Path(folder)
    for root in (folder / below for below in VOC):
        if (root / PHOTOS).is_dir():
            return [root / PHOTOS]
    for root in (folder, folder / "images"):
        if parts := [root / name for name in COCO if (root / name).is_dir()]:
            return parts
    return [folder]


def photo_files(folder: str | Path) -> dict[str, Path]:
    """{image id: path} of the photographs of a folder or a VOC or COCO root.

    In a root the id is the file's name without suffix. Raises InputError where there is no image.
    """
    found: dict[str, Path] = {}
    folders = photo_folders(folder)
    for part in folders:
        found |= find_files(part, IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"{folders[0]}: contains no image; expected {', '.join(IMAGE_SUFFIXES)}")
    return found


def label_folder(folder: str | Path) -> Path:
    """The folder of labels of a VOC root, the augmented ones first; else the folder itself."""
    folder = Path(folder)
    for root in (folder / below for below in VOC):
        for name in LABELS:
            if (root / name).is_dir():
                log.info("using the labels in %s", root / name)
                return root / name
    return folder


def label_files(folder: str | Path) -> dict[str, Path]:
    """{image id: path} of the label PNGs of a folder or a VOC root. Raises InputError."""
    folder = label_folder(folder)
    found = find_files(folder, (".png",))
    if not found:
        raise InputError(f"{folder}: contains no ground truth (.png)")
    return found


def lists_of(folder: str | Path) -> Path | None:
    """The folder of lists of the VOC root that `folder` is or belongs to; else None."""
    folder = Path(folder)
    roots = [folder / below for below in VOC]
    if folder.name in (PHOTOS, *LABELS):
        roots.append(folder.parent)
    for root in roots:
        if (root / "ImageSets" / "Segmentation").is_dir():
            return root / "ImageSets" / "Segmentation"
    return None


def find_list(ids: str | Path, roots: Iterable[str | Path | None] = ()) -> Path:
    """The list file that `ids` names: a path, or the name of a list in one of the roots.

    "train_aug" and "train_aug.txt" are the same list. Raises InputError, with the existing lists,
    where `ids` is neither.
    """
    path = Path(ids)
    if os.path.exists(path):
        return path
    folders = [each for root in roots if root is not None and (each := lists_of(root))]
    for folder in folders:
        for lists in (folder, folder.parent / "Main"):
            for name in (str(ids), f"{ids}.txt"):
                if os.path.isfile(lists / name):
                    return lists / name
    hint = f"; {ORIGIN}" if path.stem in ("train_aug", "trainaug") else ""
    if not folders:
        raise InputError(
            f"{ids}: cannot be read as a list of image ids (No such file or directory){hint}"
        )
    there = first_names([each.stem for each in folders[0].glob("*.txt")], 20) or "none"
    raise InputError(f"{ids}: no such file, and no such list in {folders[0]}: {there}{hint}")
