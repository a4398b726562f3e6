"""Before a run: check on a few images whether their CAMs, cues and photographs fit each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..cams import ImageCams
from ..errors import InputError
from ..files.folders import sample
from .checks import check_polarity, check_same_images, check_shapes
from .image import ImageJob
from .pairing import ImageFiles, Pairing, log

__all__ = ["check_sample"]

# A tenth of the images, within these bounds, shows whether the two folders fit each other.
SAMPLE = (16, 32)


def check_sample(job: ImageJob, pairing: Pairing) -> list[np.ndarray]:
    """Check on a few images whether CAMs and cues fit, each folder of cues by itself.

    Single bad files are left to the run. Returns the cues of the last folder, b as read.
    """
    count = min(max(SAMPLE[0], len(pairing.images) // 10), SAMPLE[1])
    some = sample(pairing.with_cue, count)
    cues: list[np.ndarray] = []
    for folder, reading in zip(pairing.folders, job.reading.alone(), strict=True):
        name = f"the cues of {folder}" if len(pairing.folders) > 1 else "the cues"
        cues = _check_folder(replace(job, reading=reading), some, name)
    return cues


def _check_folder(job: ImageJob, some: list[ImageFiles], name: str) -> list[np.ndarray]:
    pairs: list[tuple[ImageCams, np.ndarray]] = []
    shapes, errors = [], []
    for image in some:
        if image.cues:
            try:
                cams = job.read(image)
                pairs.append((cams, job.read_cue(image, cams)))
                shapes.append(_label_size(job, image, *pairs[-1]))
            except InputError as error:
                errors.append(error)
    if errors and not pairs:
        raise errors[0]
    check_shapes(pairs, name)
    if other := next((each for each in shapes if each), None):
        log.warning("%s", other)
    if check_polarity(pairs, name):
        check_same_images(pairs, name)
    return [cue for _, cue in pairs]


def _label_size(job: ImageJob, image: ImageFiles, cams: ImageCams, cue: np.ndarray) -> str:
    """A warning that an image's label is larger than its CAMs; otherwise empty."""
    shape = cams.maps.shape[1:]
    label = job.label_shape(image, shape, cue.shape)
    if not job.labels or 0 in shape or label == shape:
        return ""
    of = "photographs" if image.photo else "cues"
    return (
        f"the CAMs are smaller than their {of} ({shape[1]}×{shape[0]} and {label[1]}×{label[0]} "
        f"in {image.image_id}): labels get the size of the {of}; the CAMs keep theirs"
    )
