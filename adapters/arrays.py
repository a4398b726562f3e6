"""Between stored values and arrays: what a file holds → numpy, and numpy → the same again."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from c2am_plugin.errors import InputError

from .npy import TorchArray

__all__ = ["brief", "like", "stack", "to_array"]

# A file may name one array for several classes; for many it would fill the memory.
REPEATS = 16


def to_array(image_id: str, name: str, value: Any) -> np.ndarray:
    """A stored array or tensor, or a list of numbers, as a numpy array. Raises InputError."""
    if isinstance(value, TorchArray):
        return value.array
    if isinstance(value, np.ndarray) and value.dtype != object:
        return np.asarray(value)  # the values of a masked array, where none is masked
    if isinstance(value, (list, tuple)):
        if all(isinstance(item, (int, np.integer)) and abs(int(item)) < 2**63 for item in value):
            return np.array(value, np.int64)
        if all(isinstance(item, (np.ndarray, TorchArray)) for item in value):
            layers = [to_array(image_id, name, item) for item in value]
            if len({layer.shape for layer in layers}) == 1:
                return stack(image_id, layers)
    raise InputError(f"{image_id}: {name} is {type(value).__name__}; expected an array")


def stack(image_id: str, layers: Sequence[np.ndarray]) -> np.ndarray:
    """Layers of one shape as one array.

    Raises InputError where they are no numbers, or a few arrays pose as many.
    """
    kinds = {layer.dtype for layer in layers}
    if any(kind.kind not in "biuf" for kind in kinds):
        raise InputError(f"{image_id}: CAMs are {brief(sorted(map(str, kinds)))}, not all numbers")
    distinct = {id(layer): layer.nbytes for layer in layers}
    stacked = np.result_type(*kinds).itemsize * sum(layer.size for layer in layers)
    if stacked > REPEATS * sum(distinct.values()):
        raise InputError(f"{image_id}: {len(layers)} CAMs are {len(distinct)} arrays, repeated")
    return np.stack(layers)


def brief(value: Any) -> str:
    """A value out of a file, for a message: short and on one line, whatever it is."""
    try:
        return " ".join(reprlib.repr(value).split())[:120]
    except ValueError:  # an integer of too many digits
        return type(value).__name__


def like(old: Any, new: np.ndarray) -> Any:
    """`new` in the container of the stored value `old`, in its dtype unless `new` is float16."""
    if isinstance(old, (list, tuple)):
        return type(old)([like(before, layer) for before, layer in zip(old, new, strict=True)])
    dtype = new.dtype if new.dtype == np.float16 else to_array("", "", old).dtype
    array = new.astype(dtype, copy=False)
    if isinstance(old, np.ma.MaskedArray):
        return np.ma.MaskedArray(array, fill_value=old.fill_value)
    return replace(old, array=array) if isinstance(old, TorchArray) else array


def shrink(maps: np.ndarray) -> np.ndarray:
    """K×H×W → K×⌈H/4⌉×⌈W/4⌉, the pipelines’ second copy; a class keeps its maximum.

    The pipelines make both sizes of the same coarse maps, bilinear with pixels as squares
    (align_corners=False) and without smoothing, and divide each by its own maximum.
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
