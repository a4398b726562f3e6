"""What each global that a CAM file may name is built into. No global is ever imported.

There are three kinds of globals. Known ones are read (`BUILDERS`, `TYPES`). Harmless ones are data
that no CAM file needs (`HARMLESS`); they are refused by name. Any other global could run code when
it is loaded, and unpickler.py refuses it as unsafe.

The arguments are untrusted: a list may contain itself, or its text may be large enough to fill the
memory. Messages therefore give an argument's type, not its value.
"""

from __future__ import annotations

import io
import struct
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from math import prod
from typing import Any, Protocol

import numpy as np

from c2am_plugin.errors import InputError, UnsafeFileError

from .torch_storage import (
    STORAGES,
    TORCH_MAGIC,
    TORCH_PROTOCOL,
    GlobalName,
    TorchArray,
    TorchSize,
)

__all__ = [
    "BUILDERS",
    "HARMLESS",
    "TYPES",
    "Pending",
    "Reader",
    "check_hash",
    "check_key",
    "storage_id",
]

# numpy's own limit.
MAX_DIMENSIONS = 64
# Bytes that one entry of a dict takes.
PAIR = 128


class Reader(Protocol):
    """What a builder needs from the unpickler."""

    def spend(self, cost: int) -> None:
        """Charge the budget of the file before the work is done. Raises ValueError."""

    def inner(self, file: io.BytesIO) -> Any:
        """The next pickle of a torch storage, charged to the same budget."""


class Pending:
    """An array or dtype between its REDUCE and its BUILD; `value` is None until then."""

    def __init__(self, code: np.dtype | None = None, masked: bool = False) -> None:
        self.code = code
        self.masked = masked
        self.value: Any = None

    def build(self, state: Any) -> None:
        if self.code is not None:
            self.value = _dtype(self.code, *state)
        else:
            self.value = _masked(*state) if self.masked else _array(*state)


def _unreadable(what: str, remedy: str) -> InputError:
    return InputError(f"contains {what}, which is not supported; {remedy}")


# Keys and sizes


def check_key(key: Any) -> Any:
    # Of numpy's numbers integers alone: floats of 16 bytes have far more values than hashes.
    # A tensor hashes by identity, whatever it contains.
    if isinstance(key, TorchArray) and key.array.ndim == 0:
        return key
    if not isinstance(key, (str, int, float, np.integer, type(None))):
        raise TypeError(f"a dict key of type {type(key).__name__}")
    check_hash(key)
    return key


def check_hash(key: Any) -> None:
    """Refuse long integers: many of them can share one hash, which makes a dict very slow."""
    if isinstance(key, int) and key.bit_length() > 63:
        raise ValueError(f"a dict key of {key.bit_length()} bits")


def _lengths(values: Any) -> tuple[int, ...]:
    """A shape, an offset or strides: few, short integers, so that their product is quick."""
    if not isinstance(values, (tuple, list)) or len(values) > MAX_DIMENSIONS:
        raise ValueError(f"a shape of type {type(values).__name__} or with too many dimensions")
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in values):
        raise ValueError("a shape with an entry that is not an integer from 0 to 2^63 - 1")
    return tuple(values)


# Strings and containers


def _bytes(data: Any) -> bytes:
    if isinstance(data, str):  # as Python 2 pickled bytes
        return data.encode("latin1")
    if not isinstance(data, (bytes, bytearray)):
        raise TypeError(f"{type(data).__name__} instead of bytes")
    return bytes(data)


