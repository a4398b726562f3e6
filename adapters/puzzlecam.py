"""PuzzleCAM (Jo and Yu, ICIP 2021): keys [0, c+1 …], `cam` at a quarter size, `hr_cam`; t = 0.20.

Also P-NOC's files, C²AM's own maps (keys [0, 1]) and the `rw` of PuzzleCAM's random walk. `cam`
feeds the random walk, `hr_cam` the affinity labels.
"""

from __future__ import annotations

from .stored import KeyedAdapter

__all__ = ["PuzzleCamAdapter"]


class PuzzleCamAdapter(KeyedAdapter):
    name = "puzzlecam"
    family = "puzzlecam"
    threshold = 0.20
    full_names = ("hr_cam", "rw")
    background_first = True
