"""PSDPM (Zhao et al., CVPR 2024): SFC's `IS_CAM1` alone, in SIPE's layout with doubled values."""

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
