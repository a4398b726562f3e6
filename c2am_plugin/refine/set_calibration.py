"""Calibrate a whole set: whether to do so, on which images, and the loop over them.

Both `refine_cams` and `benchmark` use this, so that a table describes the folder that is written.
The counts of one image and the calibration made from them are in calibration.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..cams import CamAdapter, ImageCams, is_binary, read_cams
from ..errors import InputError
from ..files.cues import CueForm, is_soft_cue, is_taught_cue, read_cue
from ..files.folders import sample
from ..runs.parallel import run_images
from .calibration import Calibration, calibrate_cues, count_sure_pixels, with_binary_cams
from .pairing import ImageFiles
from .several_cues import CueReading
from .shares import SurePixels, cue_shares, look_at_cues

__all__ = [
    "calibrate_set",
    "check_calibrate",
    "log_calibration",
    "name_greys",
]

T = TypeVar("T")
# Images in the sample for calibration; more would change only the second decimal.
CALIBRATION_IMAGES = 500
# Cues that are read to find out whether a folder contains soft cues of c2am-cues.
SOFT_CUES = 32
# A larger share of pixels between these bounds is more than the soft edge of a mask.
GREY, MIDDLE = 0.02, (0.1, 0.9)
log = logging.getLogger("c2am_plugin")


def check_calibrate(calibrate: str) -> None:
    if calibrate not in ("auto", "on", "off"):
        raise InputError(f"calibrate is {calibrate!r}; expected auto, on or off")


def calibrate_set(
    calibrate: str,
    adapter: CamAdapter,
    images: Sequence[ImageFiles],
    background_score: float,
    reading: CueReading,
    *,
    clip: bool,
    workers: int | None,
    progress: bool,
) -> tuple[CueReading, Calibration | None]:
    """How the cues of these images are read, and their calibration to the images' CAMs.

    calibrate: "on", "off" or "auto"; None where it calibrates nothing. images: all have cues; a
    sample of them is looked at. Of several folders the reading gets the shares.
    Raises InputError where none of the sample can be read, and for several folders with "off".
    """
    if not _wants_calibration(calibrate, images, reading, is_binary(adapter)):
        return reading, None
    groups = _by_teacher(images)
    if len(reading.forms) > 1:
        shares = SharesJob(adapter, background_score, reading, clip)
        found = _look(shares, groups[0], "comparing cues", workers, progress)
        reading = replace(reading, shares=cue_shares(found))
    _report_teachers(groups)
    job = CalibrationJob(adapter, background_score, reading, clip)
    # Agreement with a teacher proves nothing, so the less trusting of the groups' decides.
    each = [_calibration(job, group, workers, progress) for group in groups]
    return reading, min(each, key=lambda calibration: calibration.accuracy)


def _calibration(
    job: CalibrationJob, images: Sequence[ImageFiles], workers: int | None, progress: bool
) -> Calibration:
    counts = _look(job, images, "calibrating", workers, progress)
    calibration = calibrate_cues(counts)
    return with_binary_cams(calibration, counts) if is_binary(job.adapter) else calibration


def _wants_calibration(
    calibrate: str, images: Sequence[ImageFiles], reading: CueReading, binary: bool = False
) -> bool:
    """Whether `calibrate` ("on", "off" or "auto") calibrates the cues of these images.

    Cues of several folders always are: their calibration is what makes one cue of them. Raises
    InputError where it is off. binary: the CAMs are only 0 and 1. An uncalibrated cue could change
    them only where it is 0 or 1, so "auto" calibrates all cues except hard ones.
    """
    form = reading.form
    if len(reading.forms) > 1:
        if calibrate == "off":
            raise InputError(
                'several cue folders are combined by calibrating them: `calibrate="off"` needs a '
                "single folder"
            )
        return True
    if calibrate == "auto":
        cues = [image.cue for image in sample(images, SOFT_CUES) if image.cue]
        if binary:
            return bool(cues) and not all(_is_hard(cue, form) for cue in cues)
        return bool(cues) and (form.maps or all(is_soft_cue(cue) for cue in cues))
    return calibrate == "on"


def _is_hard(path: Path, form: CueForm) -> bool:
    try:
        cue = read_cue(path, form=form)
    except InputError:
        return True  # the run lists it
    return bool(((cue == 0) | (cue == 1)).all())


def _by_teacher(images: Sequence[ImageFiles]) -> list[Sequence[ImageFiles]]:
    """The images whose CAMs did not teach their cues as hints, and those whose did."""
    if not any(_is_taught(image) for image in sample(images, SOFT_CUES)):
        return [images]
    groups: dict[bool, list[ImageFiles]] = {False: [], True: []}
    for image in images:
        groups[_is_taught(image)].append(image)
    return [group for group in groups.values() if group]


def _report_teachers(groups: Sequence[Sequence[ImageFiles]]) -> None:
    if len(groups) == 2:
        log.info("%d of these CAMs taught the cues, %d did not", len(groups[1]), len(groups[0]))
    elif _is_taught(groups[0][0]):
        log.warning(
            "all of these CAMs taught the cues that they now judge (c2am-train's hints), so the "
            "calibration trusts the cues more than it should"
        )


def _is_taught(image: ImageFiles) -> bool:
    return any(is_taught_cue(cue) for cue in image.cues)


def _look(
    job: Callable[[ImageFiles], T],
    images: Sequence[ImageFiles],
    title: str,
    workers: int | None,
    progress: bool,
) -> list[T]:
    """What the job finds in a sample of the images. Raises InputError where it can read none."""
    outcome = run_images(
        job,
        sample(images, CALIBRATION_IMAGES),
        workers=workers,
        title=title,
        prefer="processes",
        progress=progress,
    )
    if not outcome.results:
        raise InputError(next(iter(outcome.failures.values())))
    return list(outcome.results.values())


def name_greys(calibrate: str, cues: Iterable[np.ndarray]) -> None:
    """Warn where cues, b in [0, 1], are grey and will be read as odds by default."""
    shares = [float(((cue > MIDDLE[0]) & (cue < MIDDLE[1])).mean()) for cue in cues]
    if calibrate == "auto" and shares and np.mean(shares) > GREY:
        log.warning(
            "the cues are grey and not from c2am-cues: uncalibrated, their greys are read as odds, "
            'which they rarely are; `calibrate="on"` calibrates them to these CAMs'
        )


def log_calibration(calibration: Calibration) -> None:
    if calibration.limit == 0:
        log.warning(
            "the cues do not agree with the CAMs' sure pixels, so they change nothing; "
            '`calibrate="off"` uses them uncalibrated'
        )
    else:
        log.info(
            "the cues agree with %.0f %% of the CAMs' sure pixels; they can change the odds of a "
            "pixel by a factor of up to %.1f",
            100 * calibration.accuracy,
            np.exp(calibration.limit),
        )


@dataclass(frozen=True)
class _Job:
    adapter: CamAdapter
    background_score: float
    reading: CueReading
    clip: bool

    def cams(self, image: ImageFiles) -> ImageCams:
        return read_cams(self.adapter, image.cam, image.image_id, clip=self.clip)


class CalibrationJob(_Job):
    """The counts of one image's sure pixels by the value of its cue: int64 [2, 256]."""

    def __call__(self, image: ImageFiles) -> np.ndarray:
        cams = self.cams(image)
        cue = self.reading(image.cues, cams.maps.shape[1:])
        return count_sure_pixels(cams, cue, cams.score(self.background_score))


class SharesJob(_Job):
    """The sure pixels of one image with the values of all its cues."""

    def __call__(self, image: ImageFiles) -> SurePixels:
        cams = self.cams(image)
        cues = self.reading.each(image.cues, cams.maps.shape[1:])
        return look_at_cues(cams, cues, cams.score(self.background_score))
