"""One image of a refinement: read its CAMs before and after and its cue, and count what changed.

Knows the files of one image; which images and what follows from the counts is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cams import ImageCams, is_binary, read_cams
from ..errors import InputError
from ..files.labels import pseudo_label
from ..refine.calibration import count_sure_pixels, image_trust
from ..refine.image import ImageJob
from ..refine.pairing import ImageFiles

__all__ = ["FactsJob", "ImageFacts", "RefinedImage", "label_of"]


@dataclass(frozen=True)
class RefinedImage:
    """The files of one image: those that were refined, and the refined CAMs."""

    files: ImageFiles
    refined: Path

    @property
    def image_id(self) -> str:
        return self.files.image_id


@dataclass(frozen=True)
class ImageFacts:
    """Counts of one image; pixels are those of the CAMs.

    changed        pixels with another label after than before
    before, after  {0-based class: pixels with its label}, of the classes of the CAMs
    trust          weight of the cue, in [0, 1] (`calibration.image_trust`); None without a cue
    sure           int64 [2, 256], see `calibration.count_sure_pixels`; None without a cue
    """

    image_id: str
    pixels: int
    changed: int
    before: dict[int, int]
    after: dict[int, int]
    trust: float | None
    sure: np.ndarray | None

    @property
    def change(self) -> float:
        """The share of the pixels with another label, in [0, 1]."""
        return self.changed / max(1, self.pixels)


@dataclass(frozen=True)
class FactsJob:
    """Counts one image. job: how it was refined; averaged: within segments, too."""

    job: ImageJob
    averaged: bool = False

    def cams(self, image: RefinedImage) -> tuple[ImageCams, ImageCams]:
        """The CAMs before and after. Raises InputError where they are not of one image."""
        before = self.job.read(image.files)
        after = read_cams(self.job.adapter, image.refined, image.image_id, clip=self.job.clip)
        same = np.array_equal(before.class_ids, after.class_ids)
        if not same or before.maps.shape != after.maps.shape:
            raise InputError(
                f"{image.refined}: has the classes {after.class_ids.tolist()} at "
                f"{_size(after)}, and {image.files.cam} {before.class_ids.tolist()} at "
                f"{_size(before)}; expected the refined CAMs of the same file"
            )
        # A pixel without any activation has none afterwards, whatever the cue says.
        fixed = not (self.averaged or is_binary(self.job.adapter))
        if fixed and bool((after.maps[before.maps == 0] > 0).any()):
            raise InputError(
                f"{image.refined}: is above 0 where {image.files.cam} is 0, so it was refined from "
                "other CAMs"
            )
        return before, after

    def cue(self, image: RefinedImage, cams: ImageCams) -> np.ndarray | None:
        """b as stored, float32 h×w in [0, 1], 1 = surely background; None without a cue."""
        return None if image.files.cue is None else self.job.read_cue(image.files, cams)

    def __call__(self, image: RefinedImage) -> ImageFacts:
        before, after = self.cams(image)
        cue, t = self.cue(image, before), before.score(self.job.background_score)
        labels = [label_of(each, self.job.background_score) for each in (before, after)]
        counts = [np.bincount(label.ravel(), minlength=256) for label in labels]
        classes = [int(each) for each in before.class_ids]
        with_cams = cue is not None and len(classes) > 0
        try:
            return ImageFacts(
                image.image_id,
                pixels=labels[0].size,
                changed=int(np.count_nonzero(labels[0] != labels[1])),
                before={each: int(counts[0][each + 1]) for each in classes},
                after={each: int(counts[1][each + 1]) for each in classes},
                trust=image_trust(before, cue, t) if with_cams and cue is not None else None,
                sure=count_sure_pixels(before, cue, t) if with_cams and cue is not None else None,
            )
        except InputError as error:
            raise InputError(f"{image.files.cue}: {error}") from error


def label_of(cams: ImageCams, background_score: float) -> np.ndarray:
    """argmax([t, CAMs]) as uint8 H×W; background where there is no class."""
    return pseudo_label(cams.maps, cams.class_ids, cams.score(background_score))


def _size(cams: ImageCams) -> str:
    return f"{cams.maps.shape[2]}×{cams.maps.shape[1]}"
