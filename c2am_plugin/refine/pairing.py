"""Find out before any work which CAM file belongs to which cue.

Knows ids and file names; writes nothing. Whether CAMs and cues fit is checked in checks.py.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError
from ..files.folders import first_names
from ..files.lists import wanted_ids
from ..files.names import unlike
from ..files.photos import find_photos
from ..files.segments import SegmentFiles, find_segments
from ..registry import find_cams
from .several_cues import CueFolder, CueReading, find_cue_folders

__all__ = ["ImageFiles", "Pairing", "add_photos", "add_segments", "pair"]

log = logging.getLogger("c2am_plugin")


@dataclass(frozen=True)
class ImageFiles:
    """The files of one image; None for a photograph or segments that are not wanted or missing.

    cues: one from each folder, or none where one of them is missing.
    """

    image_id: str
    cam: Path
    cues: tuple[Path, ...]
    photo: Path | None = None
    segments: Path | None = None

    @property
    def cue(self) -> Path | None:
        """Of the first folder."""
        return self.cues[0] if self.cues else None


@dataclass(frozen=True)
class Pairing:
    """The images of a run in order, how many are left out, the cue folders, and how to read them.

    Copies of a cue folder are not among the folders.
    """

    images: list[ImageFiles]
    left_out: int
    folders: tuple[Path, ...]
    reading: CueReading
    segments: SegmentFiles | None = None

    @property
    def ids(self) -> list[str]:
        return [image.image_id for image in self.images]

    @property
    def with_cue(self) -> list[ImageFiles]:
        return [image for image in self.images if image.cue]


def pair(
    cam_dir: Path,
    cue_dir: Path | Sequence[Path],
    ids: str | Path | Sequence[str] | None,
    missing: str,
    *,
    method: str = "auto",
    images: str | Path | None = None,
    flip: bool = False,
    stretch: bool = False,
) -> Pairing:
    """Pair a folder of CAMs with one or several of cues by image id.

    ids: a list file, a sequence, or None for every CAM file. missing: what to do with an image
    that lacks a cue of any folder: "error", "keep" (process it without one) or "skip". method: see
    `find_cams`. images: a VOC root whose lists may be named. flip, stretch: see `CueForm`.
    Raises InputError with counts and the first names where files are missing or none match.
    """
    cams = find_cams(cam_dir, method)
    wanted = list(cams) if ids is None else wanted_ids(ids, cams, [images])
    there = [image_id for image_id in wanted if image_id in cams]
    cue_dirs = [cue_dir] if isinstance(cue_dir, Path) else cue_dir
    folders = find_cue_folders(cue_dirs, there, flip=flip, stretch=stretch)
    for folder in folders:
        if not any(i in cams and i in folder.files for i in wanted):
            cam, cue = (first_names([next(iter(found))]) for found in (cams, folder.files))
            listed = (
                f", the list like {first_names(wanted[:1])}" if ids is not None and wanted else ""
            )
            raise InputError(
                f"no image has both a CAM and a cue: {cam_dir} has ids like {cam}, "
                f"{folder.path} like {cue}{listed}; {_reason(cams, folder.files, wanted)}"
            )
    no_cam = [image_id for image_id in wanted if image_id not in cams]
    _tell_missing(no_cam, "CAM", cam_dir, len(wanted), missing)
    no_cue = {i for folder in folders for i in _without_cue(folder, there, len(wanted), missing)}
    for folder in folders:
        if unused := folder.files.keys() - set(wanted):
            log.info(
                "%d cues belong to no image of this run (%s)", len(unused), first_names(unused)
            )
    out = set(no_cam) if missing == "keep" else {*no_cam, *no_cue}
    chosen = [
        ImageFiles(i, cams[i], () if i in no_cue else tuple(each.files[i] for each in folders))
        for i in wanted
        if i not in out
    ]
    if not any(image.cues for image in chosen):
        names = ", ".join(str(folder.path) for folder in folders)
        raise InputError(f"no image has a cue in all of {names}")
    return Pairing(
        chosen,
        len(out),
        tuple(folder.path for folder in folders),
        CueReading.of([folder.form for folder in folders]),
    )


def add_segments(pairing: Pairing, folder: str | Path, missing: str) -> Pairing:
    """The pairing with the segments of its images. missing: as in `pair`; "keep": not averaged.

    Raises InputError where segments are missing or none are of these images.
    """
    found = find_segments(folder, pairing.ids)
    lacking = {image_id for image_id in pairing.ids if image_id not in found.files}
    _tell_missing(sorted(lacking), "segments", Path(folder), len(pairing.images), missing)
    images = [
        replace(image, segments=found.files.get(image.image_id))
        for image in pairing.images
        if missing != "skip" or image.image_id not in lacking
    ]
    left_out = pairing.left_out + len(pairing.images) - len(images)
    return replace(pairing, images=images, left_out=left_out, segments=found)


def add_photos(pairing: Pairing, images: str | Path) -> Pairing:
    """The pairing with the photograph of every image. Raises InputError where one is missing."""
    photos = find_photos(images, pairing.ids)
    with_photos = [replace(image, photo=photos[image.image_id]) for image in pairing.images]
    return replace(pairing, images=with_photos)


def _without_cue(folder: CueFolder, there: Sequence[str], total: int, missing: str) -> list[str]:
    names = [image_id for image_id in there if image_id not in folder.files]
    _tell_missing(names, "cue", folder.path, total, missing)
    return names


def _tell_missing(names: Sequence[str], what: str, folder: Path, total: int, missing: str) -> None:
    if names and missing == "error":
        raise InputError(
            f"{len(names)} of {total} images have no {what} in {folder} "
            f'({first_names(names)}); choose with `missing="keep"` or `missing="skip"`'
        )
    if names:
        log.warning("%d images have no %s in %s (%s)", len(names), what, folder, first_names(names))


def _reason(cams: Collection[str], cues: Collection[str], wanted: Sequence[str]) -> str:
    """Why no image has both a CAM and a cue: the list is of other images, or the names differ."""
    listed = set(wanted) & set(cams)
    if not listed and set(cams) & set(cues):
        return f"the list names other images: {unlike(wanted, cams)}"
    return unlike(cams, cues)
