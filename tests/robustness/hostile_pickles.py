"""Broken and hostile CAM files without end: every draw of a `random.Random` is another one.

Four ways: bytes of a real file changed, its opcodes changed, its content changed before it is
stored, and files that are written to do harm (`HOSTILE`).
"""

from __future__ import annotations

import io
import pickle
import pickletools
import random
import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from c2am_adapters.pickler import Pickler
from c2am_adapters.torch_storage import STORAGES, TORCH_MAGIC, TorchArray

__all__ = ["HOSTILE", "change_bytes", "mutated_npy"]

MAGIC = pickle.dumps(TORCH_MAGIC, 2)
INTEGERS = (
    0,
    1,
    2,
    7,
    255,
    -1,
    -5,
    2**31 - 1,
    2**31,
    -(2**31),
    2**62,
    2**63 - 1,
    2**63,
    2**64,
    2**70,
)
INTEGERS += (10**12, -(2**63), 1 << 4000)
TEXTS = (
    "",
    "keys",
    "cam",
    "hr_cam",
    "high_res",
    "rw",
    "O",
    "f4",
    "<f8",
    "f16",
    "|V4000",
    "U9",
    "M8[s]",
)
TEXTS += ("latin1", "utf-7", "idna", "\ud800", "\n", "x" * 5000, "i4,f4", "f4,V999999999")
GLOBALS = (
    "posix system",
    "os system",
    "builtins eval",
    "builtins exec",
    "builtins __import__",
    "builtins getattr",
    "subprocess Popen",
    "numpy load",
    "numpy.core.multiarray fromfile",
    "numpy.testing._private.utils runstring",
    "torch.storage _load_from_bytes",
    "torch load",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor",
    "torch FloatStorage",
    "torch LongStorage",
    "numpy ndarray",
    "numpy dtype",
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray scalar",
    "numpy.core.numeric _frombuffer",
    "_codecs encode",
    "collections OrderedDict",
    "builtins bytes",
    "collections defaultdict",
    "pickle loads",
)
# One opcode, or a few that leave one value.
SNIPPETS = (
    b"(",
    b"t",
    b"l",
    b"d",
    b"]",
    b"}",
    b")",
    b"e",
    b"a",
    b"s",
    b"u",
    b"R",
    b"b",
    b"0",
    b"1",
    b"2",
    b".",
    b"N",
    b"\x88",
    b"\x85",
    b"\x86",
    b"\x87",
    b"\x94",
    b"\x93",
    b"\x81",
    b"\x92",
    b"Q",
    b"o",
    b"\x82\x01",
    b"h\x00",
    b"h\x01",
    b"h\x02",
    b"q\x00",
    b"q\x01",
    b"j\xff\xff\xff\x7f",
    b"K\x05",
    b"G\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\x8f",
    b"\x90",
    b"\x91",
    b"\x97",
    b"\x98",
    b"]h\x00a",
    b"I99999\n",
    b"F1e999\n",
    b"Pid\n",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
)
FULL = {"puzzlecam": "hr_cam", "advcam": "high_res"}
METHODS = ("psa", "sc_cam", "seam", "puzzlecam", "advcam")


def mutated_npy(rng: random.Random, golden: Sequence[bytes]) -> tuple[str, bytes]:
    """(what was done, the file), from files of old environments (may be none) and our own."""
    way = rng.choices(("bytes", "opcodes", "content", "hostile", "golden"), (4, 6, 3, 2, 1))[0]
    if way == "content":
        return way, npy(dumped(content(rng, changes=rng.randrange(1, 4)), rng.randrange(5)))
    if way == "hostile":
        name = rng.choice([*HOSTILE])
        return f"hostile: {name}", npy(HOSTILE[name](rng))
    if way == "golden" and golden:
        data = rng.choice(golden)
        if rng.random() < 0.5:
            return "golden bytes", change_bytes(rng, data, structure(data))
        start = data.index(b"\n") + 1
        return "golden opcodes", data[:start] + change_opcodes(rng, data[start:])
    pickled = dumped(content(rng), rng.randrange(5))
    if way == "opcodes":
        return way, npy(change_opcodes(rng, pickled))
    return "bytes", change_bytes(rng, whole := npy(pickled), structure(whole))


