"""ToCo (Ru et al., CVPR 2023): keys [c …], `high_res` K×H×W of probabilities, no small copy.

The probabilities are not normalised: a class's maximum may be well below 1.
"""

from __future__ import annotations

from .keyed import KeyedAdapter

__all__ = ["TocoAdapter"]


class TocoAdapter(KeyedAdapter):
    name = "toco"
    family = "toco"
    full_names = ("high_res",)
    small_names = ()
    foreign = ("cam",)
