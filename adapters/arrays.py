"""Conversion between the values in a file and numpy arrays, in both directions."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from c2am_plugin.cams import ROUNDING, clip_maps
from c2am_plugin.errors import InputError

from .npy import TorchArray

__all__ = ["brief", "by_layer", "like", "scaled", "stack", "to_array"]

# A file may store one array once and name it for several classes. Stacked, its CAMs may take this
# many times the memory of the stored arrays.
REPEATS = 16


def to_array(image_id: str, name: str, value: Any) -> np.ndarray:
    """A stored array, tensor or list of numbers as a numpy array. Raises InputError."""
    if isinstance(value, TorchArray):
        return value.array
    if isinstance(value, np.ndarray) and value.dtype != object:
        return np.asarray(value)  # drops the mask of a masked array, which masks no value
    if isinstance(value, (list, tuple)):
        if all(isinstance(item, (int, np.integer)) and abs(int(item)) < 2**63 for item in value):
            return np.array(value, np.int64)
        if all(isinstance(item, (np.ndarray, TorchArray)) for item in value):
            layers = [to_array(image_id, name, item) for item in value]
            if len({layer.shape for layer in layers}) == 1:
                return stack(image_id, layers)
    raise InputError(f"{image_id}: {name} is {type(value).__name__}; expected an array")


def stack(image_id: str, layers: Sequence[np.ndarray]) -> np.ndarray:
    """Layers of one shape, stacked; of a single layer a view.

    Raises InputError where they are not numbers, or where a few arrays are repeated many times.
    """
    kinds = {layer.dtype for layer in layers}
    if any(kind.kind not in "biuf" for kind in kinds):
        found = brief(sorted(map(str, kinds)))
        raise InputError(f"{image_id}: CAMs have the dtypes {found}; expected numbers")
    distinct = {id(layer): layer.nbytes for layer in layers}
    stacked = np.result_type(*kinds).itemsize * sum(layer.size for layer in layers)
    if stacked > REPEATS * sum(distinct.values()):
        found = f"{len(layers)} CAMs repeat {len(distinct)} stored array(s)"
        raise InputError(f"{image_id}: {found}; expected one array per class")
    return np.stack(layers) if len(layers) > 1 else layers[0][None]


def brief(value: Any) -> str:
    """Any value from a file as short text on one line, for a message."""
    try:
        return " ".join(reprlib.repr(value).split())[:120]
    except ValueError:  # an integer of too many digits
        return type(value).__name__


def scaled(maps: np.ndarray, scale: float, clip: bool) -> np.ndarray:
    """Stored maps divided by the file's scale, and clipped to [0, 1] if `clip` is true.

    Integers become float32 when they are divided.
    """
    if scale != 1 and maps.dtype.kind in "biuf":
        maps = (maps / scale).astype(maps.dtype if maps.dtype.kind == "f" else np.float32)
    return clip_maps(maps) if clip else maps


def like(
    old: Any, new: np.ndarray, kept: np.ndarray | bool = False, scale: float = 1.0, own: float = 1.0
) -> Any:
    """`new` in the container of the stored value `old`, in its dtype unless `new` is float16.

    kept: bool, of the shape of `new` or of one layer; the stored values there are kept bit for bit,
    values below 0 included. NaN and values above the scale are never kept. scale: the divisor of
    the file's values when they are read. own: the layout's own scale, which `new` already has.
    """
    if isinstance(old, (list, tuple)):
        layers = zip(old, new, by_layer(kept, new), strict=True)
        return type(old)([like(*each, scale, own) for each in layers])
    stored = to_array("", "", old)
    narrow = new.dtype == np.float16 and stored.dtype.kind == "f"
    array = new if scale == 1 else new * new.dtype.type(scale)
    if stored.dtype.kind in "biu":
        array = np.rint(array)
    array = array.astype(new.dtype if narrow else stored.dtype, copy=False)
    if np.any(kept):
        stay = kept & np.isfinite(stored) & (stored <= scale * own * (1 + ROUNDING))
        if array.dtype != stored.dtype:
            stay &= stored < 0  # the other values are already rounded so that labels stay
        array = np.where(stay, stored.astype(array.dtype, copy=False), array)
    if isinstance(old, np.ma.MaskedArray):
        return np.ma.MaskedArray(array, fill_value=old.fill_value)
    return replace(old, array=array) if isinstance(old, TorchArray) else array


def by_layer(kept: np.ndarray | bool, maps: np.ndarray) -> Iterable[np.ndarray | bool]:
    """`kept`, bool (K×)H×W or one bool, for each of the K layers of `maps`."""
    return [kept] * len(maps) if isinstance(kept, bool) else np.broadcast_to(kept, maps.shape)


def shrink(maps: np.ndarray) -> np.ndarray:
    """K×H×W → K×⌈H/4⌉×⌈W/4⌉, the pipelines’ second copy; each class keeps its maximum.

    The pipelines interpolate both sizes from the same coarse maps (bilinear, align_corners=False,
    no smoothing) and divide each by its own maximum.
    """
    small = maps
    for axis in (1, 2):
        small = _resample(small, axis, -(-maps.shape[axis] // 4))
    if small.size:
        top, full = (each.max(axis=(1, 2), keepdims=True) for each in (small, maps))
        small = np.minimum(small * np.divide(full, top, out=np.ones_like(top), where=top > 0), full)
    return small.astype(maps.dtype, copy=False)


def _resample(maps: np.ndarray, axis: int, size: int) -> np.ndarray:
    before = maps.shape[axis]
    place = np.maximum((np.arange(size) + 0.5) * (before / max(size, 1)) - 0.5, 0)
    low = place.astype(np.intp)
    high = np.minimum(low + 1, before - 1)
    weight = (place - low).astype(maps.dtype).reshape([-1 if axis == i else 1 for i in range(3)])
    return maps.take(low, axis) * (1 - weight) + maps.take(high, axis) * weight
