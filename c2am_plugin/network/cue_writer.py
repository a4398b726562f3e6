"""From one image's logits to its cue and the files that keep them.

Knows one image at a time. Which images there are and what is reported is make_cues.py's business.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from ..cams import CamAdapter, ImageCams
from ..crf.dense_crf import Backend, cue_crf
from ..files.cues import write_cue
from ..files.writing import atomic_path
from .boundaries import bimodal, otsu, soft_values
from .maps import ScaleLogits, mean_logit, released_map

__all__ = ["CueResult", "CueWriter", "Reading"]


@dataclass(frozen=True)
class Reading:
    """How logits become values in [0, 1], 1 = foreground, and where foreground begins.

    flag      P is high on the background
    boundary  a share of the released map's maximum; "otsu" for Otsu's of each image; "boundary"
              for P = 0.5 of the mean logit; "bimodal" for each image's own, see `bimodal`
    """

    flag: bool
    boundary: float | str

    def __call__(self, logits: ScaleLogits) -> tuple[np.ndarray, float]:
        """Values float32 H×W and their boundary."""
        if self.boundary in ("boundary", "bimodal"):
            log_odds = mean_logit(logits, self.flag)
            own = bimodal(log_odds) if self.boundary == "bimodal" else 0.0
            return expit(log_odds), float(expit(own))
        values = released_map(logits, self.flag)[1][0]
        return values, otsu(values) if self.boundary == "otsu" else float(self.boundary)


class CueResult(NamedTuple):
    """Of one written cue: the boundary it was cut at, its pixels, those above mid-grey."""

    boundary: float
    pixels: int
    foreground: int


@dataclass(frozen=True)
class CueWriter:
    """Writes `<out>/<id>.png`, and the map where `maps` names a folder.

    soft      a calibrated grey PNG; else 0/255 after the dense CRF
    puzzle    the adapter that stores maps, keys [0, 1]
    taught    images whose CAMs were hints in training; their cues say so
    """

    reading: Reading
    soft: bool
    out: Path
    maps: Path | None = None
    puzzle: CamAdapter | None = None
    crf_backend: Backend = "auto"
    taught: Collection[str] = ()

    def __call__(self, image_id: str, photo: np.ndarray, logits: ScaleLogits) -> CueResult:
        values, boundary = self.reading(logits)
        if self.soft:
            cue = soft_values(values, boundary)
        else:
            cue = cue_crf(photo, values > boundary, backend=self.crf_backend)
        if self.maps is not None and self.puzzle is not None:
            strided, full = released_map(logits, self.reading.flag)
            with atomic_path(self.maps / f"{image_id}.npy") as path:
                self.puzzle.dump(ImageCams(image_id, np.array([0]), full, strided), path)
        write_cue(self.out / f"{image_id}.png", cue, taught=image_id in self.taught)
        return CueResult(boundary, cue.size, int(np.count_nonzero(cue > 0.5)))
