"""AFA (Ru et al., CVPR 2022): keys [c …], `cam` K×H×W as a numpy array at the image's size."""

from __future__ import annotations

from typing import Any

import numpy as np

from .keyed import KeyedAdapter

__all__ = ["AfaAdapter"]


class AfaAdapter(KeyedAdapter):
    name = "afa"
    family = "afa"
    full_names = ("cam",)
    small_names = ()
    foreign = ("high_res", "hr_cam", "rw")

    def fits(self, content: Any) -> bool:
        # IRN stores its small copy under the same name, as a tensor.
        return super().fits(content) and isinstance(content.get("cam", np.empty(0)), np.ndarray)
