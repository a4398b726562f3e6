"""Sums of rows of a few float32, in vector instructions. Needs numba.

numba vectorises only long loops. Rows of 4 or 8 values, read at scattered places, are added here by
LLVM's own vector types: one instruction per row rather than one per value. `width` is a tuple with
as many elements as a row: its length is part of its type, and so known to the compiler.

numba's cache does not see changes of this file: delete __pycache__ after one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["add_row", "blur_row"]

_intrinsic: Callable[[Any], Any] = intrinsic  # numba's types do not know of the first argument


@_intrinsic
def add_row(_, out, i, factor, rows, j, width):  # type: ignore[no-untyped-def]
    """out[i] += factor · rows[j]; float32 N×width, C-contiguous; indices are not checked."""
    signature = types.void(out, types.uint64, types.float32, rows, types.uint64, width)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target = _row(context, builder, sig.args[0], args[0], args[1], len(width))
        row = _load(builder, _row(context, builder, sig.args[3], args[3], args[4], len(width)))
        scaled = builder.fmul(_repeat(builder, args[2], len(width)), row)
        builder.store(builder.fadd(_load(builder, target), scaled), target).align = 4
        return context.get_dummy_value()

    return signature, generate


@_intrinsic
def blur_row(_, out, i, rows, back, forth, width):  # type: ignore[no-untyped-def]
    """out[i] = rows[i] + (rows[back] + rows[forth]) / 2, arrays as in `add_row`."""
    signature = types.void(out, types.uint64, rows, types.uint64, types.uint64, width)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        middle, before, after = (
            _load(builder, _row(context, builder, sig.args[2], args[2], args[at], len(width)))
            for at in (1, 3, 4)
        )
        half = _repeat(builder, ir.Constant(ir.FloatType(), 0.5), len(width))
        total = builder.fadd(middle, builder.fmul(half, builder.fadd(before, after)))
        target = _row(context, builder, sig.args[0], args[0], args[1], len(width))
        builder.store(total, target).align = 4
        return context.get_dummy_value()

    return signature, generate


def _row(context: Any, builder: Any, kind: Any, array: Any, index: Any, width: int) -> Any:
    """A pointer to row `index` as a vector."""
    data = context.make_array(kind)(context, builder, array).data
    start = builder.mul(index, ir.Constant(index.type, width))
    return builder.bitcast(builder.gep(data, [start]), _vector(ir.FloatType(), width).as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    row = builder.load(pointer)
    row.align = 4  # NumPy aligns float32 to no more
    return row


def _repeat(builder: Any, value: Any, width: int) -> Any:
    unset = ir.Constant(_vector(ir.FloatType(), width), ir.Undefined)
    first = builder.insert_element(unset, value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, unset, _vector(ir.IntType(32), width)([0] * width))


def _vector(element: Any, width: int) -> Any:
    return ir.VectorType(element, width)
