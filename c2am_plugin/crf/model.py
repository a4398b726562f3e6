"""The parameters of a dense CRF."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Model"]


class Model(NamedTuple):
    """The kernels' standard deviations, in pixels (sxy) and grey levels (srgb), their weights
    (compat), and the number of iterations."""

    gaussian_sxy: float
    gaussian_compat: float
    bilateral_sxy: float
    bilateral_srgb: float
    bilateral_compat: float
    iterations: int
