"""Better CAM files for weakly supervised segmentation, from C2AM's background cues.

The public names. Each is imported when it is first used, so that refining never waits for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "C2AMError": "errors",
    "ImageCams": "cams",
    "convert_cams": "convert.run",
    "describe_cues": "describe.run",
    "evaluate_cams": "bench.evaluate",
    "evaluate_cues": "bench.reliability",
    "evaluate_labels": "bench.evaluate",
    "make_seeds": "seeds.run",
    "make_boxes": "boxes.make_boxes",
    "refine_cams": "refine.run",
    "refine_image": "refine.run",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