def npy(pickled: bytes) -> bytes:
    """A file as np.save of an object writes it, around any pickle."""
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + pickled


# --- bytes ---------------------------------------------------------------------------------------


def change_bytes(rng: random.Random, data: bytes, places: Sequence[int] = ()) -> bytes:
    """One to four bytes or runs of them changed, mostly at `places`."""
    new = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not new:
            break
        at = rng.choice(places) if places and rng.random() < 0.8 else rng.randrange(len(new))
        at = min(at, len(new) - 1)
        change = rng.randrange(8)
        if change == 0:
            new[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            new[at] = rng.randrange(256)
        elif change == 2:
            del new[at : at + rng.randrange(1, 9)]
        elif change == 3:
            start = rng.randrange(len(data))
            new[at:at] = data[start : start + rng.randrange(1, 40)]
        elif change == 4:
            new[at : at + 1] = rng.choice(SNIPPETS)
        elif change == 5:
            new[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 10**6)))
        elif change == 6:
            new[at : at + 8] = bytes(rng.randrange(256) for _ in range(8))
        elif rng.random() < 0.4:
            del new[at:]
    return bytes(new)


def structure(data: bytes) -> list[int]:
    """Offsets of everything but the raw values of arrays."""
    start = data.index(b"\n") + 1
    places = [*range(start)]
    for _, argument, raw, at in opcodes(data[start:]):
        places += (
            [start + at, start + at + 1]
            if len(raw) > 64
            else range(start + at, start + at + len(raw))
        )
        if isinstance(argument, bytes) and (inner := argument.find(MAGIC)) >= 0:
            first = start + at + len(raw) - len(argument) + inner
            places += range(first, first + min(600, len(argument)))
    return places


# --- opcodes -------------------------------------------------------------------------------------


def opcodes(pickled: bytes) -> list[tuple[str, Any, bytes, int]]:
    """(name, argument, its bytes, where they begin) of all opcodes of one pickle."""
    found = [(opcode.name, argument, at) for opcode, argument, at in pickletools.genops(pickled)]
    ends = [at for *_, at in found[1:]] + [found[-1][2] + 1]
    return [
        (name, arg, pickled[at:end], at) for (name, arg, at), end in zip(found, ends, strict=True)
    ]


def change_opcodes(rng: random.Random, pickled: bytes) -> bytes:
    """One to four opcodes of a pickle dropped, doubled, moved, replaced, or given another value."""
    ops = opcodes(pickled)
    parts = [raw for _, _, raw, _ in ops]
    rest = pickled[ops[-1][3] + 1 :]
    inner = [i for i, (_, arg, *_) in enumerate(ops) if MAGIC in _as_bytes(arg)]
    if inner and rng.random() < 0.4:
        at = rng.choice(inner)
        parts[at] = literal(change_stream(rng, _as_bytes(ops[at][1])))
        return b"".join(parts) + rest
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(parts))
        change = rng.randrange(7)
        if change == 0:
            parts[at] = b""
        elif change == 1:
            parts[at] *= rng.choice((2, 2, 3, 1000))
        elif change == 2:
            other = rng.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        elif change == 3:
            parts[at] += rng.choice(SNIPPETS)
        elif change == 4:
            start = rng.randrange(len(parts))
            parts[at] += b"".join(parts[start : start + rng.randrange(1, 12)])
        else:
            _replace(rng, ops, parts)
    return b"".join(parts) + rest


