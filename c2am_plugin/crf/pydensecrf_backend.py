"""Mean field in pydensecrf, the C++ package that most published pipelines use.

Optional: `pip install 'c2am-plugin[pydensecrf]'` installs pydensecrf2 (not for Python 3.13).
"""

from __future__ import annotations

import numpy as np
from pydensecrf.densecrf import DenseCRF2D

from .model import Model

__all__ = ["infer"]


def infer(image: np.ndarray, unary: np.ndarray, model: Model) -> np.ndarray:
    """Mean-field probabilities, L×HW float32, from energies L×HW float32."""
    crf = DenseCRF2D(image.shape[1], image.shape[0], len(unary))
    crf.setUnaryEnergy(unary)
    crf.addPairwiseGaussian(sxy=model.gaussian_sxy, compat=model.gaussian_compat)
    crf.addPairwiseBilateral(
        sxy=model.bilateral_sxy,
        srgb=model.bilateral_srgb,
        rgbim=np.array(image, order="C"),  # pydensecrf rejects read-only arrays
        compat=model.bilateral_compat,
    )
    return np.array(crf.inference(model.iterations))
