"""Hints: where a pipeline's CAMs are sure of foreground, P is pulled towards 1 (C²AM-H of P-NOC).

J. Lucas David, H. Pedrini, Z. Dias, "P-NOC: adversarial training of CAM generating networks for
robust weakly supervised semantic segmentation priors", JVCIR 2024, section 3.4. Knows CAM files and
maps, not the network.

A part of the images gets no hints, so that cues can be judged by CAMs that did not teach them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..cams import CamAdapter, read_cams
from ..errors import InputError
from ..files.folders import first_names, sample
from ..registry import choose_adapter, find_cams

__all__ = ["HintPlan", "HintVote", "Hints", "find_hints", "is_left_out"]

log = logging.getLogger(__name__)

# One image in this many teaches nothing: the calibration of the cues is left with those.
LEFT_OUT = 5
# Of fewer, one bad CAM could turn the polarity.
FEWEST_JUDGES = 8


@dataclass(frozen=True)
class HintPlan:
    """threshold: a CAM from here on is a hint, in (0, 1). weight: of the term in the loss, > 0."""

    threshold: float = 0.4
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise InputError(f"hint_threshold {self.threshold}: expected a number in (0, 1)")
        if not 0 < self.weight < float("inf"):
            raise InputError(f"hint_weight {self.weight}: expected a number above 0")


@dataclass(frozen=True)
class Hints:
    """The CAM files of the training images, in the images' order; None: no file, or left out.

    judges    the files of the images that were left out, by the images' index
    taught    ids of the images with hints
    left_out  ids of those that were left out
    """

    files: tuple[Path | None, ...]
    judges: dict[int, Path]
    taught: tuple[str, ...]
    left_out: tuple[str, ...]
    adapter: CamAdapter
    plan: HintPlan

    def map_of(self, index: int) -> np.ndarray | None:
        """H×W in [0, 1]: the largest CAM of an image's classes; None where there are no hints."""
        path = self.files[index]
        return None if path is None else largest_cam(self.adapter, path)

    def voters(self, most: int) -> dict[int, HintVote]:
        """{index: vote on the polarity} of some images: of those that were left out, where they are
        enough to decide, else of all."""
        taught = {k: path for k, path in enumerate(self.files) if path is not None}
        enough = len(self.judges) >= FEWEST_JUDGES
        files = self.judges if enough else dict(sorted((self.judges | taught).items()))
        return {
            k: HintVote(self.adapter, files[k], self.plan.threshold)
            for k in sample(list(files), most)
        }

    def notes(self) -> dict[str, Any]:
        """What a checkpoint records of them."""
        return {
            "method": self.adapter.name,
            "threshold": self.plan.threshold,
            "weight": self.plan.weight,
            "taught": list(self.taught),
            "left_out": list(self.left_out),
        }


@dataclass(frozen=True)
class HintVote:
    """Whether P is lower where an image's CAM shows foreground than elsewhere: P h×w → bool; None
    where the CAM does so nowhere or everywhere, or cannot be read."""

    adapter: CamAdapter
    path: Path
    threshold: float

    def __call__(self, p: np.ndarray) -> bool | None:
        try:
            found = largest_cam(self.adapter, self.path)
        except InputError as error:
            log.warning("%s; it has no vote on the polarity", error)
            return None
        if found is None:
            return None
        size = (p.shape[1], p.shape[0])
        small = np.asarray(Image.fromarray(found).resize(size, Image.Resampling.BILINEAR))
        hinted = small >= self.threshold
        if hinted.all() or not hinted.any():
            return None
        return bool(p[hinted].mean() < p[~hinted].mean())


def find_hints(folder: str | Path, method: str, images: Sequence[str], plan: HintPlan) -> Hints:
    """The hints for images by their ids. Images without a CAM file get none, which is reported.

    Raises InputError where the folder has no CAM file of an image, or its layout is not known.
    """
    found = find_cams(folder, method)
    without = [image_id for image_id in images if image_id not in found]
    if len(without) == len(images):
        raise InputError(
            f"{folder}: contains no CAM file of these images; its ids look like "
            f"{next(iter(found))}, those of the images like {images[0]}"
        )
    extra = set(found) - set(images)
    if without:
        log.warning(
            "%s: %d of %d images have no CAM file and get no hints (%s)",
            folder,
            len(without),
            len(images),
            first_names(without, 3),
        )
    if extra:
        log.info("%s: %d CAM files belong to no image and are not used", folder, len(extra))
    adapter = choose_adapter(method, [found[i] for i in images if i in found])
    left_out = [i for i in images if i in found and is_left_out(i)]
    if len(left_out) == len(images) - len(without):
        left_out = []  # few images: none can be spared
    spared = set(left_out)
    files = tuple(found.get(i) if i not in spared else None for i in images)
    judges = {k: found[i] for k, i in enumerate(images) if i in spared}
    taught = tuple(i for i in images if i in found and i not in spared)
    log.info(
        "hints of %d images; %d are left out, to judge the cues by", len(taught), len(left_out)
    )
    return Hints(files, judges, taught, tuple(left_out), adapter, plan)


def is_left_out(image_id: str) -> bool:
    """Whether an image gets no hints: one in five, by its id alone, so that each run has the same
    ones."""
    digest = hashlib.sha256(image_id.encode()).digest()
    return int.from_bytes(digest[:4], "big") % LEFT_OUT == 0


def largest_cam(adapter: CamAdapter, path: Path) -> np.ndarray | None:
    """float32 H×W in [0, 1]; None for an image without a class. Raises InputError."""
    cams = read_cams(adapter, path, path.stem, clip=True)
    return np.asarray(cams.maps.max(axis=0), np.float32) if cams.maps.size else None