def _replace(rng: random.Random, ops: list[Any], parts: list[bytes]) -> None:
    """One integer, text, global or block of bytes becomes another, or one of another kind."""
    at = rng.choice([i for i, (_, arg, *_) in enumerate(ops) if arg is not None] or [0])
    if ops[at][0] == "GLOBAL" or rng.random() < 0.1:
        module, name = rng.choice(GLOBALS).split(" ")
        parts[at] = b"c" + f"{module}\n{name}\n".encode()
    elif isinstance(ops[at][1], int) and rng.random() < 0.8:
        parts[at] = literal(rng.choice(INTEGERS))
    elif isinstance(ops[at][1], bytes) and rng.random() < 0.6:
        parts[at] = literal(change_bytes(rng, ops[at][1]))
    else:
        parts[at] = literal(rng.choice((*TEXTS, *INTEGERS, b"", b"\x00" * 40, None, 1.5, True)))


def change_stream(rng: random.Random, data: bytes) -> bytes:
    """The five pickles and the values of a torch storage, one of them changed."""
    pickles, rest = [], data
    for _ in range(5):
        end = opcodes(rest)[-1][3] + 1
        pickles.append(rest[:end])
        rest = rest[end:]
    at = rng.randrange(6)
    if at == 5:
        rest = change_bytes(rng, rest[:16]) + rest[16:]
    else:
        pickles[at] = change_opcodes(rng, pickles[at])
    return b"".join(pickles) + rest


def literal(value: Any) -> bytes:
    """The opcodes that push a plain value."""
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(data)) + data
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    return pickletools.optimize(pickle.dumps(value, 2))[2:-1]


def _as_bytes(argument: Any) -> bytes:
    if isinstance(argument, str):  # bytes in protocols 0 to 2
        return argument.encode("latin1", "ignore")
    return argument if isinstance(argument, bytes) else b""


# --- contents ------------------------------------------------------------------------------------


def content(rng: random.Random, changes: int = 0) -> Any:
    """What one of the five pipelines stores, with so many things wrong."""
    method, classes = rng.choice(METHODS), rng.randrange(1, 4)
    numbers = np.random.default_rng(rng.randrange(2**32))
    shape = rng.randrange(1, 13), rng.randrange(1, 13)
    maps = numbers.random((classes, *shape)).astype(rng.choice(("f4", "f4", "f8", "f2")))
    ids: Any = numbers.choice(20, classes, replace=False)
    small = np.ascontiguousarray(maps[:, ::4, ::4])
    which = [rng.choice(CHANGES) for _ in range(changes)]
    for change in which:
        with suppress(IndexError, ValueError):  # what the change before left no room for
            ids, maps, small = change(rng, ids, maps, small)
    if method in FULL:
        ids = np.asarray(ids)
        keys = np.append(0, ids + 1) if method == "puzzlecam" else tensor(ids)
        stored: Any = {"keys": keys, "cam": tensor(small), FULL[method]: maps}
    else:
        stored = dict(zip(np.asarray(ids).reshape(-1).tolist(), maps, strict=False))
    for _ in range(changes - len(set(which))):
        stored = rng.choice(WRAPS)(rng, stored)
    return stored


def tensor(array: np.ndarray) -> Any:
    """What torch can hold as a tensor, the rest as it is."""
    return TorchArray(array) if array.dtype.str in STORAGES.values() else array


def _values(rng: random.Random, ids: Any, maps: Any, small: Any) -> Any:
    """NaN, infinities and numbers outside [0, 1], in one pixel or in all."""
    target = maps if rng.random() < 0.7 else small
    value = rng.choice((np.nan, np.inf, -np.inf, -0.5, 1.5, 255, -1e-6, 1 + 1e-6, 1e30, -0.0))
    if target.size and target.dtype.kind == "f":
        with np.errstate(over="ignore"):
            target.reshape(-1)[
                slice(None) if rng.random() < 0.2 else rng.randrange(target.size)
            ] = value
    return ids, maps, small


