"""What refine_cams refuses before it reads a file: arguments or folders that do not fit."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..files.folders import refuse_inside
from .background import check_score
from .formula import check_strength
from .set_calibration import check_calibrate

__all__ = [
    "check_choices",
    "check_crf_arguments",
    "check_output_arguments",
    "check_outputs",
    "default_output",
]


def check_choices(
    missing: str, calibrate: str, strength: float, background_score: float | str | None
) -> None:
    check_calibrate(calibrate)
    if missing not in ("error", "keep", "skip"):
        raise InputError(f"missing is {missing!r}; expected error, keep or skip")
    check_strength(strength)
    check_score(background_score)


def check_crf_arguments(
    crf: bool,
    *,
    labels: str | Path | None,
    images: str | Path | None,
    crf_setting: str | None,
    ignore_below: float,
    confidence: str | Path | None,
) -> None:
    if crf and not (images and labels):
        raise InputError("`crf` smooths the labels: it needs `labels` and `images`")
    if not crf and (crf_setting or ignore_below or confidence):
        raise InputError("`crf_setting`, `ignore_below` and `confidence` need `crf`")
    if not 0 <= ignore_below <= 1:
        raise InputError(f"ignore_below is {ignore_below}; expected a probability from 0 to 1")


def check_output_arguments(
    *,
    out_dir: str | Path | None,
    labels: str | Path | None,
    labels_only: bool,
    seeds: str | Path | None,
    seed_settings: object,
    images: str | Path | None,
) -> None:
    if (seeds or seed_settings) and not (seeds and images):
        raise InputError("seeds need two folders: `seeds` and `images`")
    if labels_only and (not labels or seeds or out_dir):
        raise InputError("`labels_only` needs `labels`, and neither `out_dir` nor `seeds`")


def default_output(cam_dir: str | Path) -> Path:
    """Where refined CAMs go by default: beside the folder as it was named, links not followed."""
    folder = Path(os.path.abspath(cam_dir))
    return folder.with_name(folder.name + "_c2am")


def check_outputs(folders: list[Path], inputs: Iterable[str | Path | None]) -> None:
    """Raise InputError for outputs that share a folder, or that are inside an input."""
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError(f"{folders[0]}: refined CAMs, labels and seeds need separate folders")
    refuse_inside(filter(None, inputs), *folders)
