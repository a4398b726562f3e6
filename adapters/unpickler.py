"""An unpickler that cannot run code: it interprets the opcodes and calls only builders.py.

A global is never imported. It is looked up in the tables of builders.py, which map the names that
numpy arrays, numpy scalars and torch tensors need to functions of that module. Any other global is
refused by name before anything is built. Sizes are checked against the bytes in the file, and a
`Budget` prevents a small file from demanding much work or memory by repetition.
"""

from __future__ import annotations

import io
import pickletools
from sys import getsizeof
from typing import Any

import numpy as np

from c2am_plugin.errors import InputError, UnsafeFileError

from .builders import (
    BUILDERS,
    HARMLESS,
    PAIR,
    TYPES,
    Pending,
    check_hash,
    check_key,
    storage_id,
)
from .torch_storage import GlobalName, TorchArray

__all__ = ["Budget", "Unpickler"]


class Budget:
    """The memory in bytes that the opcodes and calls of one file may still take.

    A CAM file's bytes are copied two or three times. A file of many small objects, such as lists of
    labels, takes about 20 times its size. A hostile file, which names one large value repeatedly or
    nests empty containers, soon needs more than `COPIES` times its size.
    """

    COPIES = 32

    def __init__(self, file_size: int) -> None:
        self.left = self.COPIES * file_size + (1 << 20)

    def spend(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            raise ValueError(f"needs more than {self.COPIES} times its size in memory")


# The memory in bytes that an opcode takes: its place on the stack and what it makes. All other
# opcodes are longer in the file than in memory, or their mark was charged for them.
PUT, CONTAINER, CALL = 128, 96, 160
COSTS = {
    "MEMOIZE": PUT,
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_DICT", "MARK"), CONTAINER),
    **dict.fromkeys(("TUPLE1", "TUPLE2", "TUPLE3"), CONTAINER),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL", "BINPERSID", "REDUCE", "BUILD"), CALL),
}
OTHERS = 24


def _cost(value: Any) -> int:
    """Roughly the memory or work that a built value or an argument may take."""
    if isinstance(value, TorchArray):
        return value.array.nbytes
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, (str, bytes, bytearray, list, tuple)):
        return len(value)
    return 100 * len(value) if isinstance(value, dict) else 0


class Unpickler:
    """Runs the opcodes of one pickle on a stack of plain values."""

    def __init__(self, budget: Budget, *, in_storage: bool = False) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.budget = budget
        # The pickles inside a torch storage may name only its type.
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
                if opcode.name in SETS:
                    raise InputError("contains a Python set, which is not supported; store a list")
                if step is None:
                    wanted = "" if argument is None else f" {_plain(argument)}"
                    raise UnsafeFileError(f"pickle opcode {opcode.name}{wanted}")
                step(argument)
        raise EOFError

    def spend(self, cost: int) -> None:
        self.budget.spend(cost)

    def inner(self, file: io.BytesIO) -> Any:
        """The next pickle inside a torch storage, charged to the same budget."""
        return Unpickler(self.budget, in_storage=True).run(file)

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
        self.budget.spend(PAIR * (len(items) // 2))
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[check_key(key)] = value

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise TypeError(f"{kind.__name__} items for {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    # Memo

    def do_put(self, index: int) -> None:
        check_hash(index)
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
        if full in HARMLESS:
            what, remedy = HARMLESS[full]
            raise InputError(f"contains {what}, which is not supported; {remedy}")
        if full not in TYPES and (full not in BUILDERS or self.in_storage):
            raise UnsafeFileError(_plain(full))
        self.stack.append(GlobalName(full))

    def do_binpersid(self, _: Any) -> None:
        if not self.in_storage:
            raise UnsafeFileError("a persistent id")
        self.stack.append(storage_id(self.pop()))

    def do_reduce(self, _: Any) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, GlobalName) or not isinstance(arguments, tuple):
            raise UnsafeFileError(f"a call of {type(function).__name__}")
        build = BUILDERS.get(function.name)
        if build is None:
            raise UnsafeFileError(f"a call of {function.name}")
        value = build(self, *arguments)
        self.budget.spend(sum(map(_cost, (value, *arguments))))
        self.stack.append(value)

    def do_build(self, _: Any) -> None:
        state = self.pop()
        target = self.stack[-1]
        if not isinstance(target, Pending) or target.value is not None:
            raise UnsafeFileError(f"a change of {type(_settled(target)).__name__}")
        target.build(state)
        self.budget.spend(_cost(target.value))


SETS = ("EMPTY_SET", "FROZENSET")
LITERALS = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
}


def _settled(value: Any) -> Any:
    return value.value if isinstance(value, Pending) and value.value is not None else value


def _plain(name: Any) -> str:
    """A name from a file for a message: one line without control characters."""
    return str(name)[:200].encode("unicode_escape").decode()
