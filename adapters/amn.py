"""AMN's second step (Lee et al., CVPR 2022): IRN's layout with one more channel than classes.

Channel 0 is a background. All of AMN's readers drop it and compare the CAMs with a constant.
"""

from __future__ import annotations

from .keyed import KeyedAdapter

__all__ = ["AmnAdapter"]


class AmnAdapter(KeyedAdapter):
    name = "amn_step2"
    family = "amn_step2"
    full_names = ("high_res",)
    lead = 1
    torch_keys = True
