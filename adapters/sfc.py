"""SFC (Zhao et al., AAAI 2024): keys [0, c+1 …], `IS_CAM` and `IS_CAM1`, both (K+1)×H×W.

Foreground is stored as 2·cam, in 0 … 2, and the background, channel 0, with 0.4 added: both are
read as their halves. Its evaluation reads `IS_CAM`, its seeds IS_CAM1 + 0.7·IS_CAM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from c2am_plugin.cams import ImageCams

from .keyed import KeyedAdapter

__all__ = ["SfcAdapter"]


class SfcAdapter(KeyedAdapter):
    name = "sfc"
    family = "sfc"
    full_names = ("IS_CAM",)
    small_names = ("IS_CAM1",)
    background_first = True
    lead = 1
    stores_background = True
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
    """IS_CAM1 + 0.7·IS_CAM, brought to [0, 1]: argmax does not mind the factor."""
    return (classifier + classifier.dtype.type(0.7) * prototype) / classifier.dtype.type(1.7)
