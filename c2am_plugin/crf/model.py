"""The numbers of a dense CRF."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Model"]


class Model(NamedTuple):
    """The kernels' standard deviations, in pixels and in grey levels, their weights, the steps."""

    gaussian_sxy: float
    gaussian_compat: float
    bilateral_sxy: float
    bilateral_srgb: float
    bilateral_compat: float
    iterations: int
