"""SFC (Zhao et al., AAAI 2024): keys [0, c+1 …], `IS_CAM` and `IS_CAM1`, both (K+1)×H×W.

SIPE's layout twice, with doubled values: the classes are 2·cam, in 0 … 2, and 0.4 has been added to
the background. The adapter halves both. SFC evaluates `IS_CAM`; its seeds come from
IS_CAM1 + 0.7·IS_CAM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from c2am_plugin.cams import ImageCams

from .sipe import SipeAdapter

__all__ = ["SfcAdapter"]


class SfcAdapter(SipeAdapter):
    name = "sfc"
    family = "sfc"
    small_names = ("IS_CAM1",)
    foreign = ()
    scale = 2.0

    def fits(self, content: dict) -> bool:
        return super().fits(content) and ("IS_CAM" not in content or "IS_CAM1" in content)

    def write_seeds(
        self,
        cams: ImageCams,
        photo: np.ndarray,
        settings: Mapping[str, float],
        paths: Sequence[Path],
    ) -> None:
        small, background = cams.strided, cams.strided_background
        if small is not None and background is not None and small.shape == cams.maps.shape:
            maps = _mean(small, cams.maps)
            background = _mean(background, np.asarray(cams.background))
            cams = ImageCams(cams.image_id, cams.class_ids, maps, background=background)
        super().write_seeds(cams, photo, settings, paths)


def _mean(classifier: np.ndarray, prototype: np.ndarray) -> np.ndarray:
    """IS_CAM1 + 0.7·IS_CAM, scaled to [0, 1], which leaves the argmax unchanged."""
    return (classifier + classifier.dtype.type(0.7) * prototype) / classifier.dtype.type(1.7)
