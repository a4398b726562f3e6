"""PuzzleCAM (Jo and Yu, ICIP 2021): keys [0, c+1 …], `cam` at a quarter size, `hr_cam`.

Also P-NOC's files, C²AM's own maps (keys [0, 1]) and the `rw` of PuzzleCAM's random walk. `cam`
feeds the random walk, `hr_cam` the affinity labels: fg 0.40, bg 0.10 in its README, 0.30 and 0.05
are its code's defaults.
"""

from __future__ import annotations

from .keyed import KeyedAdapter

__all__ = ["PuzzleCamAdapter"]


class PuzzleCamAdapter(KeyedAdapter):
    name = "puzzlecam"
    family = "puzzlecam"
    full_names = ("hr_cam", "rw")
    background_first = True
    bare_keys = True
