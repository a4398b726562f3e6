"""One image of a run of `refine_cams`: read its CAM file and cue, refine, write, count.

Knows one image at a time; the folders as a whole are run.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cams import CamAdapter, ImageCams, is_binary, read_cams, stored_scale
from ..crf.dense_crf import Backend
from ..errors import InputError
from ..files.cam_files import copy_cams, write_cams
from ..files.cues import resize_cue, same_aspect
from ..files.image_files import image_shape
from ..files.labels import IGNORE, pseudo_label, write_confidence, write_label
from ..files.photos import read_photo_of
from .binary import harden, refine_maps
from .calibration import Calibration
from .formula import NO_NEWS, Score, is_hard
from .guard import guard_cue
from .pairing import ImageFiles
from .segments import average_cams
from .several_cues import CueReading

__all__ = ["ImageJob", "ImageResult", "enlarge", "refine_image"]

Shape = tuple[int, int]
# A cue this many times larger than the CAMs has the image's size; below, sizes differ by rounding.
MUCH = 1.5


def refine_image(
    cams: ImageCams,
    cue: np.ndarray,
    background_score: float,
    strength: float = 1.0,
    *,
    float16: bool = False,
    strided_cue: np.ndarray | None = None,
    binary: tuple[float, float] | None = None,
) -> ImageCams:
    """One image's CAMs, both stored sizes, updated by its cue.

    cue: float H×W in [0, 1], 1 = surely background, of any size with the same aspect ratio.
    background_score: t where the CAMs have no background of their own. strength: as in
    `formula.refine`. float16: store the CAMs at the image's size as float16, unless a background is
    stored with them; the smaller copy keeps its dtype. strided_cue: the smaller copy's own cue,
    where it is not the same cue resized. binary: how binary CAMs are read, see binary.py. Raises
    InputError where the shapes do not match.

    >>> import numpy as np
    >>> from c2am_plugin import ImageCams, pseudo_label
    >>> cams = ImageCams("a", np.array([7]), np.array([[[0.9, 0.5, 0.3]]], np.float32))
    >>> refined = refine_image(cams, cue=np.array([[0.2, 0.6, 0.1]]), background_score=0.2)
    >>> pseudo_label(refined.maps, refined.class_ids, 0.2)
    array([[8, 0, 8]], dtype=uint8)
    """
    if len(cams.class_ids) == 0:
        return cams
    t = cams.score(background_score)
    dtype = np.float16 if float16 and cams.background is None else None
    full = resize_cue(cue, cams.maps.shape[1:])
    maps = refine_maps(cams.maps, full, t, strength, dtype, cams.top, binary)
    kept = _kept(cams.maps, maps, full, t, strength)
    small_kept: np.ndarray | bool = False
    strided = cams.strided
    if cams.strided is not None and strided is not None:
        small = resize_cue(cue if strided_cue is None else strided_cue, cams.strided.shape[1:])
        if cams.strided_background is not None:
            t = cams.strided_background
        strided = refine_maps(cams.strided, small, t, strength, binary=binary)
        small_kept = _kept(cams.strided, strided, small, t, strength)
    return cams.with_maps(maps, strided, (kept, small_kept))


def _kept(
    before: np.ndarray, after: np.ndarray, cue: np.ndarray, t: Score, strength: float
) -> np.ndarray | bool:
    """Where the cue is neutral (b = t) and the file's own values stay: bool K×H×W."""
    if strength and is_hard(cue, t):
        return False  # found faster than by the differences
    still = np.abs(cue - t) <= NO_NEWS if strength else np.ones(cue.shape, bool)
    return still & (after == before) if still.any() else False


@dataclass(frozen=True)
class ImageResult:
    """Counts of one image.

    before, after  foreground pixels of the stored and of the refined CAMs
    cue            "none", "background", "foreground" (a constant cue) or "both"
    untouched      a cue left the CAMs unchanged
    """

    pixels: int
    before: int
    after: int
    n_classes: int
    cue: str
    untouched: bool = False
    below_zero: bool = False


