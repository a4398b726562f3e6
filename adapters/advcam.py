"""AdvCAM (Lee et al., CVPR 2021) in IRN's format: keys [c …], `cam`, `high_res`; t = 0.15.

Also what IRN, ReCAM, CLIMS, RIB, W-OoD, CDA and LPCAM write. `cam` feeds IRN's random walk,
`high_res` its ir labels: fg 0.35, bg 0.15; plain IRN's are 0.30 and 0.05.
"""

from __future__ import annotations

from typing import ClassVar

from .keyed import KeyedAdapter

__all__ = ["AdvCamAdapter"]


class AdvCamAdapter(KeyedAdapter):
    name = "advcam"
    family = "irn"
    background_score = 0.15
    full_names = ("high_res",)
    background_first = False
    seed_settings: ClassVar[dict[str, float]] = {"fg": 0.35, "bg": 0.15}
