"""One image of a benchmark: read its CAMs, cue and ground truth, label it, count its pixels.

Knows files of one image at a time. Which images, what the counts mean and how they are shown is
not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..cams import CamAdapter, ImageCams, read_cams
from ..crf.dense_crf import Backend, label_crf
from ..errors import InputError
from ..files.cues import resize_cue
from ..files.labels import pseudo_label, read_label
from ..files.photos import read_photo_of
from ..files.segments import SegmentFiles
from ..refine.binary import refine_maps
from ..refine.calibration import Calibration
from ..refine.formula import with_constant
from ..refine.guard import class_trust, guard_cue
from ..refine.segments import average_maps
from ..refine.several_cues import CueReading
from .gains import label_counts
from .metrics import TooFewClasses, score_histogram
from .trimap import boundary_band

__all__ = [
    "BenchFiles",
    "ImageReader",
    "RowPlan",
    "ScoreJob",
    "Source",
    "SweepJob",
    "make_label",
]


@dataclass(frozen=True)
class Source:
    """One pipeline's folder of CAM files.

    label       what the tables call it; the key of its file in `BenchFiles.cams`
    thresholds  float64 [T], rising: where the threshold curve is taken
    t           the background score of the pipeline, or the one that is asked for
    label_free  the background score found from cues and CAMs without ground truth, or None
    calibration  of the cues to these CAMs; None uses them uncalibrated
    reading     of several cue folders, with their shares for these CAMs; None: the reader's
    segments    within which the refined CAMs are averaged; None: they are not
    """

    label: str
    adapter: CamAdapter
    thresholds: np.ndarray
    t: float
    label_free: float | None = None
    calibration: Calibration | None = None
    reading: CueReading | None = None
    segments: SegmentFiles | None = None


@dataclass(frozen=True)
class BenchFiles:
    """The files of one image. cams: {label of the source: CAM file}."""

    image_id: str
    cams: Mapping[str, Path]
    cues: tuple[Path, ...]
    truth: Path
    photo: Path | None


@dataclass(frozen=True)
class RowPlan:
    """One row of the table: argmax([threshold, maps of `variant`]), the dense CRF after it or not.

    variant: "cam", "cues", "guard" or "segments", a key of `ImageReader.variants`.
    """

    key: str
    title: str
    variant: str
    background_score: float
    crf: bool = False


@dataclass(frozen=True)
class ImageReader:
    """Reads what belongs to an image. Every method raises InputError that names the file."""

    strength: float
    guard: bool
    reading: CueReading
    clip: bool
    crf_backend: Backend = "auto"

    def truth(self, image: BenchFiles) -> np.ndarray:
        return read_label(image.truth)

    def photo(self, image: BenchFiles, shape: tuple[int, ...]) -> np.ndarray | None:
        return None if image.photo is None else read_photo_of(image.photo, shape, "ground truth")

    def raw_cue(self, image: BenchFiles, source: Source, shape: tuple[int, ...]) -> np.ndarray:
        """b uncalibrated, float32 h×w in [0, 1], 1 = surely background. shape: of the CAMs."""
        return (source.reading or self.reading)(image.cues, shape)

    def cue(
        self, image: BenchFiles, source: Source, cams: ImageCams, raw: np.ndarray
    ) -> np.ndarray:
        """The cue as these CAMs meet it: fitted where that is wanted, float32 H×W in [0, 1]."""
        shape = (cams.maps.shape[1], cams.maps.shape[2])
        try:
            if source.calibration is not None:
                raw = source.calibration.apply(cams, raw, cams.score(source.t))
            return resize_cue(raw, shape)
        except InputError as error:
            raise InputError(f"{image.cues[0]}: {error}") from error

    def cams(self, image: BenchFiles, source: Source, shape: tuple[int, ...]) -> ImageCams:
        """CAMs of the ground truth's shape; an image without a class has maps 0×H×W."""
        path = image.cams[source.label]
        cams = read_cams(source.adapter, path, image.image_id, clip=self.clip)
        if len(cams.class_ids) == 0:
            return ImageCams(image.image_id, cams.class_ids, np.zeros((0, *shape), np.float32))
        if cams.maps.shape[1:] != shape:
            raise InputError(
                f"{path}: is {cams.maps.shape[2]}×{cams.maps.shape[1]} pixels and its ground "
                f"truth {shape[1]}×{shape[0]} (width×height); expected the same"
            )
        return cams

    def variants(
        self, source: Source, cams: ImageCams, cue: np.ndarray, raw: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The CAM as stored, refined, refined with the guard if that is on, and the last of these
        averaged within segments if there are any: each K×H×W.

        All are to be compared with the constant t: those with a background of their own are
        brought to it.
        """
        t = source.t
        score = cams.score(t)
        update = partial(
            refine_maps,
            background_score=score,
            strength=self.strength,
            top=cams.top,
            binary=None
            if source.calibration is None
            else source.calibration.binary_odds(cams, raw, t),
        )
        found = {"cam": cams.maps, "cues": update(cams.maps, cue)}
        if self.guard:
            drawn = guard_cue(cams.maps, cue, score, cams.top)
            found["guard"] = found["cues"] if drawn is cue else update(cams.maps, drawn)
        if source.segments is not None:
            found["segments"] = average_maps(
                found["guard" if self.guard else "cues"],
                source.segments.files[cams.image_id],
                source.segments.zero_is_none,
                score,
            )
        if isinstance(score, np.ndarray):
            return {name: with_constant(maps, score, t) for name, maps in found.items()}
        return found


def make_label(
    plan: RowPlan,
    maps: np.ndarray,
    class_ids: np.ndarray,
    photo: np.ndarray | None = None,
    crf_backend: Backend = "auto",
) -> np.ndarray:
    """The label uint8 H×W of one row for one image. photo: uint8 H×W×3, for rows with a CRF."""
    label = pseudo_label(maps, class_ids, plan.background_score)
    if not plan.crf or photo is None:
        return label
    return label_crf(photo, label, backend=crf_backend)


@dataclass(frozen=True)
class _Job:
    reader: ImageReader
    sources: Sequence[Source]


@dataclass(frozen=True)
class SweepJob(_Job):
    """The histograms of one image for all thresholds: {label: {variant: (index, count)}}.

    Of the int64 C×C×(T+1) of `metrics.score_histogram` only what is not 0 is kept, int32.
    """

    n_classes: int

    def __call__(self, image: BenchFiles) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
        truth = self.reader.truth(image)
        found = {}
        for source in self.sources:
            cams = self.reader.cams(image, source, truth.shape)
            raw = self.reader.raw_cue(image, source, truth.shape)
            cue = self.reader.cue(image, source, cams, raw)
            variants = self.reader.variants(source, cams, cue, raw)
            found[source.label] = {
                name: self._histogram(maps, cams.class_ids, truth, source.thresholds)
                for name, maps in variants.items()
            }
        return found

    def _histogram(
        self, maps: np.ndarray, class_ids: np.ndarray, truth: np.ndarray, thresholds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        try:
            dense = score_histogram(maps, class_ids, truth, thresholds, self.n_classes).ravel()
        except TooFewClasses as error:
            raise InputError(
                f"{error}; name all of them in `classes`, background first (COCO's lists are coco, "
                "of 80 classes, and coco91, by its own ids)"
            ) from error
        index = np.flatnonzero(dense).astype(np.int32)
        return index, dense[index].astype(np.int32)


@dataclass(frozen=True)
class ScoreJob(_Job):
    """What every row of every pipeline counts in one image, and how far its cue is trusted.

    Returns ({label: {row key: int64 [2, 3, C]}}, {label: float64 [K] trust by class}); the counts
    are those of the whole image and of the band along the outlines.
    """

    plans: Mapping[str, Sequence[RowPlan]]
    n_classes: int
    band: int

    def __call__(self, image: BenchFiles) -> tuple[dict[str, dict[str, np.ndarray]], dict]:
        truth = self.reader.truth(image)
        near = boundary_band(truth, self.band)
        with_crf = any(plan.crf for plans in self.plans.values() for plan in plans)
        photo = self.reader.photo(image, truth.shape) if with_crf else None
        counts: dict[str, dict[str, np.ndarray]] = {}
        trust = {}
        for source in self.sources:
            cams = self.reader.cams(image, source, truth.shape)
            raw = self.reader.raw_cue(image, source, truth.shape)
            cue = self.reader.cue(image, source, cams, raw)
            variants = self.reader.variants(source, cams, cue, raw)
            trust[source.label] = class_trust(cams.maps, cue) if len(cams.maps) else np.ones(0)
            counts[source.label] = {}
            for plan in self.plans[source.label]:
                label = make_label(
                    plan,
                    variants[plan.variant],
                    cams.class_ids,
                    photo,
                    self.reader.crf_backend,
                )
                both = [label_counts(label, each, self.n_classes) for each in (truth, near)]
                counts[source.label][plan.key] = np.stack(both)
        return counts, trust
