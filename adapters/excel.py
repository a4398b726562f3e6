"""ExCEL (Yang et al., CVPR 2025): `keys_gt` [c …], `valid_lam` (K+1)×H×W, background first."""

from __future__ import annotations

from .keyed import KeyedAdapter

__all__ = ["ExcelAdapter"]


class ExcelAdapter(KeyedAdapter):
    name = "excel"
    family = "excel"
    full_names = ("valid_lam",)
    small_names = ()
    foreign = ("keys",)
    keys_name = "keys_gt"
    lead = 1
    stores_background = True
