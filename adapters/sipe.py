"""SIPE (Chen et al., CVPR 2022): keys [0, c+1 …], `IS_CAM` (K+1)×H×W, channel 0 the background.

Its seeds take the argmax twice: with this background and with half of it.
"""

from __future__ import annotations

from .keyed import KeyedAdapter

__all__ = ["SipeAdapter"]


class SipeAdapter(KeyedAdapter):
    name = "sipe"
    family = "sipe"
    full_names = ("IS_CAM",)
    small_names: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ("IS_CAM1",)
    background_first = True
    lead = 1
    stores_background = True
