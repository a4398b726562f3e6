"""PSDPM (Zhao et al., CVPR 2024): keys [0, c+1 …], `IS_CAM1` (K+1)×H×W as SFC makes it."""

from __future__ import annotations

from .keyed import KeyedAdapter

__all__ = ["PsdpmAdapter"]


class PsdpmAdapter(KeyedAdapter):
    name = "psdpm"
    family = "psdpm"
    full_names = ("IS_CAM1",)
    small_names = ()
    foreign = ("IS_CAM",)
    background_first = True
    lead = 1
    stores_background = True
    scale = 2.0
