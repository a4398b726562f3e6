"""CLIP-ES (Lin et al., CVPR 2023): keys [c …], `attn_highres` K×H×W float16, no small copy.

WeCLIP, WeCLIP+ and POT use the same layout. The background is (1 − max)^α with α = 1 or 2. That
equals a constant: foreground is where max > t*, with t* = (1 − t*)^α.
"""

from __future__ import annotations

import numpy as np

from .keyed import KeyedAdapter

__all__ = ["ClipEsAdapter"]


class ClipEsAdapter(KeyedAdapter):
    name = "clip_es"
    family = "clip_es"
    full_names = ("attn_highres",)
    small_names = ()
    full_type = np.float16
