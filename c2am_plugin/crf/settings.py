"""The dense CRF as pipelines set it, by name, and labels with their probability.

Two kinds of unary. A hard one trusts the label argmax([t, cam]) with `gt_prob` (IRN, C2AM); a soft
one takes the scores themselves, the background's being (1 − max_k cam_k)^α (PSA, CLIP-ES), with
the α that makes argmax of the scores the same label, t = (1 − t)^α.
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

    gt_prob  how likely a hard label is right, in (0, 1); None: soft scores
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


# C2AM's cues and IRN's labels are made with the same numbers. CLIP-ES shifts the colours by a mean
# before its CRF, which changes no difference between two of them, but wraps the dark ones; here
# they are the photograph's.
SETTINGS = {
    "irn": CrfSetting(0.7, 3, 3, 50, 5, 10),
    "c2am": CrfSetting(0.7, 3, 3, 50, 5, 10),
    "psa": CrfSetting(None, 3, 3, 80, 13, 10),
    "clip_es": CrfSetting(None, 1, 3, 67, 3, 4),
}


def crf_setting(name: str) -> CrfSetting:
    """The setting of a name. Raises InputError with the known names."""
    if name not in SETTINGS:
        raise InputError(f"CRF setting {name!r} is unknown; known are {', '.join(SETTINGS)}")
    return SETTINGS[name]


def label_setting(own: str) -> str:
    """The setting of labels where a profile's is `own`: PSA's CRF makes seeds, and no labels."""
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
    """argmax([t, maps]) after the dense CRF, and how probable it holds each pixel's winner.

    photo: H×W×3 uint8, RGB. maps: floating K×H×W in [0, 1]; class_ids: int [K], 0-based.
    background_score: t in (0, 1), or t(x), a background H×W in [0, 1).

    Returns the label uint8 H×W (0 background, c + 1 for class c) and float32 H×W in (0, 1]. An
    image without a class is background with probability 1. Raises as `label_crf` does.
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