def _ids(rng: random.Random, ids: Any, maps: Any, small: Any) -> Any:
    """Class ids unsorted, repeated, negative, huge, too many, too few, or no integers."""
    ids = np.array(ids)
    change = rng.randrange(6)
    if change == 0:
        return ids[::-1], maps, small
    if change == 1:
        return np.repeat(ids[:1], len(ids)), maps, small
    if change == 2:
        return ids.astype(rng.choice(("f4", "u1", "?", "i2", "u8", "f2"))), maps, small
    if change == 3:
        return (
            np.append(ids, rng.choice((-1, 254, 255, 2**31, 2**62, -(2**62)))),
            maps,
            small,
        )
    return (ids[1:], maps, small) if change == 4 else (ids.reshape(1, -1), maps, small)


def _types(rng: random.Random, ids: Any, maps: Any, small: Any) -> Any:
    code = rng.choice(("u1", "i8", "?", "U3", "S4", "f16", ">f4", "f2", "O"))
    if rng.random() < 0.7:
        return ids, _as_type(maps, code), small
    return ids, maps, _as_type(small, code)


def _as_type(array: np.ndarray, code: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.zeros(array.shape, code) if array.dtype.kind in "US" else array.astype(code)


def _shapes(rng: random.Random, ids: Any, maps: Any, small: Any) -> Any:
    changes: tuple[Callable[[Any], Any], ...] = (
        lambda a: a[..., None],
        lambda a: a[..., 0] if a.ndim > 1 else a,
        lambda a: a[:, :0],
        lambda a: a[:0],
        lambda a: a.reshape(-1),
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(a, 3, axis=0),
        lambda a: a.swapaxes(0, -1),
    )
    change = rng.choice(changes)
    return (ids, change(maps), small) if rng.random() < 0.7 else (ids, maps, change(small))


CHANGES = (_values, _values, _ids, _types, _shapes)


def _nested(rng: random.Random, stored: Any) -> Any:
    """Object arrays in object arrays around one of the values."""
    if not isinstance(stored, dict) or not stored:
        return [stored]
    key = rng.choice([*stored])
    value = stored[key]
    for _ in range(rng.choice((1, 2, 50))):
        array = np.empty(rng.choice(((), (1,), (1, 1))), object)
        array[...] = None
        array[(0,) * array.ndim] = value
        value = array
    return {**stored, key: value}


def _listed(rng: random.Random, stored: Any) -> Any:
    if not isinstance(stored, dict) or not stored:
        return OrderedDict()
    key = rng.choice([*stored])
    array = getattr(stored[key], "array", stored[key])
    listed: Any = [*array] if isinstance(array, np.ndarray) and array.ndim else [array]
    return {
        **stored,
        key: rng.choice((listed, tuple(listed), [None], "text", {}, 3, [*listed, 2**70])),
    }


def _keyed(rng: random.Random, stored: Any) -> Any:
    if not isinstance(stored, dict):
        return {1: stored}
    extra = rng.choice((True, None, 1.0, "keys", "rw", -3, np.int64(5), 2**62, "a\nb", 2**80))
    return {**stored, extra: rng.choice([*stored.values(), None, [1, 2], np.float32(1)])}


WRAPS = (
    _nested,
    _listed,
    _keyed,
    lambda _, stored: OrderedDict(stored) if isinstance(stored, dict) else stored,
    lambda _, stored: [stored],
)


def dumped(stored: Any, protocol: int) -> bytes:
    """A pickle of it as np.save makes one, by numpy's names or, for protocol 3, by old ones."""
    holder = np.empty((), object)
    holder[()] = stored
    file = io.BytesIO()
    Pickler(file, protocol=protocol).dump(holder)
    return file.getvalue()


# --- files that are meant to harm ----------------------------------------------------------------


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(data)) + data


def laughs(levels: int) -> bytes:
    """A list that holds the one before it ten times, and so on; in memo `levels` from 100 on."""
    return b"]q\x64" + b"".join(
        b"](" + b"h%c" % (100 + level) * 10 + b"eq%c" % (101 + level) for level in range(levels)
    )


