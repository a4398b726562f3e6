"""What a benchmark finds, as data: rows of one pipeline, pipelines of one data set.

Contains counts and what follows from them; they are made in benchmark.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..files.class_lists import are_voc_ids
from ..files.labels import VOC_CLASSES
from .gains import Gain, count_scores, image_ious, paired_gain
from .metrics import Scores
from .scoring import RowPlan

__all__ = ["PUBLISHED", "BenchmarkResult", "ClassGain", "PipelineResult", "Row"]

# mIoU of CAM + C²AM in %, PASCAL VOC 2012 train, MoCo weights, batch 128 (arXiv 2203.13505, table
# 1 of the appendix).
PUBLISHED = {"psa": 65.5, "sc_cam": 66.0, "seam": 63.9, "puzzlecam": 65.5, "advcam": 65.4}


@dataclass(frozen=True)
class Row:
    """One way to label the images, scored.

    counts, band  int64 [N, 3, C]: of whole images, and along the outlines (see gains.py)
    gain          over the CAM at its best threshold; None for that one itself
    """

    plan: RowPlan
    counts: np.ndarray
    band: np.ndarray
    gain: Gain | None

    @property
    def scores(self) -> Scores:
        return count_scores(self.counts.sum(axis=0))

    @property
    def trimap_miou(self) -> float:
        """mIoU within the band along the outlines, in [0, 1]."""
        return count_scores(self.band.sum(axis=0)).miou


@dataclass(frozen=True)
class ClassGain:
    """What one class gains: IoU and gain in [0, 1] and [−1, 1], with the gain's 95 % interval.

    images: how many show the class. loses: the gain, as it is printed, is below 0.
    """

    name: str
    images: int
    before: float
    after: float
    gain: float
    low: float
    high: float

    @property
    def loses(self) -> bool:
        return round(self.gain, 3) < 0


@dataclass(frozen=True)
class PipelineResult:
    """One pipeline. label: its name in the tables; method: its adapter; t: its background score.

    label_free  the background score found from cues and CAMs without ground truth, or None

    curves      {"cam", "cues", "guard", "segments": mIoU float64 [T] at `thresholds`}
    rows        {row key: Row}: cam, cam_best, cam_crf, cues, guard, segments, cues_best, cues_crf
    headline    key of the row whose gains are reported: the last of "cues", "guard", "segments"
                that there is
    distrusted  (image, class) pairs whose cue the guard trusts less, of `pairs`
    calibration  how the cues were calibrated to these CAMs, see `Calibration`; None: not at all
    """

    label: str
    method: str
    t: float
    label_free: float | None
    thresholds: np.ndarray
    curves: dict[str, np.ndarray]
    rows: dict[str, Row]
    headline: str
    distrusted: int
    pairs: int
    calibration: dict[str, float] | None

    @property
    def image_ious(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean IoU of each image, float64 [N]: of the CAM at its best threshold, and of the
        headline row."""
        before, after = self.rows["cam_best"].counts, self.rows[self.headline].counts
        return image_ious(before), image_ious(after)

    @property
    def image_gains(self) -> np.ndarray:
        """Gain of each image, float64 [N]: the headline row over the CAM's best threshold."""
        before, after = self.image_ious
        return after - before

    @property
    def guard_gain(self) -> Gain | None:
        """What the guard adds to the same cues without it; None where it is off."""
        if "guard" not in self.rows:
            return None
        return paired_gain(self.rows["cues"].counts, self.rows["guard"].counts)

    def class_gains(self, names: tuple[str, ...], key: str | None = None) -> list[ClassGain]:
        """The classes of the ground truth by falling gain, of row `key` (default the headline)."""
        base, row = self.rows["cam_best"], self.rows[key or self.headline]
        if row.gain is None:
            raise ValueError("gains are measured from the CAM at its best threshold")
        images = (base.counts[:, 1] > 0).sum(axis=0)
        before, after, gain = base.scores.iou, row.scores.iou, row.gain
        found = [
            ClassGain(name, int(images[c]), before[c], after[c], *ends)
            for c, name in enumerate(names)
            if images[c]
            for ends in [(gain.iou[c], gain.iou_low[c], gain.iou_high[c])]
        ]
        return sorted(found, key=lambda each: -each.gain)


@dataclass
class BenchmarkResult:
    """Everything a benchmark found. image_ids are the N images that all rows are made of."""

    image_ids: list[str]
    classes: tuple[str, ...]
    pipelines: list[PipelineResult]
    settings: dict[str, Any]
    missing: dict[str, list[str]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    out_dir: str | None = None

    def published(self, pipeline: PipelineResult) -> float | None:
        """mIoU in % of CAM + C²AM on VOC 2012 train, for a folder named as its pipeline.

        None where the images are not VOC's, as the number does not apply to others.
        """
        vocs = len(self.classes) == len(VOC_CLASSES) and are_voc_ids(self.image_ids)
        return PUBLISHED.get(pipeline.label) if vocs else None

    def table(self) -> str:
        """The results as a Markdown table."""
        from .tables import markdown_table

        return markdown_table(self)
