"""Sums of rows of a few float32, in vector instructions. Needs numba.

numba vectorises only long loops. Rows of 1 to 8 values, read at scattered places, are added here by
LLVM's own vector types: one instruction per row rather than one per value. `width` and `corners`
are tuples with as many elements as a row and as a row of `vertices`: their lengths are part of
their types, and so known to the compiler.

Arrays are C-contiguous; indices are not checked. A product and a sum may become one instruction,
which rounds once.

numba's cache does not see changes of this file: delete __pycache__ after one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["blur_row", "slice_row", "splat_row"]

_intrinsic: Callable[[Any], Any] = intrinsic  # numba's types do not know of the first argument
_FUSED = ("contract",)


@_intrinsic
def splat_row(_, out, vertices, shares, j, scale, rows, i, width, corners):  # type: ignore[no-untyped-def]
    """out[vertices[j, k]] += shares[j, k] · scale · rows[i], for each k.

    out, rows: float32 N×width; vertices int32 and shares float32, N×corners.
    """
    signature = types.void(
        out, vertices, shares, types.uint64, types.float32, rows, types.uint64, width, corners
    )

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        row = _load(builder, _row(context, builder, sig.args[5], args[5], args[6], len(width)))
        scaled = builder.fmul(_repeat(builder, args[4], len(width)), row)
        for vertex, share in _corners(context, builder, sig.args[1:3], args[1:4], len(corners)):
            target = _row(context, builder, sig.args[0], args[0], vertex, len(width))
            total = _added(builder, _load(builder, target), share, scaled)
            builder.store(total, target).align = 4
        return context.get_dummy_value()

    return signature, generate


@_intrinsic
def slice_row(_, out, i, vertices, shares, j, rows, width, corners):  # type: ignore[no-untyped-def]
    """out[i] += the sum over k of shares[j, k] · rows[vertices[j, k]], arrays as in `splat_row`."""
    signature = types.void(out, types.uint64, vertices, shares, types.uint64, rows, width, corners)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target = _row(context, builder, sig.args[0], args[0], args[1], len(width))
        total = _load(builder, target)
        for vertex, share in _corners(context, builder, sig.args[2:4], args[2:5], len(corners)):
            row = _load(builder, _row(context, builder, sig.args[5], args[5], vertex, len(width)))
            total = _added(builder, total, share, row)
        builder.store(total, target).align = 4
        return context.get_dummy_value()

    return signature, generate


@_intrinsic
def blur_row(_, out, i, rows, back, forth, width):  # type: ignore[no-untyped-def]
    """out[i] = rows[i] + (rows[back] + rows[forth]) / 2, float32 N×width."""
    signature = types.void(out, types.uint64, rows, types.uint64, types.uint64, width)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        middle, before, after = (
            _load(builder, _row(context, builder, sig.args[2], args[2], args[at], len(width)))
            for at in (1, 3, 4)
        )
        half = ir.Constant(ir.FloatType(), 0.5)
        total = _added(builder, middle, half, builder.fadd(before, after))
        target = _row(context, builder, sig.args[0], args[0], args[1], len(width))
        builder.store(total, target).align = 4
        return context.get_dummy_value()

    return signature, generate


def _corners(
    context: Any, builder: Any, kinds: Any, args: Any, corners: int
) -> Iterator[tuple[Any, Any]]:
    """The vertex (as a 64-bit index) and the share of each corner of point j."""
    vertices, shares, j = args
    for k in range(corners):
        at = builder.add(builder.mul(j, ir.Constant(j.type, corners)), ir.Constant(j.type, k))
        vertex = builder.load(builder.gep(_data(context, builder, kinds[0], vertices), [at]))
        share = builder.load(builder.gep(_data(context, builder, kinds[1], shares), [at]))
        yield builder.zext(vertex, ir.IntType(64)), share


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _row(context: Any, builder: Any, kind: Any, array: Any, index: Any, width: int) -> Any:
    """A pointer to row `index` as a vector."""
    start = builder.mul(index, ir.Constant(index.type, width))
    place = builder.gep(_data(context, builder, kind, array), [start])
    return builder.bitcast(place, _vector(ir.FloatType(), width).as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    row = builder.load(pointer)
    row.align = 4  # NumPy aligns float32 to no more
    return row


def _added(builder: Any, total: Any, factor: Any, row: Any) -> Any:
    """total + factor · row, of rows and a number."""
    product = builder.fmul(_repeat(builder, factor, row.type.count), row, flags=_FUSED)
    return builder.fadd(total, product, flags=_FUSED)


def _repeat(builder: Any, value: Any, width: int) -> Any:
    unset = ir.Constant(_vector(ir.FloatType(), width), ir.Undefined)
    first = builder.insert_element(unset, value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, unset, _vector(ir.IntType(32), width)([0] * width))


def _vector(element: Any, width: int) -> Any:
    return ir.VectorType(element, width)
