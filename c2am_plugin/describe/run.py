"""Describes a folder of cues from any source: hard or soft, polarity, share of foreground.

Any folder of saliency maps is a cue folder, and few have a description. Nothing is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..cams import CamAdapter, constant_score, read_cams
from ..errors import InputError
from ..files.cue_folders import find_cues
from ..files.cues import PLAIN, CueForm, is_soft_cue, read_saliency, resize_cue
from ..files.names import unlike
from ..refine.calibration import calibrate_cues, count_sure_pixels
from ..registry import MapReader, choose_adapter, find_cams
from ..runs.parallel import run_images
from .report import Agreement, CueDescription, Polarity

__all__ = ["CueDescription", "describe_cues"]

# The width of the border, as a share of the shorter side.
BORDER = 0.03
# The share of images that must agree on which side is high.
MAJORITY = 0.6
ROUNDING = 1e-6  # rounding error of the means of a flat cue


class CueFacts(NamedTuple):
    """One cue: (width, height), whether it is hard or ours, its means over border and interior, its
    share above mid-grey, and `count_sure_pixels` with its CAMs (None: other shape, or no CAMs)."""

    size: tuple[int, int]
    hard: bool
    ours: bool
    border: float
    inside: float
    foreground: float
    counts: np.ndarray | None


def describe_cues(
    cues: str | Path,
    cams: str | Path | None = None,
    *,
    method: str = "auto",
    stretch_cues: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> CueDescription:
    """Describe the cues of a folder (`<id>.png`, float `.npy`), and how they agree with CAM files.

    cues       folder of cues, high = foreground
    cams       folder of a pipeline's CAM files of the same images; None: only the cues
    method     the name of that pipeline, or "auto" to detect the layout
    stretch_cues  as in `refine_cams`
    workers    images processed at once; default one per core
    progress   show a bar on stderr

    Raises InputError if a folder contains no such files, or if no cue can be read.

    >>> from c2am_plugin import describe_cues
    >>> print(describe_cues("cues", "psa_cam").text())  # doctest: +SKIP
    """
    stored = find_cams(cams, method) if cams else {}
    files, form = find_cues(cues, stored, stretch=stretch_cues, read_map=MapReader.find())
    both = [image_id for image_id in files if image_id in stored]
    if cams and not both:
        raise InputError(
            f"no image has both a CAM and a cue ({cams}, {cues}): {unlike(stored, files)}"
        )
    adapter = None
    if both:
        adapter = choose_adapter(method, [stored[image_id] for image_id in both])
        constant_score(adapter)
    images = [CueFile(image_id, cue, stored.get(image_id)) for image_id, cue in files.items()]
    job = DescribeJob(adapter, form)
    outcome = run_images(job, images, workers=workers, title="cues", progress=progress)
    facts: dict[str, CueFacts] = outcome.results
    if not facts:
        raise InputError(f"no cue can be read; first: {next(iter(outcome.failures.values()))}")
    return CueDescription(
        folder=str(cues),
        soft=sum(not each.hard for each in facts.values()),
        hard=sum(each.hard for each in facts.values()),
        ours=sum(each.ours for each in facts.values()),
        sizes=dict(Counter(each.size for each in facts.values()).most_common()),
        polarity=_polarity(facts),
        foreground=np.array([each.foreground for each in facts.values()]),
        empty=[image_id for image_id, each in facts.items() if each.foreground == 0],
        full=[image_id for image_id, each in facts.items() if each.foreground == 1],
        failures=outcome.failures,
        agreement=_agreement(adapter, facts, both, stored) if adapter else None,
    )


@dataclass(frozen=True)
class CueFile:
    """One cue, and the CAM file of the same image if there is one."""

    image_id: str
    cue: Path
    cam: Path | None


@dataclass(frozen=True)
class DescribeJob:
    """Describes one cue and its agreement with its CAMs; adapter: None without CAMs."""

    adapter: CamAdapter | None
    form: CueForm = PLAIN

    def __call__(self, image: CueFile) -> CueFacts:
        saliency = read_saliency(image.cue, form=self.form)
        height, width = saliency.shape
        edge = max(1, round(BORDER * min(height, width)))
        inner = saliency[edge:-edge, edge:-edge]
        total, within = saliency.sum(dtype=np.float64), inner.sum(dtype=np.float64)
        border = (total - within) / (saliency.size - inner.size)
        ours = is_soft_cue(image.cue)
        return CueFacts(
            size=(width, height),
            hard=not ours and bool(((saliency == 0) | (saliency == 1)).all()),
            ours=ours,
            border=border,
            inside=within / inner.size if inner.size else border,
            foreground=float(np.count_nonzero(saliency > 0.5)) / saliency.size,
            counts=self.agree(image, saliency),
        )

    def agree(self, image: CueFile, saliency: np.ndarray) -> np.ndarray | None:
        if self.adapter is None or image.cam is None:
            return None
        cams = read_cams(self.adapter, image.cam, image.image_id, clip=True)
        try:
            t = cams.score(constant_score(self.adapter))
            cue = 1 - saliency
            if self.form.stretch and cams.maps.size:
                cue = resize_cue(cue, cams.maps.shape[1:], stretch=True)
            return count_sure_pixels(cams, cue, t)
        except InputError:
            return None


def _polarity(facts: Mapping[str, CueFacts]) -> Polarity:
    votes = [
        each.border < each.inside
        for each in facts.values()
        if abs(each.border - each.inside) > ROUNDING
    ]
    share = float(np.mean(votes)) if votes else 0.5
    verdict = "undecided"
    if share >= MAJORITY:
        verdict = "foreground"
    elif share <= 1 - MAJORITY:
        verdict = "background"
    return Polarity(verdict, share, len(votes))


def _agreement(
    adapter: CamAdapter,
    facts: Mapping[str, CueFacts],
    both: list[str],
    stored: Mapping[str, Path],
) -> Agreement:
    counts = [facts[each].counts for each in both if each in facts]
    usable = [each for each in counts if each is not None]
    total = np.sum(usable, axis=0) if usable else np.zeros((2, 256))
    sums = total.sum(axis=1)
    # Columns are levels of b: the lower half is foreground.
    right = np.array([total[0, 128:].sum(), total[1, :128].sum()])
    return Agreement(
        method=adapter.name,
        pairs=len(usable),
        without_cue=len(stored.keys() - set(both)),
        without_cam=len(facts.keys() - set(both)),
        other_shape=len(counts) - len(usable),
        uncalibrated=float((right / sums).mean()) if sums.all() else 0.5,
        calibrated=calibrate_cues([total]).accuracy,
        flipped=calibrate_cues([total[:, ::-1]]).accuracy,
    )
