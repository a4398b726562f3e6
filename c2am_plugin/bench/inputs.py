"""What a benchmark is made of: CAM folders, class names, and the images that have everything.

Finds and checks; reads no image.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..cams import constant_score
from ..errors import InputError
from ..files.folders import find_files, first_names
from ..files.labels import VOC_CLASSES
from ..files.lists import wanted_ids
from ..registry import get_adapter, profiles
from .evaluate import THRESHOLDS
from .scoring import ImageReader, Source

__all__ = ["choose_images", "class_names", "files_of", "source_of"]

log = logging.getLogger("c2am_plugin")


def source_of(label: str, folder: str | Path) -> Source:
    """A folder of CAM files under the name of its profile, or "profile:any name"."""
    name = ":".join(label.split(":")[:2])
    adapter = get_adapter(name if name in profiles() else label.split(":")[0])
    thresholds = np.union1d(THRESHOLDS, [constant_score(adapter)])
    return Source(label, adapter, files_of(folder, (".npy",), "CAM file"), thresholds)


def files_of(folder: str | Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
    """{image id: path}; InputError where the folder holds nothing of the kind."""
    found = find_files(folder, suffixes)
    if not found:
        raise InputError(f"{folder}: holds no {what} ({', '.join(suffixes)})")
    return found


def class_names(classes: str | Path | Sequence[str] | None) -> tuple[str, ...]:
    """Names from a file, one a line, or a sequence; background first. Default VOC's."""
    if classes is None:
        return VOC_CLASSES
    if isinstance(classes, (str, Path)):
        try:
            lines = Path(classes).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{classes}: cannot be read as class names ({error})") from error
        classes = [line.strip() for line in lines if line.strip()]
    if not 2 <= len(classes) <= 255:
        raise InputError(f"{len(classes)} class names; expected 2 to 255, background first")
    return tuple(classes)


def choose_images(
    sources: Sequence[Source],
    reader: ImageReader,
    ids: str | Path | Sequence[str] | None,
    with_photos: bool,
) -> tuple[list[str], dict[str, list[str]]]:
    """The ids that have everything, and {what: ids that lack it}.

    Without a list the images are those of the CAM files: ground truth and cues are often there
    for many more.
    """
    there = set().union(*(source.files for source in sources))
    wanted = sorted(there) if ids is None else wanted_ids(ids)
    needed = {f"{source.label} CAM": source.files for source in sources}
    needed |= {"cue": reader.cues, "ground truth": reader.truths}
    if with_photos:
        needed["photograph"] = reader.photos
    missing = {what: [i for i in wanted if i not in files] for what, files in needed.items()}
    missing = {what: lacking for what, lacking in missing.items() if lacking}
    out = set().union(*missing.values())
    chosen = [image_id for image_id in wanted if image_id not in out]
    if not chosen:
        examples = "; ".join(f"{what} like {next(iter(files))}" for what, files in needed.items())
        listed = f"; the list like {wanted[0]}" if ids is not None and wanted else ""
        raise InputError(f"no image has all that is needed ({examples}{listed})")
    for what, lacking in missing.items():
        log.warning(
            "%d of %d images have no %s (%s)", len(lacking), len(wanted), what, first_names(lacking)
        )
    return chosen, missing
