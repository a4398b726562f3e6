"""FMA-WSSS (Yang and Gong, 2023): `<id>.npz` of `fg_cls` [K] and `cam` K×h×w at feature size.

The stored values are raw. Whenever the pipeline reads a file, it sets values below 0 to 0 and
scales each class to [0, 1] by its minimum and maximum; this adapter does the same. It writes values
in the range of the stored class. A reader stretches a class whose maximum a cue has lowered again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from c2am_plugin.cams import ImageCams

from .keyed import KeyedAdapter
from .npy import load_npz, save_npz

__all__ = ["FmaWssAdapter"]


class FmaWssAdapter(KeyedAdapter):
    name = "fma_wss"
    family = "fma_wss"
    suffix = ".npz"
    full_names = ("cam",)
    small_names = ()
    carried_names = ("att",)
    keys_name = "fg_cls"

    def load(self, path: Path) -> Any:
        return load_npz(path)

    def save(self, path: Path, content: Any) -> None:
        save_npz(path, content)

    def dump(self, cams: ImageCams, path: Path) -> None:
        if cams.source is None:
            self.save(path, self._fresh(cams))
        else:
            super().dump(cams, path)

    def _part(
        self, image_id: str, name: str, array: np.ndarray, clip: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if array.ndim == 3 and array.dtype.kind == "f" and array.size:
            array = _normalised(array)
        return super()._part(image_id, name, array, clip)

    def _whole(
        self, stored: np.ndarray, maps: np.ndarray, background: np.ndarray | None
    ) -> np.ndarray:
        low, span = _range(stored)
        raw = (low + maps * span).astype(stored.dtype, copy=False)
        return np.where(maps == _normalised(stored), stored, raw)


def _range(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minimum and span of each class, K×1×1, of the values above 0; a flat class spans 1."""
    positive = np.maximum(raw, 0)
    low = positive.min(axis=(1, 2), keepdims=True)
    span = positive.max(axis=(1, 2), keepdims=True) - low
    return low, np.where(span > 0, span, np.ones_like(span))


def _normalised(raw: np.ndarray) -> np.ndarray:
    low, span = _range(raw)
    scaled: np.ndarray = (np.maximum(raw, 0) - low) / span
    return scaled
