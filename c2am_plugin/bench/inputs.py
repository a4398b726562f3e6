"""What a benchmark is made of: CAM folders, class names, and the images that have everything.

Finds and checks; reads no image.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..cams import CamAdapter
from ..errors import InputError
from ..files.folders import first_names
from ..files.lists import wanted_ids
from ..files.names import under_ids
from ..files.roots import label_files, photo_files
from ..files.segments import SegmentFiles, find_segments
from ..files.value_ranges import check_labels, check_photos
from ..refine.pairing import ImageFiles
from ..refine.several_cues import CueFolder, CueReading, cue_folders, find_cue_folders
from ..registry import choose_adapter, find_cams, profiles
from .scoring import BenchFiles

__all__ = ["Folders", "adapter_of", "choose_images"]

log = logging.getLogger("c2am_plugin")


@dataclass(frozen=True)
class Folders:
    """What the folders of a benchmark hold, {image id: path} each. cams: of each source, by label.

    cues: one or several folders. photos: None where none are given. listed: the ids that are asked
    for, None for all. segments: those of each source's images, by label; empty: none are given.
    """

    cams: dict[str, dict[str, Path]]
    cues: list[CueFolder]
    truths: dict[str, Path]
    photos: dict[str, Path] | None
    listed: list[str] | None
    segments: dict[str, SegmentFiles] = field(default_factory=dict)

    @classmethod
    def find(
        cls,
        cams: Mapping[str, str | Path],
        cues: str | Path | Sequence[str | Path],
        gt: str | Path,
        images: str | Path | None,
        ids: str | Path | Sequence[str] | None,
        n_classes: int,
        *,
        flip_cues: bool,
        stretch_cues: bool,
        segments: str | Path | None = None,
    ) -> Folders:
        """Looks at some files of each folder, too. Raises InputError."""
        found = {label: find_cams(folder, method_of(label)) for label, folder in cams.items()}
        there = sorted(set().union(*found.values()))
        listed = None if ids is None else wanted_ids(ids, there, [images, gt])
        wanted = there if listed is None else [each for each in listed if each in set(there)]
        stored = find_cue_folders(cue_folders(cues), wanted, flip=flip_cues, stretch=stretch_cues)
        truths = under_ids(label_files(gt), wanted, "labels")
        check_labels([truths[each] for each in wanted if each in truths], gt, n_classes)
        photos = None
        if images is not None:
            photos = under_ids(photo_files(images), wanted, "photographs")
            check_photos([photos[each] for each in wanted if each in photos], images)
        folders = cls(found, stored, truths, photos, listed)
        if segments is None:
            return folders
        # What 0 means is found as in a refinement: from the images that have a CAM and a cue.
        ids_of = {label: [each.image_id for each in folders.with_cue(label)] for label in found}
        return replace(
            folders, segments={label: find_segments(segments, ids_of[label]) for label in found}
        )

    @property
    def reading(self) -> CueReading:
        """How the cues of an image are read."""
        return CueReading.of([folder.form for folder in self.cues])

    def with_cue(self, label: str) -> list[ImageFiles]:
        """The images of a source that have a CAM and a cue in every folder."""
        cams, ids = self.cams[label], self.listed
        wanted = [i for i in (cams if ids is None else ids) if i in cams]
        both = [i for i in wanted if all(i in folder.files for folder in self.cues)]
        return [ImageFiles(i, cams[i], self.cues_of(i)) for i in both]

    def cues_of(self, image_id: str) -> tuple[Path, ...]:
        return tuple(folder.files[image_id] for folder in self.cues)


def method_of(label: str) -> str:
    """The name of the profile in the label of a source."""
    name = ":".join(label.split(":")[:2])
    return name if name in profiles() else label.split(":")[0]


def adapter_of(label: str, files: Mapping[str, Path], scale_by: float | None = None) -> CamAdapter:
    """The adapter of a source, by the name of its profile or "profile:any name"."""
    return choose_adapter(method_of(label), list(files.values()), scale_by=scale_by)


def choose_images(folders: Folders) -> tuple[list[BenchFiles], dict[str, list[str]]]:
    """The images that have everything, and {what: ids that lack it}.

    Without a list the images are those of the CAM files: ground truth and cues are often there
    for many more.
    """
    ids = folders.listed
    wanted = sorted(set().union(*folders.cams.values())) if ids is None else ids
    needed = {f"{label} CAM": files for label, files in folders.cams.items()}
    several = len(folders.cues) > 1
    needed |= {
        f"cue in {folder.path}" if several else "cue": dict(folder.files) for folder in folders.cues
    }
    needed["ground truth"] = folders.truths
    if folders.photos is not None:
        needed["photograph"] = folders.photos
    if folders.segments:
        needed["segments"] = _of_all(folders.segments)
    missing = {what: [i for i in wanted if i not in files] for what, files in needed.items()}
    missing = {what: lacking for what, lacking in missing.items() if lacking}
    out = set().union(*missing.values())
    chosen = [_files_of_image(folders, image_id) for image_id in wanted if image_id not in out]
    if not chosen:
        examples = "; ".join(f"{what} like {next(iter(files))}" for what, files in needed.items())
        listed = f"; the list like {wanted[0]}" if ids is not None and wanted else ""
        raise InputError(f"no image has all that is needed ({examples}{listed})")
    for what, lacking in missing.items():
        log.warning(
            "%d of %d images have no %s (%s)", len(lacking), len(wanted), what, first_names(lacking)
        )
    return chosen, missing


def _of_all(segments: Mapping[str, SegmentFiles]) -> dict[str, Path]:
    """The segments of the images that every source has."""
    first, *others = [each.files for each in segments.values()]
    return {i: path for i, path in first.items() if all(i in files for files in others)}


def _files_of_image(folders: Folders, image_id: str) -> BenchFiles:
    return BenchFiles(
        image_id,
        {label: files[image_id] for label, files in folders.cams.items()},
        folders.cues_of(image_id),
        folders.truths[image_id],
        None if folders.photos is None else folders.photos[image_id],
    )
