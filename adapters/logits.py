"""Logits of all classes, 1×C×H×W, channel 0 the background: `msc_seg`, or WeCLIP's `msc_segs`.

ToCo, DuPL, SeCo, MoRe, ExCEL and WeCLIP store them and label by argmax. The adapter reads them as
softmax probabilities: an image's classes are those that win at some pixel, and the background is
t(x). Where refining changed the CAMs, z_c = log p_c + log Σ exp z is written; the other logits stay
bit for bit. The size may be the network's. A second array (`segs`) is carried over unchanged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from c2am_plugin.cams import ImageCams
from c2am_plugin.errors import InputError

from .arrays import brief, like, to_array
from .npy import load_npy, save_npy
from .seed_kinds import Seeds

__all__ = ["LogitsAdapter"]

NAMES = ("msc_seg", "msc_segs")
# Channels of a new file: VOC's classes and the background.
CHANNELS = 21
LEAST = 1e-30


class LogitsAdapter(Seeds):
    name = "logits"
    family = "logits"
    background_score: float | None = None
    stores_background = True

    def load(self, path: Path) -> Any:
        return load_npy(path)

    def fits(self, content: Any) -> bool:
        if not isinstance(content, dict):
            return False
        for name in NAMES:
            if name in content:
                array = getattr(content[name], "array", content[name])
                return (
                    isinstance(array, np.ndarray)
                    and array.dtype.kind == "f"
                    and array.ndim == 4
                    and array.shape[0] == 1
                    and array.shape[1] > 1
                )
        return False

    def parse(self, content: Any, image_id: str, *, clip: bool = False) -> ImageCams:
        if not self.fits(content):
            found = brief(list(content)) if isinstance(content, dict) else type(content).__name__
            raise InputError(f"{image_id}: contains {found}; expected msc_seg, logits 1×C×H×W")
        logits = to_array(image_id, _name(content), content[_name(content)])[0]
        if not np.isfinite(logits).all():
            raise InputError(f"{image_id}: {_name(content)} has values that are NaN or infinite")
        shares = np.exp(logits - _log_sum(logits))
        won = np.flatnonzero(np.bincount(logits.argmax(axis=0).ravel(), minlength=len(logits))[1:])
        below_one = np.minimum(shares[0], np.nextafter(1.0, 0.0))
        maps = np.minimum(shares[won + 1], 1)
        return ImageCams(image_id, won, maps, None, content, below_one if len(won) else None)

    def dump(self, cams: ImageCams, path: Path) -> None:
        if cams.source is None:
            save_npy(path, {NAMES[0]: _fresh(cams)})
            return
        content, name = cams.source.copy(), _name(cams.source)
        if len(cams.class_ids):
            before = self.parse(cams.source, cams.image_id).maps
            logits = to_array(cams.image_id, name, content[name])[0]
            content[name] = like(content[name], _updated(logits, before, cams)[None])
        save_npy(path, content)


def _name(content: dict[str, Any]) -> str:
    return next(name for name in NAMES if name in content)


def _log_sum(logits: np.ndarray) -> np.ndarray:
    """log Σ exp over the channels, float64 H×W."""
    top = logits.max(axis=0).astype(np.float64)
    return top + np.log(np.exp(logits - top).sum(axis=0))


def _updated(logits: np.ndarray, before: np.ndarray, cams: ImageCams) -> np.ndarray:
    changed = (before != cams.maps).any(axis=0)
    updated = logits.copy()
    total = _log_sum(logits)
    for class_id, layer in zip(cams.class_ids, cams.maps, strict=True):
        new = (np.log(np.maximum(layer, LEAST)) + total).astype(logits.dtype)
        np.copyto(updated[class_id + 1], new, where=changed)
    return _settled(updated, cams, changed)


def _fresh(cams: ImageCams) -> np.ndarray:
    if cams.background is None:
        raise InputError(f"{cams.image_id}: logits need a background, which these CAMs lack")
    channels = max(CHANNELS, int(cams.class_ids.max(initial=0)) + 2)
    logits = np.full((channels, *cams.maps.shape[1:]), np.log(LEAST), np.float32)
    logits[0] = np.log(np.maximum(cams.background, LEAST))
    logits[cams.class_ids + 1] = np.log(np.maximum(cams.maps, LEAST))
    return _settled(logits, cams, np.ones(logits.shape[1:], bool))[None]


def _settled(logits: np.ndarray, cams: ImageCams, changed: np.ndarray) -> np.ndarray:
    """The logits, corrected at changed pixels where rounding lost the label of the CAMs."""
    scores = np.concatenate([np.asarray(cams.background)[None], cams.maps])
    wanted = np.array([0, *(cams.class_ids + 1)])[scores.argmax(axis=0)]
    wrong = changed & (logits.argmax(axis=0) != wanted)
    if wrong.any():
        columns, winner = logits[:, wrong], wanted[wrong]
        rows = np.arange(len(winner))
        ceiling = columns[winner, rows]
        columns = np.minimum(columns, ceiling)
        is_class = winner > 0
        above = np.nextafter(ceiling, ceiling.dtype.type(np.inf))
        columns[winner[is_class], rows[is_class]] = above[is_class]
        logits[:, wrong] = columns
    return logits
