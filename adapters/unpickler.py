"""An unpickler that cannot run code: it interprets the opcodes and calls only this module.

A global is not imported. It is looked up in `GLOBALS`, a short table of what numpy arrays, numpy
scalars and torch tensors are made of, each answered by a function below. Anything else is refused
by name before anything is built. Sizes are checked against the bytes that are really there, and
a `Budget` keeps a small file from asking for much work or memory by repeating itself.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections import OrderedDict
from math import prod
from sys import getsizeof
from typing import Any

import numpy as np

from c2am_plugin.errors import UnsafeFileError

from .torch_storage import STORAGES, TORCH_MAGIC, TORCH_PROTOCOL, GlobalName, TorchArray

__all__ = ["Budget", "Unpickler"]


class Budget:
    """What reading one file may still cost: the bytes that its opcodes and calls take in memory.

    A CAM file's bytes are copied two or three times. A file of many small objects, as lists of
    labels are, takes some 20 times its size; one that repeats itself, by naming one large value
    over and over, or that is nothing but brackets, soon asks for more than `COPIES` times.
    """

    COPIES = 32

    def __init__(self, file_size: int) -> None:
        self.left = self.COPIES * file_size + (1 << 20)

    def spend(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            raise ValueError(f"asks for more than {self.COPIES} times its size")


# Bytes that an opcode takes in memory: its place on the stack, and what it makes. The others are
# longer than what they take, or have paid with their mark.
PUT, CONTAINER, CALL = 128, 96, 160
COSTS = {
    "MEMOIZE": PUT,
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_DICT", "MARK"), CONTAINER),
    **dict.fromkeys(("TUPLE1", "TUPLE2", "TUPLE3"), CONTAINER),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL", "BINPERSID", "REDUCE", "BUILD"), CALL),
}
OTHERS = 24


def _cost(value: Any) -> int:
    """The memory or work that a built value or an argument may take, roughly."""
    if isinstance(value, TorchArray):
        return value.array.nbytes
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, (str, bytes, bytearray, list, tuple)):
        return len(value)
    return 100 * len(value) if isinstance(value, dict) else 0


class _Pending:
    """An array or dtype between its REDUCE and its BUILD; `value` is None until then."""

    def __init__(self, code: np.dtype | None = None) -> None:
        self.code = code
        self.value: Any = None


class Unpickler:
    """Runs the opcodes of one pickle on a stack of plain values."""

    def __init__(self, budget: Budget, *, in_storage: bool = False) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.budget = budget
        # The pickles inside a torch storage name its type and nothing else.
        self.in_storage = in_storage

    def run(self, file: io.BytesIO) -> Any:
        for opcode, argument, _ in pickletools.genops(file):
            size = getsizeof(argument) if isinstance(argument, (str, bytes, bytearray)) else 0
            self.budget.spend(COSTS.get(opcode.name, OTHERS) + size)
            if opcode.name in LITERALS:
                self.stack.append(argument)
            elif opcode.name in ("PROTO", "FRAME"):
                continue
            elif opcode.name == "STOP":
                return _settled(self.stack.pop())
            else:
                step = getattr(self, "do_" + opcode.name.lower(), None)
                if step is None:
                    wanted = "" if argument is None else f" {_plain(argument)}"
                    raise UnsafeFileError(f"pickle opcode {opcode.name}{wanted}")
                step(argument)
        raise EOFError

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = [_settled(item) for item in self.stack[start:]]
        del self.stack[start:]
        return items

    def pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise ValueError("the stack ends at a mark")
        return _settled(self.stack.pop())

    # Constants and containers

    def do_mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def do_none(self, _: Any) -> None:
        self.stack.append(None)

    def do_newtrue(self, _: Any) -> None:
        self.stack.append(True)

    def do_newfalse(self, _: Any) -> None:
        self.stack.append(False)

    def do_empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def do_empty_list(self, _: Any) -> None:
        self.stack.append([])

    def do_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def do_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.pop_to_mark()))

    def do_tuple1(self, _: Any) -> None:
        self.stack.append((self.pop(),))

    def do_tuple2(self, _: Any) -> None:
        second, first = self.pop(), self.pop()
        self.stack.append((first, second))

    def do_tuple3(self, _: Any) -> None:
        third, second, first = self.pop(), self.pop(), self.pop()
        self.stack.append((first, second, third))

    def do_list(self, _: Any) -> None:
        self.stack.append(self.pop_to_mark())

    def do_dict(self, _: Any) -> None:
        items = self.pop_to_mark()
        self.stack.append({})
        self.set_items(items)

    def do_append(self, _: Any) -> None:
        item = self.pop()
        self.top(list).append(item)

    def do_appends(self, _: Any) -> None:
        items = self.pop_to_mark()
        self.top(list).extend(items)

    def do_setitem(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def do_setitems(self, _: Any) -> None:
        self.set_items(self.pop_to_mark())

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        self.budget.spend(PUT * (len(items) // 2))
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise TypeError(f"{kind.__name__} items for {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    # Memo

    def do_put(self, index: int) -> None:
        _check_hash(index)
        self.memo[index] = self.stack[-1]

    do_binput = do_long_binput = do_put

    def do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_get(self, index: int) -> None:
        self.stack.append(_settled(self.memo[index]))

    do_binget = do_long_binget = do_get

    # Globals: the only place where a file could ask for code

    def do_global(self, argument: str) -> None:
        module, name = argument.split(" ", 1)
        self.push_global(module, name)

    def do_stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        self.push_global(module, name)

    def push_global(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a global without a name")
        full = f"{module}.{name}".replace("numpy._core.", "numpy.core.")
        known = full in GLOBALS and (GLOBALS[full] is None or not self.in_storage)
        if not known:
            raise UnsafeFileError(_plain(full))
        self.stack.append(GlobalName(full))

    def do_binpersid(self, _: Any) -> None:
        if not self.in_storage:
            raise UnsafeFileError("a persistent id")
        self.stack.append(_storage_id(self.pop()))

    def do_reduce(self, _: Any) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, GlobalName) or not isinstance(arguments, tuple):
            raise UnsafeFileError(f"a call of {type(function).__name__}")
        build = GLOBALS[function.name]
        if build is None:
            raise UnsafeFileError(f"a call of {function.name}")
        value = build(self.budget, *arguments) if build is _load_storage else build(*arguments)
        self.budget.spend(sum(map(_cost, (value, *arguments))))
        self.stack.append(value)

    def do_build(self, _: Any) -> None:
        state = self.pop()
        target = self.stack[-1]
        if not isinstance(target, _Pending) or target.value is not None:
            raise UnsafeFileError(f"a change of {type(_settled(target)).__name__}")
        value = _array(*state) if target.code is None else _dtype(target.code, *state)
        self.budget.spend(_cost(value))
        target.value = value


LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


def _settled(value: Any) -> Any:
    return value.value if isinstance(value, _Pending) and value.value is not None else value


def _plain(name: Any) -> str:
    """A name out of a file, for a message: one line, no control characters."""
    return str(name)[:200].encode("unicode_escape").decode()


def _key(key: Any) -> Any:
    # Not every number of numpy: those of 16 bytes are also too many for the few hashes of floats.
    if not isinstance(key, (str, int, float, np.integer, type(None))):
        raise TypeError(f"a dict key of type {type(key).__name__}")
    _check_hash(key)
    return key


def _check_hash(key: Any) -> None:
    """Long integers can be chosen to share one hash, which makes a dict slow without end."""
    if isinstance(key, int) and key.bit_length() > 63:
        raise ValueError(f"a dict key of {key.bit_length()} bits")


def _lengths(values: Any) -> tuple[int, ...]:
    """A shape or the like: few numbers and none of them long, as a product of such never ends."""
    if not isinstance(values, (tuple, list)) or len(values) > MAX_DIMENSIONS:
        raise ValueError(f"a shape that is {type(values).__name__}, or of too many dimensions")
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in values):
        raise ValueError("a shape that is not of small whole numbers")
    return tuple(values)


def _bytes(data: Any) -> bytes:
    if isinstance(data, str):  # as Python 2 pickled bytes
        return data.encode("latin1")
    if not isinstance(data, (bytes, bytearray)):
        raise TypeError(f"{type(data).__name__} instead of bytes")
    return bytes(data)


# What the known globals build. An argument may be anything: a list that holds itself, or, through
# the memo, one whose text would fill the memory. A message says of what type it is.


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("bytes in another encoding than latin1")
    return text.encode("latin1")


def _empty_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise UnsafeFileError("a call of builtins.bytes")
    return b""


def _ordered_dict(items: Any = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((_key(key), value) for key, value in items)


def _start_array(kind: Any, *_: Any) -> _Pending:
    if not isinstance(kind, GlobalName) or kind.name != "numpy.ndarray":
        raise UnsafeFileError("an array of another class")
    return _Pending()


def _start_dtype(code: Any, *_: Any) -> _Pending:
    if not isinstance(code, str) or code[:1] not in "bBiuforcOUSV?" or not code:
        raise ValueError(f"a dtype that is {type(code).__name__}, or of an unknown kind")
    dtype = np.dtype(code)
    if dtype.kind not in "biufOUS":
        raise ValueError(f"dtype {code!r}")
    return _Pending(dtype)


def _dtype(code: np.dtype, _version: int, order: Any, *rest: Any) -> np.dtype:
    if order not in ("<", ">", "|", "=") or any(part is not None for part in rest[:3]):
        raise ValueError("a structured dtype")
    return code if order in "|=" else code.newbyteorder(order)


def _array(_version: int, shape: Any, dtype: Any, fortran: Any, data: Any) -> np.ndarray:
    return _frombuffer(data, dtype, shape, "F" if fortran else "C")


def _frombuffer(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    dtype = dtype.code if isinstance(dtype, _Pending) else dtype
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


def _scalar(dtype: Any, data: Any) -> Any:
    return _frombuffer(data, dtype, (1,), "C")[0]


def _load_storage(budget: Budget, data: Any) -> np.ndarray:
    """The inner stream of torch's legacy format: five small pickles, then the raw values."""
    file = io.BytesIO(_bytes(data))
    magic, protocol, _system, identity, keys = (
        Unpickler(budget, in_storage=True).run(file) for _ in range(5)
    )
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


def _storage_id(identity: Any) -> tuple[str, Any, int]:
    kind, storage_class, key, _location, count, *view = identity
    if kind != "storage" or not isinstance(storage_class, GlobalName) or any(view):
        raise ValueError("a torch storage of an unknown kind")
    if type(count) is not int or count < 0 or not isinstance(key, str):
        raise ValueError(f"a torch storage of {type(count).__name__} values")
    return storage_class.name.removeprefix("torch."), key, count


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> TorchArray:
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


# numpy's own limit.
MAX_DIMENSIONS = 64
GLOBALS: dict[str, Any] = {
    "_codecs.encode": _encode,
    "__builtin__.bytes": _empty_bytes,
    "builtins.bytes": _empty_bytes,
    "collections.OrderedDict": _ordered_dict,
    "numpy.ndarray": None,
    "numpy.dtype": _start_dtype,
    "numpy.core.multiarray._reconstruct": _start_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _frombuffer,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.storage._load_from_bytes": _load_storage,
    **{f"torch.{name}": None for name in STORAGES},
}
