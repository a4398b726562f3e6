"""The pictures of one image: photograph, CAM, cue, refined CAM, labels before and after.

Reads the image's files; which images are shown is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cams import ImageCams
from ..errors import InputError
from ..files.cues import same_aspect
from ..files.labels import IGNORE, read_label
from ..files.photos import read_photo
from ..page.panels import Panel
from ..page.pictures import (
    colour_of,
    cue_picture,
    heat_picture,
    label_picture,
    photo_picture,
)
from ..page.text import percent
from .image import FactsJob, ImageFacts, RefinedImage, label_of

__all__ = ["Gallery"]


@dataclass(frozen=True)
class Gallery:
    """Makes the pictures of an image. written: {image id: label PNG} of the run, where there are.

    names: {0-based class: name}.
    """

    work: FactsJob
    images: Mapping[str, RefinedImage]
    facts: Mapping[str, ImageFacts]
    names: Mapping[int, str]
    photos: Mapping[str, Path]
    written: Mapping[str, Path]

    def panels(self, image_id: str) -> list[Panel]:
        """The pictures in order. Raises InputError where the photograph is of another shape."""
        image, t = self.images[image_id], self.work.job.background_score
        before, after = self.work.cams(image)
        photo = self._photo(image_id, before)
        cue = self.work.cue(image, before)
        labels = [label_of(each, t) for each in (before, after)]
        if before.maps.size == 0:
            labels = [np.zeros(photo.shape[:2], np.uint8)] * 2
        panels = [
            Panel("photograph", photo_picture(photo)),
            Panel("CAM", heat_picture(before.maps, photo)),
            *([] if cue is None else [Panel("cue, white = foreground", cue_picture(cue))]),
            Panel("refined CAM", heat_picture(after.maps, photo)),
            Panel("label before", label_picture(labels[0]), self._chips(labels[0])),
            Panel("label after", label_picture(labels[1]), self._chips(labels[1])),
        ]
        if image_id in self.written:
            label = read_label(self.written[image_id])
            panels.append(Panel("label as written", label_picture(label), self._chips(label)))
        return panels

    def classes_of(self, image_id: str) -> list[str]:
        return [self.name(each) for each in self.facts[image_id].before]

    def name(self, class_id: int) -> str:
        return self.names.get(class_id, f"class {class_id}")

    def _photo(self, image_id: str, cams: ImageCams) -> np.ndarray:
        path, shape = self.photos[image_id], cams.maps.shape[1:]
        photo = read_photo(path)
        fits = cams.maps.size == 0 or same_aspect(photo.shape[:2], shape)
        if not fits and not self.work.job.reading.form.stretch:
            raise InputError(
                f"{path}: is {photo.shape[1]}×{photo.shape[0]} pixels and its CAMs "
                f"{shape[1]}×{shape[0]} (width×height); expected the same shape"
            )
        return photo

    def _chips(self, label: np.ndarray) -> list[tuple[str, str]]:
        counts = np.bincount(label.ravel(), minlength=IGNORE + 1)
        return [
            (colour_of(int(c)), f"{self.name(int(c) - 1)} {percent(counts[c] / label.size, 0)} %")
            for c in np.flatnonzero(counts)
            if 0 < c < IGNORE
        ]
