"""SEAM (Wang et al., CVPR 2020): PSA's files with t = 0.26, and seeds of α 4 and 24.

The folders of the seeds are named as `--out_crf out_crf` names them, by their α.
"""

from __future__ import annotations

from typing import ClassVar

from .psa import PsaAdapter

__all__ = ["SeamAdapter"]


class SeamAdapter(PsaAdapter):
    name = "seam"
    background_score = 0.26
    seed_settings: ClassVar[dict[str, float]] = {"low_alpha": 4, "high_alpha": 24}

    def name_seed_folders(self, low_alpha: float, high_alpha: float) -> tuple[str, str]:
        return f"out_crf_{low_alpha:.1f}", f"out_crf_{high_alpha:.1f}"
