"""The dense CRF settings of pipelines, by name, and labels with their probability.

There are two kinds of unary. A hard one gives the label argmax([t, cam]) the probability `gt_prob`
(IRN, C2AM). A soft one uses the scores themselves, with (1 − max_k cam_k)^α for the background
(PSA, CLIP-ES). The α with t = (1 − t)^α makes the argmax of the scores the same label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..files.labels import label_values, pseudo_label
from .dense_crf import Backend, label_probabilities, softmax_crf

__all__ = [
    "SETTINGS",
    "CrfSetting",
    "background_alpha",
    "crf_setting",
    "label_setting",
    "smooth_label",
]


@dataclass(frozen=True)
class CrfSetting:
    """Standard deviations in pixels (sxy) and grey levels (srgb), and weights, of the two kernels.

    gt_prob  the probability that a hard label is right, in (0, 1); None: soft scores
    """

    gt_prob: float | None
    gaussian_sxy: float
    gaussian_compat: float
    bilateral_sxy: float
    bilateral_srgb: float
    bilateral_compat: float

    @property
    def kernels(self) -> dict[str, Any]:
        return {
            "gaussian_sxy": self.gaussian_sxy,
            "gaussian_compat": self.gaussian_compat,
            "bilateral_sxy": self.bilateral_sxy,
            "bilateral_srgb": self.bilateral_srgb,
            "bilateral_compat": self.bilateral_compat,
        }


# C2AM's cues and IRN's labels use the same numbers. CLIP-ES subtracts a mean from the colours
# before its CRF, which leaves their differences unchanged except that dark colours wrap around;
# here the photograph's own colours are used.
SETTINGS = {
    "irn": CrfSetting(0.7, 3, 3, 50, 5, 10),
    "c2am": CrfSetting(0.7, 3, 3, 50, 5, 10),
    "psa": CrfSetting(None, 3, 3, 80, 13, 10),
    "clip_es": CrfSetting(None, 1, 3, 67, 3, 4),
}


def crf_setting(name: str) -> CrfSetting:
    """The setting of that name. Raises InputError, which lists the known names."""
    if name not in SETTINGS:
        raise InputError(f"CRF setting {name!r} is unknown; expected {', '.join(SETTINGS)}")
    return SETTINGS[name]


def label_setting(own: str) -> str:
    """The setting for labels of a profile whose setting is `own`: PSA's CRF is only for seeds."""
    return "irn" if own in ("", "psa") else own


def background_alpha(background_score: float) -> float:
    """α with t = (1 − t)^α, so that max > t is max > (1 − max)^α.

    >>> round(background_alpha(0.5), 3)
    1.0
    """
    return float(np.log(background_score) / np.log1p(-background_score))


def smooth_label(
    photo: np.ndarray,
    maps: np.ndarray,
    class_ids: np.ndarray,
    background_score: float | np.ndarray,
    setting: CrfSetting,
    backend: Backend = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """argmax([t, maps]) after the dense CRF, and the probability of each pixel's label.

    photo: H×W×3 uint8, RGB. maps: floating K×H×W in [0, 1]; class_ids: int [K], 0-based.
    background_score: t in (0, 1), or a stored background t(x), float H×W in [0, 1).

    Returns the label uint8 H×W (0 background, c + 1 for class c) and its probability, float32 H×W
    in (0, 1]. An image without a class is background with probability 1. Raises the errors of
    `label_crf`.
    """
    if len(class_ids) == 0:
        shape = photo.shape[:2]
        return np.zeros(shape, np.uint8), np.ones(shape, np.float32)
    if setting.gt_prob is None:
        values = np.concatenate([[np.uint8(0)], label_values(class_ids)])
        background = background_score
        if not isinstance(background, np.ndarray):
            background = np.power(1 - maps.max(axis=0), background_alpha(background))
        scores = np.concatenate([background[None].astype(maps.dtype), maps])
        found = softmax_crf(photo, scores, backend=backend, **setting.kernels)
    else:
        label = pseudo_label(maps, class_ids, background_score)
        values, found = label_probabilities(
            photo, label, gt_prob=setting.gt_prob, backend=backend, **setting.kernels
        )
    return values[found.argmax(axis=0)], found.max(axis=0)
