"""Better CAM files for weakly supervised segmentation, from C2AM's background cues.

The public names. Each is imported when it is first used, so that refining never waits for torch:

    from c2am_plugin import refine_cams
    report = refine_cams("psa_cam", "cues", labels="labels")
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOME = {
    # The steps, in the order of a pipeline.
    "train_classifier": "classifier.train",
    "make_cams": "classifier.make_cams",
    "train_c2am": "network.train",
    "make_cues": "network.make_cues",
    "train_saliency": "saliency.train",
    "predict_saliency": "saliency.predict",
    "describe_cues": "describe.run",
    "refine_cams": "refine.run",
    "refine_image": "refine.image",
    "show_refinement": "show.run",
    "make_seeds": "seeds.run",
    "make_boxes": "boxes.make_boxes",
    "convert_cams": "convert.run",
    # Scores.
    "benchmark": "bench.benchmark",
    "evaluate_cams": "bench.evaluate",
    "evaluate_cues": "bench.reliability",
    "evaluate_labels": "bench.evaluate",
    # One file or one array at a time.
    "ImageCams": "cams",
    "get_adapter": "registry",
    "read_cams": "cams",
    "read_cue": "files.cues",
    "write_cue": "files.cues",
    "read_label": "files.labels",
    "write_label": "files.labels",
    "read_photo": "files.photos",
    "pseudo_label": "files.labels",
    "cue_crf": "crf.dense_crf",
    "label_crf": "crf.dense_crf",
    "softmax_crf": "crf.dense_crf",
    "c2am_loss": "network.loss",
    # Settings and errors.
    "Recipe": "network.recipes",
    "C2AMError": "errors",
    "InputError": "errors",
    "OutputError": "errors",
    "TrainingError": "errors",
    "MissingDependency": "errors",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
