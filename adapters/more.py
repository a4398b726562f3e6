"""MoRe (Yang et al., AAAI 2025): `valid_lam` or `valid_cam` K×H×W, keys [c …], `keys_gt`.

`keys` are the classes that the network predicts, or the true ones; `keys_gt` is carried over.
"""

from __future__ import annotations

from .keyed import KeyedAdapter

__all__ = ["MoreAdapter"]


class MoreAdapter(KeyedAdapter):
    name = "more"
    family = "more"
    full_names = ("valid_lam", "valid_cam")
    small_names = ()
