"""Writes pickles that old environments read: Python 3.5, numpy 1.16, torch 1.4 and later.

It uses protocol 3 and numpy's old module names, whichever numpy is installed, and writes plain
arrays as torch tensors without torch.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from typing import Any, ClassVar

import numpy as np

from .torch_storage import (
    STORAGES,
    SYS_INFO,
    TORCH_MAGIC,
    TORCH_PROTOCOL,
    GlobalName,
    TorchArray,
    TorchSize,
)

__all__ = ["Pickler"]

# The C pickler cannot write a global that it has not imported; Python's own pickler can.
PythonPickler: Any = pickle._Pickler


class _Storage:
    """The values of a tensor that is being written."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


class _Values:
    """The bytes of a large array, which are written without a copy."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


class Pickler(PythonPickler):
    """Python's own pickler with numpy's old module names and with tensors from plain arrays."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = getattr(obj, "__module__", None) or ""
        if module.startswith("numpy._core"):
            name = f"numpy.core{module.removeprefix('numpy._core')}.{name or obj.__name__}"
            self.save_named(GlobalName(name))
        else:
            super().save_global(obj, name)

    def save_named(self, obj: GlobalName) -> None:
        module, name = obj.name.rsplit(".", 1)
        self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())

    def save_call(self, function: str, arguments: tuple[Any, ...], obj: Any) -> None:
        self.save_named(GlobalName(function))
        self.save(arguments)
        self.write(pickle.REDUCE)
        self.memoize(obj)

    def save_array(self, obj: np.ndarray) -> None:
        if not obj.flags.c_contiguous or obj.dtype.hasobject or not 256 <= obj.nbytes < 2**32:
            self.save_reduce(*obj.__reduce_ex__(2), obj=obj)
            return
        # As numpy pickles it, without its copy of the bytes.
        as_numpy: Any = np.empty(0, obj.dtype).__reduce__()
        build, arguments, (version, _, *about, _) = as_numpy
        self.save_reduce(build, arguments, (version, obj.shape, *about, _Values(obj)), obj=obj)

    def save_values(self, obj: _Values) -> None:
        self.write(pickle.BINBYTES + struct.pack("<I", obj.array.nbytes))
        self.write(obj.array.reshape(-1).view(np.uint8).data)
        self.memoize(obj)

    def save_tensor(self, obj: TorchArray) -> None:
        if obj.parameter is not None:
            arguments: Any = (TorchArray(obj.array), obj.parameter, OrderedDict())
            self.save_call("torch._utils._rebuild_parameter", arguments, obj)
            return
        array = np.ascontiguousarray(obj.array).reshape(obj.array.shape)
        steps = tuple(step // array.itemsize for step in array.strides)
        arguments = (_Storage(array), 0, array.shape, steps, False, OrderedDict())
        self.save_call("torch._utils._rebuild_tensor_v2", arguments, obj)

    def save_size(self, obj: TorchSize) -> None:
        self.save_call("torch.Size", (tuple(obj),), obj)

    def save_storage(self, obj: _Storage) -> None:
        self.save_call("torch.storage._load_from_bytes", (_storage_stream(obj.array),), obj)

    dispatch: ClassVar[dict[type, Any]] = {
        **PythonPickler.dispatch,
        GlobalName: save_named,
        np.ndarray: save_array,
        _Values: save_values,
        TorchArray: save_tensor,
        TorchSize: save_size,
        _Storage: save_storage,
    }


def _storage_stream(array: np.ndarray) -> bytes:
    """The inverse of `builders._load_storage`."""
    little = array.dtype.newbyteorder("<")
    names = [name for name, code in STORAGES.items() if np.dtype(code) == little]
    if not names:
        raise TypeError(f"torch has no {array.dtype} tensor")
    (name,) = names
    file = io.BytesIO()
    for part in (TORCH_MAGIC, TORCH_PROTOCOL, SYS_INFO):
        file.write(pickle.dumps(part, protocol=2))
    identity = ("storage", GlobalName("torch." + name), "0", "cpu", array.size, None)
    file.write(pickle.PROTO + b"\x02")
    Pickler(file, protocol=2).save(identity)
    file.write(pickle.BINPERSID + pickle.STOP)
    file.write(pickle.dumps(["0"], protocol=2))
    file.write(struct.pack("<q", array.size) + array.astype(STORAGES[name]).tobytes())
    return file.getvalue()
