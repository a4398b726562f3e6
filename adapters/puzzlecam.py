"""PuzzleCAM (Jo and Yu, ICIP 2021): keys [0, c+1 …], `cam` at a quarter size, `hr_cam`.

P-NOC's files, C²AM's own maps (keys [0, 1]) and the `rw` of PuzzleCAM's random walk have the same
layout. `cam` feeds the random walk. `hr_cam` feeds the affinity labels: fg 0.40 and bg 0.10 in
PuzzleCAM's README, 0.30 and 0.05 by default in its code.
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
