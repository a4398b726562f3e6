"""SEAM (Wang et al., CVPR 2020): PSA's files with t = 0.26."""

from __future__ import annotations

from .psa import PsaAdapter

__all__ = ["SeamAdapter"]


class SeamAdapter(PsaAdapter):
    name = "seam"
    threshold = 0.26