def array(data: bytes, code: str, shape: Sequence[int]) -> bytes:
    """The opcodes of an array, as numpy's reduce writes them."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01"
        + literal(tuple(shape))
        + b"cnumpy\ndtype\n("
        + text(code)
        + b"K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89" + literal(data) + b"tb"
    )


def _size(rng: random.Random, most: int = 300_000) -> int:
    return int(10 ** rng.uniform(1, np.log10(most)))


def _repeated(rng: random.Random, opcode: bytes, close: bytes = b"") -> bytes:
    times = _size(rng) // len(opcode)
    return b"\x80\x04(" + opcode * times + close + b"l."


def _many_shape(rng: random.Random) -> bytes:
    number = literal(1 << rng.choice((8, 61, 62, 4000, 14_000)))
    shape = b"\x80\x02" + number + b"q\x00(" + b"h\x00" * _size(rng) + b"t"
    # As an array's shape, and as a tensor's size.
    return (
        shape
        + b"q\x01"
        + rng.choice(
            (
                b"cnumpy.core.numeric\n_frombuffer\n(U\x04aaaacnumpy\ndtype\nU\x02f4\x85Rh\x01U\x01CtR.",
                b"ctorch._utils\n_rebuild_tensor\n(cnumpy.core.numeric\n_frombuffer\n(U\x04aaaa"
                b"cnumpy\ndtype\nU\x02f4\x85RK\x01\x85U\x01CtRK\x00h\x01h\x01tR.",
            )
        )
    )


def _said(rng: random.Random) -> bytes:
    """A value without end, where a message might repeat it."""
    wrong = b"\x80\x02" + laughs(rng.randrange(1, 60)) + b"q\x00"
    return wrong + rng.choice(
        (
            b"c_codecs\nencode\nU\x01ah\x00\x86R.",
            b"cnumpy\ndtype\nh\x00\x85R.",
            b"cnumpy\ndtype\nU\x02f4\x85R(K\x03h\x00NNNtb.",
            b"cnumpy.core.numeric\n_frombuffer\n(h\x00h\x00h\x00h\x00tR.",
            b"ctorch._utils\n_rebuild_tensor\n(h\x00h\x00h\x00h\x00tR.",
            b"cnumpy.core.multiarray\nscalar\nh\x00h\x00\x86R.",
            b"ccollections\nOrderedDict\nh\x00\x85R.",
            b"h\x00h\x00\x93.",
            b"h\x00R.",
            b"}h\x00h\x00s.",
            b"}K\x01h\x00s.",
            b"}" + text("keys") + b"h\x00s.",
            b"}" + text("keys") + b"]K\x00a" + b"s" + text("hr_cam") + b"h\x00s.",
            b"ctorch.storage\n_load_from_bytes\nh\x00\x85R.",
        )
    )


def _storage_said(rng: random.Random) -> bytes:
    """The same inside of a torch storage."""
    inner = b"".join(pickle.dumps(part, 2) for part in (TORCH_MAGIC, 1001, {}))
    identity = [b"U\x07storage", b"ctorch\nFloatStorage\n", b"U\x010", b"U\x03cpu", b"K\x01"]
    at = rng.randrange(5)
    identity[at] = laughs(rng.randrange(1, 60))
    inner += (
        b"\x80\x02(" + b"".join(identity) + b"tQ." + pickle.dumps(["0"], 2) + struct.pack("<q", 1)
    )
    return b"\x80\x02ctorch.storage\n_load_from_bytes\n" + literal(inner + b"\0\0\0\0") + b"\x85R."


def _promoted(rng: random.Random) -> bytes:
    """Many layers of one byte a pixel and one of thousands, which a stack would widen all to."""
    pixels, count = rng.choice((4, 64, 250)), rng.choice((2, 100, 3000))
    wide = rng.choice(("U1000", "S4000", "f16", "U50"))
    layers = array(bytes(pixels * np.dtype(wide).itemsize), wide, (pixels, 1))
    for _ in range(count):
        layers += b"cnumpy.core.numeric\n_frombuffer\n(" + literal(bytes(pixels))
        layers += (
            b"cnumpy\ndtype\nU\x02u1\x85R(K\x03U\x01|NNNtb" + literal((pixels, 1)) + b"U\x01CtR"
        )
    return (
        b"\x80\x02}(" + text("keys") + b"](K\x00K\x01e" + text("hr_cam") + b"](" + layers + b"eu."
    )


def _scalar_keys(rng: random.Random) -> bytes:
    """Keys of one hash: floats of 16 bytes, all beyond what Python can tell apart."""
    start = b"\x80\x02cnumpy\ndtype\nU\x03f16\x85R(K\x03U\x01<NNNtbq\x00"
    start += b"cnumpy.core.multiarray\nscalar\nq\x01}("
    values = np.ldexp(np.longdouble(1), 2000) * np.arange(1, _size(rng, 30_000)).astype("f16")
    return (
        start
        + b"".join(b"h\x01h\x00U\x10" + value.tobytes() + b"\x86RK\x00" for value in values)
        + b"u."
    )


def _memo_keys(rng: random.Random) -> bytes:
    """Memo numbers of one hash."""
    modulus = 2**61 - 1
    return (
        b"\x80\x02N"
        + b"".join(b"p%d\n" % (modulus * i) for i in range(1, _size(rng, 30_000)))
        + b"."
    )


def _integer_keys(rng: random.Random) -> bytes:
    step = rng.choice((1 << 40, 1 << 20, 2**61 - 1, 1))
    pairs = b"".join(literal(step * i) + b"K\x00" for i in range(_size(rng, 30_000)))
    return b"\x80\x02}(" + pairs + b"u."


def _deep(rng: random.Random) -> bytes:
    depth = _size(rng)
    return rng.choice(
        (
            b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".",
            b"\x80\x02)" + b"\x85" * depth + b".",
            b"\x80\x02" + b"(" * depth + b"t" * depth + b".",
            b"\x80\x02}(" + text("keys") + b"]" * depth + b"a" * (depth - 1) + b"u.",
            b"\x80\x02" + b"}K\x01" * depth + b"N" + b"s" * depth + b".",
            b"\x80\x02"
            + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
            * (depth // 50)
            + b".",
        )
    )


def _self(rng: random.Random) -> bytes:
    return rng.choice(
        (
            b"\x80\x02]q\x00h\x00a.",
            b"\x80\x02}q\x00K\x01h\x00s.",
            b"\x80\x02}(" + text("keys") + b"]q\x00h\x00au.",
            b"\x80\x02}q\x00(" + text("keys") + b"](K\x00K\x01e" + text("hr_cam") + b"h\x00u.",
            b"\x80\x02}(" + text("keys") + b"](K\x00K\x01e" + text("hr_cam") + b"]q\x00h\x00au.",
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btRq\x00"
            b"(K\x01)cnumpy\ndtype\nU\x01O\x85R\x89]h\x00atb.",
        )
    )


def _one_array(rng: random.Random) -> bytes:
    """One array under the names of many classes, or as many layers."""
    pixels, times = _size(rng, 100_000), _size(rng, 60_000)
    one = array(bytes(4 * pixels), "f4", (pixels, 1)) + b"q\x63"
    if rng.random() < 0.5:
        keys = b"".join(b"J" + struct.pack("<i", i) + b"hc" for i in range(1, times))
        return b"\x80\x02}K\x00" + one + b"s(" + keys + b"u."
    layers = text("hr_cam") + b"](" + one + b"hc" * times + b"e"
    return b"\x80\x02}(" + text("keys") + b"](K\x00K\x01e" + layers + b"u."


def _work(rng: random.Random) -> bytes:
    """One large value handed over and over to what builds something of it."""
    size = _size(rng, 200_000)
    first, each = rng.choice(
        (
            (text(b"a" * size), b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"),
            (b"](" + b"N" * size + b"e", b"ccollections\nOrderedDict\nh\x00\x85R"),
            (b"](" + b"K\x01K\x02\x86" * size + b"e", b"ccollections\nOrderedDict\nh\x00\x85R"),
            (
                b"B" + struct.pack("<I", size) + bytes(size),
                b"ctorch.storage\n_load_from_bytes\nh\x00\x85R",
            ),
            (
                b"B" + struct.pack("<I", size) + bytes(size),
                b"cnumpy.core.numeric\n_frombuffer\n(h\x00cnumpy\ndtype\nU\x02u1\x85R(K\x03U\x01|NNNtb"
                + literal((size,))
                + b"U\x01CtR",
            ),
            (
                b"](" + b"N" * size + b"e",
                b"cnumpy.core.numeric\n_frombuffer\n(h\x00cnumpy\ndtype\nU\x01O\x85R"
                + literal((size,))
                + b"U\x01CtR",
            ),
        )
    )
    return b"\x80\x02" + first + b"q\x00](" + each * (_size(rng, 100_000) // len(each)) + b"e\x86."


def _evil(rng: random.Random) -> bytes:
    """A call that would leave a mark, in the places where calls are usual."""
    module, name = rng.choice(GLOBALS[:12]).split(" ")
    call = b"c" + f"{module}\n{name}\n".encode() + text("touch c2am-fuzz-was-here") + b"\x85R"
    stack_global = text(module) + text(name) + b"\x93" + text("touch c2am-fuzz-was-here") + b"\x85R"
    call = rng.choice((call, stack_global))
    return b"\x80\x04" + rng.choice(
        (
            call + b".",
            b"}K\x01" + call + b"s.",
            b"}" + call + b"K\x01s.",
            b"ctorch.storage\n_load_from_bytes\n" + literal(b"\x80\x04" + call + b".") + b"\x85R.",
            b"cnumpy.core.multiarray\n_reconstruct\n(" + call + b"K\x00\x85U\x01btR.",
            b"ccollections\nOrderedDict\n](" + call + call + b"e\x85R.",
        )
    )


TINY = (
    b"]",
    b"}",
    b")",
    b"N",
    b"\x88",
    b"K\x05",
    b"}\x94",
    b"]\x94",
    b"N\x94",
    b"(",
    b"(l",
    b"(t",
    b"(d",
    b"\x8c\x02ab",
    b"\x8c\x02ab\x94",
    b"M\x00\x05",
    b"G@\x00\x00\x00\x00\x00\x00\x01",
    b"NN\x86",
    b"N\x85",
    b"}NNs",
    b"J\x00\x00\x01\x00",
    b"C\x02ab",
    b"cnumpy\ndtype\n",
    b"ccollections\nOrderedDict\n)R",
    b"]Na",
    b"X\x04\x00\x00\x00\xf0\x9f\x98\x80",
    b"cnumpy\ndtype\nU\x02f4\x85R",
    b"I01\n",
    b"L12345L\n",
)

HOSTILE: dict[str, Callable[[random.Random], bytes]] = {
    "many tiny opcodes": lambda rng: _repeated(rng, rng.choice(TINY)),
    "memo bomb": lambda rng: b"\x80\x02" + laughs(rng.randrange(1, 100)) + b".",
    "huge integers as shape": _many_shape,
    "a value without end where a message might say it": _said,
    "the same in a storage": _storage_said,
    "layers widened by one": _promoted,
    "keys of one hash": _scalar_keys,
    "memo numbers of one hash": _memo_keys,
    "integer keys": _integer_keys,
    "deep nesting": _deep,
    "in itself": _self,
    "one array as many": _one_array,
    "one value worked on over and over": _work,
    "a call": _evil,
}
