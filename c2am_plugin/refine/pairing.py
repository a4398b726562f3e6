"""Find out before any work which CAM file belongs to which cue.

Knows ids and file names; writes nothing. Whether CAMs and cues fit is checked in checks.py.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..files.cue_folders import find_cues
from ..files.cues import PLAIN, CueForm
from ..files.folders import first_names
from ..files.lists import wanted_ids
from ..files.names import unlike
from ..registry import MapReader, find_cams

__all__ = ["ImageFiles", "Pairing", "pair"]

log = logging.getLogger("c2am_plugin")


@dataclass(frozen=True)
class ImageFiles:
    """The files of one image; None for one that is missing or not wanted."""

    image_id: str
    cam: Path
    cue: Path | None
    photo: Path | None = None


@dataclass(frozen=True)
class Pairing:
    """The images of a run in order, how many are left out, and how the cues are read."""

    images: list[ImageFiles]
    left_out: int
    form: CueForm = PLAIN

    @property
    def ids(self) -> list[str]:
        return [image.image_id for image in self.images]

    @property
    def with_cue(self) -> list[ImageFiles]:
        return [image for image in self.images if image.cue]


def pair(
    cam_dir: Path,
    cue_dir: Path,
    ids: str | Path | Sequence[str] | None,
    missing: str,
    *,
    method: str = "auto",
    images: str | Path | None = None,
    flip: bool = False,
    stretch: bool = False,
) -> Pairing:
    """Pair two folders by image id.

    ids: a list file, a sequence, or None for every CAM file. missing: what to do with an image
    without a cue, "error", "keep" (process it without one) or "skip". method: see `find_cams`.
    images: a VOC root whose lists may be named. flip, stretch: see `CueForm`.
    Raises InputError with counts and the first names where files are missing or none match.
    """
    cams = find_cams(cam_dir, method)
    wanted = list(cams) if ids is None else wanted_ids(ids, cams, [images])
    there = [image_id for image_id in wanted if image_id in cams]
    cues, form = find_cues(cue_dir, there, flip=flip, stretch=stretch, read_map=MapReader.find())
    if not any(image_id in cams and image_id in cues for image_id in wanted):
        cam, cue = (first_names([next(iter(found))]) for found in (cams, cues))
        listed = f", the list like {first_names(wanted[:1])}" if ids is not None and wanted else ""
        raise InputError(
            f"no image has both a CAM and a cue: {cam_dir} has ids like {cam}, "
            f"{cue_dir} like {cue}{listed}; {_reason(cams, cues, wanted)}"
        )
    no_cam = [image_id for image_id in wanted if image_id not in cams]
    no_cue = [image_id for image_id in wanted if image_id in cams and image_id not in cues]
    for names, what, folder in ((no_cam, "CAM", cam_dir), (no_cue, "cue", cue_dir)):
        if names and missing == "error":
            raise InputError(
                f"{len(names)} of {len(wanted)} images have no {what} in {folder} "
                f'({first_names(names)}); choose with `missing="keep"` or `missing="skip"`'
            )
        if names:
            log.warning("%d images have no %s (%s)", len(names), what, first_names(names))
    if unused := cues.keys() - set(wanted):
        log.info("%d cues belong to no image of this run (%s)", len(unused), first_names(unused))
    out = set(no_cam) if missing == "keep" else {*no_cam, *no_cue}
    chosen = [ImageFiles(i, cams[i], cues.get(i)) for i in wanted if i not in out]
    return Pairing(chosen, len(out), form)


def _reason(cams: Collection[str], cues: Collection[str], wanted: Sequence[str]) -> str:
    """Why no image has both a CAM and a cue: the list is of other images, or the names differ."""
    listed = set(wanted) & set(cams)
    if not listed and set(cams) & set(cues):
        return f"the list names other images: {unlike(wanted, cams)}"
    return unlike(cams, cues)