def _encode(_: Reader, text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("bytes in an encoding other than latin1")
    return text.encode("latin1")


def _empty_bytes(_: Reader, *arguments: Any) -> bytes:
    if arguments:
        raise UnsafeFileError("a call of builtins.bytes")
    return b""


def _ordered_dict(reader: Reader, items: Any = ()) -> OrderedDict[Any, Any]:
    reader.spend(PAIR * len(items))
    return OrderedDict((check_key(key), value) for key, value in items)


def _default_dict(_: Reader, factory: Any = None) -> defaultdict[Any, Any]:
    if factory is None:
        return defaultdict()
    name = factory.name.rpartition(".")[2] if isinstance(factory, GlobalName) else ""
    if name not in FACTORIES:
        raise UnsafeFileError(f"a defaultdict of {type(factory).__name__}")
    return defaultdict(FACTORIES[name])


# numpy


def _start_array(_: Reader, kind: Any, *__: Any) -> Pending:
    if not isinstance(kind, GlobalName) or kind.name not in PLAIN_ARRAYS:
        raise UnsafeFileError("an array of another class")
    return Pending()


def _start_masked(_: Reader, kind: Any, *__: Any) -> Pending:
    if not isinstance(kind, GlobalName) or kind.name not in MASKED_ARRAYS:
        raise UnsafeFileError("a masked array of another class")
    return Pending(masked=True)


def _start_dtype(_: Reader, code: Any, *__: Any) -> Pending:
    if isinstance(code, GlobalName) and code.name.endswith(".record"):
        raise _unreadable("an array of records", PLAIN_ARRAY)
    if not isinstance(code, str) or code[:1] not in "bBiufcmMOUSVr?" or not code:
        raise ValueError(f"a dtype code of type {type(code).__name__} or of an unknown kind")
    dtype = np.dtype(code)
    if dtype.kind not in "biufOUS":
        raise _unreadable(f"an array of dtype {dtype.name[:40]}", PLAIN_ARRAY)
    return Pending(dtype)


def _dtype(code: np.dtype, _version: int, order: Any, *rest: Any) -> np.dtype:
    if order not in ("<", ">", "|", "=") or any(part is not None for part in rest[:3]):
        raise ValueError("a structured dtype")
    return code if order in "|=" else code.newbyteorder(order)


def _array(_version: int, shape: Any, dtype: Any, fortran: Any, data: Any) -> np.ndarray:
    return _values(data, dtype, shape, "F" if fortran else "C")


def _masked(
    version: int, shape: Any, dtype: Any, fortran: Any, data: Any, mask: Any, fill: Any
) -> np.ma.MaskedArray:
    if any(_bytes(mask)):
        raise _unreadable("an array with masked values", "fill them, with array.filled(0)")
    return np.ma.MaskedArray(_array(version, shape, dtype, fortran, data), fill_value=fill)


def _frombuffer(_: Reader, data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    return _values(data, dtype, shape, order)


def _values(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    dtype = dtype.code if isinstance(dtype, Pending) else dtype
    if not isinstance(dtype, np.dtype):
        raise ValueError("an array without a dtype")
    shape = _lengths(shape)
    if dtype == object:
        if prod(shape) != len(data):
            raise ValueError(f"{len(data)} objects for an array of {shape}")
        values = np.empty(len(data), object)
        for index, item in enumerate(data):
            values[index] = item
        return values.reshape(shape)  # objects are listed row by row, whatever the order
    raw = _bytes(data)
    if prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"{len(raw)} bytes for {dtype} {shape}")
    values = np.frombuffer(raw, dtype) if raw else np.empty(0, dtype)
    return values.reshape(shape, order="F" if order == "F" else "C")


def _scalar(_: Reader, dtype: Any, data: Any) -> Any:
    return _values(data, dtype, (1,), "C")[0]


# torch


def _load_storage(reader: Reader, data: Any) -> np.ndarray:
    """The inner stream of torch's legacy format: five short pickles, then the raw values."""
    file = io.BytesIO(_bytes(data))
    magic, protocol, _system, identity, keys = (reader.inner(file) for _ in range(5))
    if magic != TORCH_MAGIC or protocol != TORCH_PROTOCOL:
        raise ValueError("a torch storage of an unknown format")
    storage_class, key, count = identity
    if keys != [key]:
        raise ValueError("a torch storage without its values")
    dtype = np.dtype(STORAGES[storage_class])
    (stored,) = struct.unpack("<q", file.read(8))
    raw = file.read()
    if stored != count or len(raw) < count * dtype.itemsize:
        raise ValueError(f"{len(raw)} bytes for a torch storage of {count} {dtype}")
    return np.frombuffer(raw, dtype, count) if count else np.empty(0, dtype)


def storage_id(identity: Any) -> tuple[str, Any, int]:
    kind, storage_class, key, _location, count, *view = identity
    if kind != "storage" or not isinstance(storage_class, GlobalName) or any(view):
        raise ValueError("a torch storage of an unknown kind")
    if type(count) is not int or count < 0 or not isinstance(key, str):
        raise ValueError(f"a torch storage of {type(count).__name__} values")
    return storage_class.name.removeprefix("torch."), key, count


def _tensor(_: Reader, storage: Any, offset: Any, size: Any, stride: Any, *__: Any) -> TorchArray:
    (offset,), size, stride = _lengths((offset,)), _lengths(size), _lengths(stride)
    if not isinstance(storage, np.ndarray) or len(size) != len(stride):
        raise ValueError("a tensor without values")
    if prod(size) > len(storage):
        raise ValueError(f"a tensor of size {size}, stride {stride}")
    if 0 in size:
        return TorchArray(np.empty(size, storage.dtype))
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= len(storage):
        raise ValueError(f"a tensor beyond its {len(storage)} values")
    steps = [step * storage.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)
    return TorchArray(np.ascontiguousarray(view).reshape(size))


def _parameter(_: Reader, data: Any, requires_grad: Any, *__: Any) -> TorchArray:
    if not isinstance(data, TorchArray):
        raise ValueError(f"a torch parameter of {type(data).__name__}")
    return TorchArray(data.array, parameter=bool(requires_grad))


def _size(_: Reader, sides: Any = ()) -> TorchSize:
    return TorchSize(_lengths(sides))


# The tables

FACTORIES: dict[str, type] = {
    kind.__name__: kind for kind in (bool, dict, float, int, list, str, tuple)
}
PLAIN_ARRAYS = {
    "numpy.ndarray",
    "numpy.memmap",
    "numpy.core.memmap.memmap",
    "numpy.matrix",
    "numpy.matrixlib.defmatrix.matrix",
}
MASKED_ARRAYS = {"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"}
NUMBERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "float16", "float32", "float64")
BUILDERS: dict[str, Any] = {
    "_codecs.encode": _encode,
    "__builtin__.bytes": _empty_bytes,
    "builtins.bytes": _empty_bytes,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "numpy.dtype": _start_dtype,
    "numpy.core.multiarray._reconstruct": _start_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _frombuffer,
    "numpy.ma.core._mareconstruct": _start_masked,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.storage._load_from_bytes": _load_storage,
}
# Types that a file may name but not call.
BUILTINS = ("builtins", "__builtin__")
TYPES = {
    *PLAIN_ARRAYS,
    *MASKED_ARRAYS,
    *(f"{module}.{name}" for module in BUILTINS for name in FACTORIES),
    *(f"{module}.{name}" for module in ("numpy", "torch") for name in NUMBERS),
    *(f"torch.{name}" for name in STORAGES),
    "numpy.bool_",
    "torch.bfloat16",
}

PLAIN_ARRAY = "store a plain array of numbers"
PLAIN_TENSOR = "store the CAMs as float32, with tensor.float()"
PLAIN_VALUE = "store it as a number or a string, or leave it out"
# Harmless globals: what each of them is, a remedy, and the names.
_RECORDS = ("numpy.recarray", "numpy.rec.recarray", "numpy.core.records.recarray", "numpy.record")
_TEXTS = ("numpy.char.chararray", "numpy.chararray", "numpy.core.defchararray.chararray")
_COMPLEX = ("torch.ComplexFloatStorage", "torch.ComplexDoubleStorage")
_QUANTISED = ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")
_FOREIGN = ("torch.storage.UntypedStorage", "torch._utils._rebuild_tensor_v3")
_VALUES = (
    "collections.Counter",
    "collections.deque",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath",
    "numpy.array",
    "numpy.zeros",
    "types.SimpleNamespace",
)
_BUILT_IN = ("set", "frozenset", "complex", "bytearray", "range", "xrange", "slice")
_ROWS: list[tuple[str, str, Sequence[str]]] = [
    ("a bfloat16 torch tensor", PLAIN_TENSOR, ["torch.BFloat16Storage"]),
    ("a complex torch tensor", PLAIN_TENSOR, _COMPLEX),
    ("a quantised torch tensor", PLAIN_TENSOR, [f"torch.{kind}Storage" for kind in _QUANTISED]),
    ("a quantised torch tensor", PLAIN_TENSOR, ["torch._utils._rebuild_qtensor"]),
    ("a torch tensor of a dtype that numpy lacks", PLAIN_TENSOR, _FOREIGN),
    (
        "a sparse torch tensor",
        "store it with .to_dense()",
        ["torch._utils._rebuild_sparse_tensor"],
    ),
    (
        "a torch tensor with attributes or of a subclass",
        "store a plain one, with tensor.detach().clone()",
        ["torch._tensor._rebuild_from_type_v2"],
    ),
    (
        "a torch parameter with attributes",
        "store its values, with parameter.detach()",
        ["torch._utils._rebuild_parameter_with_state"],
    ),
    ("a torch class", PLAIN_VALUE, ["torch.Tensor", "torch.nn.parameter.Parameter"]),
    ("a torch.device", PLAIN_VALUE, ["torch.device"]),
    ("an array of records", PLAIN_ARRAY, _RECORDS),
    ("an array of strings", PLAIN_ARRAY, _TEXTS),
    ("an array of bfloat16", "store the CAMs as float32", ["ml_dtypes.bfloat16"]),
    *((f"a Python {each}", PLAIN_VALUE, [f"{m}.{each}" for m in BUILTINS]) for each in _BUILT_IN),
    *((f"a {name}", PLAIN_VALUE, [name]) for name in _VALUES),
]
HARMLESS = {name: (what, remedy) for what, remedy, names in _ROWS for name in names}
