"""Calibrating a whole set: whether to, on which images, and the loop over them.

`refine_cams` and `benchmark` both come here, so that a table describes the folder that is written.
What is counted in one image, and what follows from the counts, is in calibration.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..cams import CamAdapter, read_cams
from ..errors import InputError
from ..files.cues import is_soft_cue, read_cue
from ..files.folders import sample
from ..runs.parallel import run_images
from .calibration import Calibration, calibrate_cues, count_sure_pixels

__all__ = ["calibrate_set", "check_calibrate", "log_calibration", "wants_calibration"]

# Images that calibrating looks at; more change the second decimal.
CALIBRATION_IMAGES = 500
# Cues that tell whether a folder has soft cues of c2am-cues.
SOFT_CUES = 32
log = logging.getLogger("c2am_plugin")


def check_calibrate(calibrate: str) -> None:
    if calibrate not in ("auto", "on", "off"):
        raise InputError(f"calibrate is {calibrate!r}; expected auto, on or off")


def wants_calibration(calibrate: str, cues: Sequence[Path]) -> bool:
    """Whether `calibrate`, "on", "off" or "auto", means to calibrate these cue files."""
    if calibrate == "auto":
        return bool(cues) and all(is_soft_cue(path) for path in sample(cues, SOFT_CUES))
    return calibrate == "on"


def calibrate_set(
    adapter: CamAdapter,
    cams: Mapping[str, Path],
    cues: Mapping[str, Path],
    background_score: float,
    *,
    flip_cues: bool,
    clip: bool,
    workers: int | None,
    progress: bool,
) -> Calibration:
    """The calibration of these cues, {image id: path}, to the CAM files of the same ids.

    The images that count are a sample of the ids of `cues`, in their order. Raises InputError where
    none of them can be read.
    """
    outcome = run_images(
        _Job(adapter, cams, cues, background_score, flip_cues, clip),
        sample(list(cues), CALIBRATION_IMAGES),
        workers=workers,
        title="calibrating",
        prefer="processes",
        progress=progress,
    )
    if not outcome.results:
        raise InputError(next(iter(outcome.failures.values())))
    return calibrate_cues(outcome.results.values())


def log_calibration(fit: Calibration) -> None:
    if fit.limit == 0:
        log.warning(
            "the cues do not agree with what the CAMs are sure of, so they change nothing; "
            '`calibrate="off"` takes them uncalibrated'
        )
    else:
        log.info(
            "the cues side with %.0f %% of what the CAMs are sure of; they may change the odds of "
            "a pixel by up to %.1f times",
            100 * fit.accuracy,
            np.exp(fit.limit),
        )


@dataclass(frozen=True)
class _Job:
    """How far one image's cue agrees with what its CAMs are sure of; called with its id."""

    adapter: CamAdapter
    cams: Mapping[str, Path]
    cues: Mapping[str, Path]
    background_score: float
    flip_cues: bool
    clip: bool

    def only(self, image_id: str) -> _Job:
        cams, cues = {image_id: self.cams[image_id]}, {image_id: self.cues[image_id]}
        return replace(self, cams=cams, cues=cues)

    def __call__(self, image_id: str) -> np.ndarray:
        cams = read_cams(self.adapter, self.cams[image_id], image_id, clip=self.clip)
        cue = read_cue(self.cues[image_id], flip=self.flip_cues)
        return count_sure_pixels(cams, cue, self.background_score)
