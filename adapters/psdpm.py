"""PSDPM (Zhao et al., CVPR 2024): SFC's `IS_CAM1` alone, in SIPE's layout with doubled values."""

from __future__ import annotations

from .sipe import SipeAdapter

__all__ = ["PsdpmAdapter"]


class PsdpmAdapter(SipeAdapter):
    name = "psdpm"
    family = "psdpm"
    full_names = ("IS_CAM1",)
    foreign = ("IS_CAM",)
    scale = 2.0