@dataclass(frozen=True)
class ImageJob:
    """How an image is refined; called with its files.

    out_dir, labels  folders for CAM files and labels; None for what is not wanted
    crf              labels go through the dense CRF; then every image has a photograph
    crf_setting      the name of the CRF's setting
    ignore_below     pixels of lower probability are labelled 255
    confidence       folder for those probabilities, or None
    zero_is_none     what 0 means in segment files
    """

    adapter: CamAdapter
    out_dir: Path | None
    labels: Path | None
    background_score: float
    strength: float
    reading: CueReading
    clip: bool
    crf: bool = False
    crf_setting: str = "irn"
    ignore_below: float = 0.0
    confidence: Path | None = None
    guard: bool = False
    float16: bool = False
    calibration: Calibration | None = None
    crf_backend: Backend = "auto"
    zero_is_none: bool = True

    def read(self, image: ImageFiles) -> ImageCams:
        return read_cams(self.adapter, image.cam, image.image_id, clip=self.clip)

    def read_cue(self, image: ImageFiles, cams: ImageCams) -> np.ndarray:
        return self.reading(image.cues, cams.maps.shape[1:])

    def label_shape(self, image: ImageFiles, cam: tuple[int, ...], cue: tuple[int, ...]) -> Shape:
        """H×W of an image's label: the photograph's or else the cue's if the CAMs are smaller."""
        if image.photo:
            photo = image_shape(image.photo)
            return photo if 0 in cam or _larger(photo, cam, 1) else _pair(cam)
        if self.reading.form.stretch or not _larger(cue, cam, MUCH):
            return _pair(cue if 0 in cam else cam)
        return _pair(cue)

    def __call__(self, image: ImageFiles) -> ImageResult:
        cams = self.read(image)
        if image.cue is None:
            if self.out_dir is not None:
                copy_cams(self.adapter, cams, image.cam, self.out_dir)
            return self.finish(image, cams, cams, cams.maps.shape[1:], "none")
        cue = self.read_cue(image, cams)
        try:
            evidence = self.meet(cams, cams.maps, cue, cams.score(self.background_score))
            small = None
            if cams.strided is not None and cams.strided_background is not None:
                small = self.meet(cams, cams.strided, cue, cams.strided_background)
            refined = refine_image(
                cams,
                evidence,
                self.background_score,
                self.strength,
                float16=self.float16,
                strided_cue=small,
                binary=(
                    None
                    if self.calibration is None
                    else self.calibration.binary_odds(cams, cue, self.background_score)
                ),
            )
        except InputError as error:
            raise InputError(f"{image.cue}: {error}") from error
        if image.segments is not None:
            refined = average_cams(
                refined, image.segments, self.zero_is_none, self.background_score
            )
        if is_binary(self.adapter) and stored_scale(self.adapter) != 1:
            refined = harden(refined, self.background_score)
        if self.out_dir is not None:
            write_cams(self.adapter, refined, self.out_dir)
        flat = (
            "both" if cue.min() < cue.max() else "background" if cue.flat[0] > 0.5 else "foreground"
        )
        return self.finish(image, cams, refined, cue.shape, flat)

    def meet(self, cams: ImageCams, maps: np.ndarray, cue: np.ndarray, score: Score) -> np.ndarray:
        """The cue that updates these maps at t = `score`: calibrated, guarded, both or neither."""
        if self.calibration is not None:
            cue = self.calibration.apply(cams, cue, score)
        top = cams.top if maps is cams.maps else None
        return guard_cue(maps, cue, score, top) if self.guard else cue

    def finish(
        self,
        image: ImageFiles,
        cams: ImageCams,
        refined: ImageCams,
        cue_shape: tuple[int, ...],
        cue: str,
    ) -> ImageResult:
        """Write the label, if wanted, and count."""
        if self.labels is not None:
            shape = self.label_shape(image, cams.maps.shape[1:], cue_shape)
            if 0 in shape:
                raise InputError(
                    f"{refined.image_id}: has neither a class nor a cue, so the size of its label "
                    "is unknown"
                )
            write_label(self.labels / f"{refined.image_id}.png", self.label(image, refined, shape))
        t = cams.score(self.background_score)
        before, after = (_foreground(each, t) for each in (cams, refined))
        height, width = cams.maps.shape[1:] if cams.maps.size else cue_shape
        same = cue != "none" and bool(cams.maps.size) and self.strength > 0
        untouched = same and before == after and np.array_equal(cams.maps, refined.maps)
        return ImageResult(
            pixels=height * width,
            before=before,
            after=after,
            n_classes=len(cams.class_ids),
            cue=cue,
            untouched=untouched,
            below_zero=cams.below_zero,
        )

    def label(self, image: ImageFiles, refined: ImageCams, shape: Shape) -> np.ndarray:
        """The label uint8 H×W; writes the confidence, if wanted."""
        maps, t = refined.maps, refined.score(self.background_score)
        if len(refined.class_ids):
            maps = enlarge(maps, shape)
            t = enlarge(t[None], shape)[0] if isinstance(t, np.ndarray) else t
        if not (self.crf and image.photo):
            if len(refined.class_ids) == 0:
                return np.zeros(shape, np.uint8)
            return pseudo_label(maps, refined.class_ids, t)
        from ..crf.settings import crf_setting, smooth_label

        photo, setting = read_photo_of(image.photo, shape), crf_setting(self.crf_setting)
        label, probability = smooth_label(
            photo, maps, refined.class_ids, t, setting, self.crf_backend
        )
        label[probability < self.ignore_below] = IGNORE
        if self.confidence is not None:
            write_confidence(self.confidence / f"{image.image_id}.png", probability)
        return label


def enlarge(maps: np.ndarray, shape: Shape) -> np.ndarray:
    """Floating K×h×w in [0, 1] → K×H×W, bilinear; the same array where the shape is right."""
    if maps.shape[1:] == shape:
        return maps
    return np.stack([resize_cue(layer, shape) for layer in maps])


def _larger(shape: tuple[int, ...], other: tuple[int, ...], times: float) -> bool:
    if 0 in shape or 0 in other or not same_aspect(shape, other):
        return False
    return shape != other and min(a / b for a, b in zip(shape, other, strict=True)) >= times


def _pair(shape: tuple[int, ...]) -> Shape:
    return shape[0], shape[1]


def _foreground(cams: ImageCams, background_score: Score) -> int:
    if cams.maps.size == 0:
        return 0
    return int(np.count_nonzero(cams.top > np.asarray(background_score, cams.maps.dtype)))
