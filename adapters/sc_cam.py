"""SC-CAM (Chang et al., CVPR 2020): PSA's files, under `output_CAM_npy/cls_20/`, with t = 0.15.

Its seeds are PSA's too, under `crf/`.
"""

from __future__ import annotations

from .psa import PsaAdapter

__all__ = ["ScCamAdapter"]


class ScCamAdapter(PsaAdapter):
    name = "sc_cam"
    background_score = 0.15
