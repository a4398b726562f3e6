"""The commands: parse, call one public function, turn known errors into exit codes.

Exit codes: 0 success, 1 invalid input or failed images, 2 wrong usage, 130 interrupted. There is
one file per command. Heavy imports are inside the functions, so that `--help` answers at once.
"""

from __future__ import annotations

from .bench import bench_main
from .boxes import boxes_main
from .cams import cams_main
from .convert import convert_main
from .cues import cues_main
from .describe import describe_main
from .merge import merge_main
from .refine import refine_main
from .saliency import saliency_main
from .show import show_main
from .train import train_main

__all__ = [
    "bench_main",
    "boxes_main",
    "cams_main",
    "convert_main",
    "cues_main",
    "describe_main",
    "merge_main",
    "refine_main",
    "saliency_main",
    "show_main",
    "train_main",
]
