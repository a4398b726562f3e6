"""IRN's layout, as AdvCAM (Lee et al., CVPR 2021) stores it: keys [c …], `cam`, `high_res`.

`cam` feeds IRN's random walk, `high_res` its ir labels. Many pipelines store this layout; their
numbers are in profiles.py.
"""

from __future__ import annotations

from typing import Any

from .keyed import KeyedAdapter

__all__ = ["AdvCamAdapter"]


class AdvCamAdapter(KeyedAdapter):
    name = "advcam"
    family = "irn"
    full_names = ("high_res",)
    bare_keys = True
    torch_keys = True

    def fits(self, content: Any) -> bool:
        # Without the small copy it is ToCo's layout; `parse` still reads it.
        return super().fits(content) and (len(content) <= 1 or "cam" in content)
