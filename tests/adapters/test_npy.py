"""The allow-list reader and the writer: real files, hostile files, broken files, old readers."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import random
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from adapter_contract import assert_same, image, stored

from c2am_adapters.npy import TorchArray, load_npy, save_npy, save_pickle
from c2am_plugin.errors import InputError, UnsafeFileError
from c2am_plugin.refine.run import refine_image
from c2am_plugin.registry import get_adapter


def npy(pickled, path):
    """A file as np.save of an object writes it, around any pickle."""
    with path.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(pickled)
    return path


def holding(value):
    """`value` in the 0-d object array that np.save makes of it."""
    array = np.empty((), object)
    array[()] = value
    return array


def a_cam_file():
    rng = np.random.default_rng(0)
    maps = rng.random((2, 8, 12)).astype(np.float32)
    return OrderedDict(
        keys=np.array([0, 3, 16]), cam=torch.tensor(maps[:, ::4, ::4]), hr_cam=maps, more=["x", 1.5]
    )


# --- files that are as they should be ------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_every_pickle_protocol(tmp_path, protocol):
    content = {**a_cam_file(), 3: np.float64(0.5), np.int64(4): np.ones((2, 3), "f2"), "no": None}
    content |= {
        "nested": (1, [2.5, {"x": b"bytes", "": (), "y": b""}], True),
        "order": OrderedDict(a=1),
    }
    path = npy(pickle.dumps(holding(content), protocol=protocol), tmp_path / "a.npy")
    assert_same(load_npy(path), content)


def test_reads_containers_that_are_filled_at_once(tmp_path):
    """As protocol 0 allows, and nobody writes today."""
    path = npy(b"((K\x01K\x02dU\x01a(K\x03K\x04lt.", tmp_path / "a.npy")
    assert load_npy(path) == ({1: 2}, "a", [3, 4])


def test_reads_an_array_of_python_2(tmp_path):
    """Its bytes are a text there."""
    values = np.array([0.5, 200.0], "<f4")
    pickled = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01K\x02\x85cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNK\x00K\x00K\x00tb"
        b"\x89U\x08" + values.tobytes() + b"tb."
    )
    path = npy(pickled, tmp_path / "a.npy")
    np.testing.assert_array_equal(load_npy(path), values)
    np.testing.assert_array_equal(np.load(path, allow_pickle=True, encoding="latin1"), values)


@pytest.mark.parametrize(
    "pickled",
    [
        b"L12345678901L\n.",
        b"\x8b\x02\x00\x00\x00\xff\x01.",
        b"T\x02\x00\x00\x00ab.",
        b"\x8d\x02\x00\x00\x00\x00\x00\x00\x00ab.",
        b"\x8e\x02\x00\x00\x00\x00\x00\x00\x00ab.",
    ],
    ids=["LONG", "LONG4", "BINSTRING", "BINUNICODE8", "BINBYTES8"],
)
def test_reads_the_rarer_ways_to_store_a_value(tmp_path, pickled):
    """Those of protocol 0 and of Python 2, and those for values of over 4 GB."""
    assert load_npy(npy(pickled, tmp_path / "a.npy")) == pickle.loads(pickled)


def test_reads_what_np_save_writes_now(tmp_path):
    np.save(tmp_path / "a.npy", a_cam_file())
    assert_same(load_npy(tmp_path / "a.npy"), a_cam_file())


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 4), np.float32),
        np.array(3, np.int16),
        np.array([True, False]),
        np.array(["a", "bc"]),
        np.array([[{"a": 1}, None], ["x", 2]], object),
        np.asfortranarray(np.array([["a", 1, None], ["x", 2, 3.5]], object)),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_reads_arrays_of_any_layout(tmp_path, array):
    np.save(tmp_path / "plain.npy", array)
    np.save(tmp_path / "inside.npy", {1: array})
    np.testing.assert_array_equal(load_npy(tmp_path / "plain.npy"), array)
    inside = load_npy(tmp_path / "inside.npy")[1]
    np.testing.assert_array_equal(inside, array)
    assert inside.dtype == array.dtype


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(24).reshape(2, 3, 4).permute(2, 0, 1),
        torch.arange(24.0)[5:17:3],
        torch.tensor(1.5),
        torch.zeros(0, 4, 5),
        torch.ones(2, 2, requires_grad=True),
        *(
            torch.tensor([0, 1, 1]).to(dtype)
            for dtype in (torch.float64, torch.float16, torch.int32, torch.int16, torch.int8)
        ),
        torch.tensor([0, 200], dtype=torch.uint8),
        torch.tensor([True, False]),
    ],
    ids=lambda tensor: f"{tensor.dtype}{tuple(tensor.shape)}",
)
def test_reads_and_writes_torch_tensors_of_any_layout(tmp_path, tensor):
    np.save(tmp_path / "theirs.npy", {"cam": tensor})
    ours = load_npy(tmp_path / "theirs.npy")["cam"]
    assert_same(ours, tensor.detach())
    save_npy(tmp_path / "ours.npy", {"cam": ours})
    again = np.load(tmp_path / "ours.npy", allow_pickle=True).item()["cam"]
    assert again.dtype == tensor.dtype
    assert torch.equal(again, tensor.detach())


def test_reads_the_header_of_version_2(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=(2, 0))
    np.testing.assert_array_equal(load_npy(tmp_path / "a.npy"), array)


def test_reads_the_stored_files_of_old_environments(golden):
    files = sorted(golden.rglob("files/*/*.npy"))
    assert len(files) == 20
    for path in files:
        assert_same(load_npy(path), np.load(path, allow_pickle=True).item())


def test_reads_the_label_file_of_a_pipeline(coco_voc):
    path = coco_voc / "cls_labels.npy"
    assert_same(load_npy(path), np.load(path, allow_pickle=True).item())


@pytest.mark.slow
def test_reads_a_label_file_of_many_images(tmp_path):
    content = {f"2007_{index:06d}": np.zeros(20, np.float32) for index in range(20_000)}
    np.save(tmp_path / "cls_labels.npy", content)
    assert len(load_npy(tmp_path / "cls_labels.npy")) == 20_000


# --- what we write -------------------------------------------------------------------------------


def test_the_real_loader_reads_back_what_we_write(tmp_path):
    np.save(tmp_path / "theirs.npy", a_cam_file())
    save_npy(tmp_path / "ours.npy", load_npy(tmp_path / "theirs.npy"))
    again = np.load(tmp_path / "ours.npy", allow_pickle=True)
    assert again.shape == ()
    assert isinstance(again.item()["cam"], torch.Tensor)
    assert_same(load_npy(tmp_path / "ours.npy"), again.item())
    assert_same(load_npy(tmp_path / "theirs.npy"), again.item())


OLD_NAMES = {
    "numpy.core.multiarray _reconstruct",
    "numpy.core.multiarray scalar",
    "numpy ndarray",
    "numpy dtype",
    "torch._utils _rebuild_tensor_v2",
    "torch.storage _load_from_bytes",
    "collections OrderedDict",
    *(f"torch {name}Storage" for name in ("Float", "Double", "Half", "Long", "Int", "Bool")),
}


def opcodes_of(pickled):
    """All opcodes, those of the pickles inside torch storages included."""
    stream = io.BytesIO(pickled)
    while (start := stream.read(2)) and start[:1] == b"\x80":
        stream.seek(-2, io.SEEK_CUR)
        for opcode, argument, _ in pickletools.genops(stream):
            yield opcode, argument
            if isinstance(argument, bytes) and argument[:2] == b"\x80\x02":
                yield from opcodes_of(argument)


def test_a_tensor_that_is_named_twice_is_stored_once(tmp_path):
    tensor = TorchArray(np.ones(10_000, "f4"))
    save_npy(tmp_path / "a.npy", {"cam": tensor, "copy": tensor})
    assert (tmp_path / "a.npy").stat().st_size < 50_000
    again = load_npy(tmp_path / "a.npy")
    assert again["cam"] is again["copy"]


def test_a_tensor_begins_as_torch_writes_it(tmp_path):
    """Its magic number, protocol and system come before the values, in torch's legacy format."""
    theirs = io.BytesIO()
    torch.save(torch.ones(2), theirs, _use_new_zipfile_serialization=False)
    theirs.seek(0)
    for _ in range(3):
        pickle.load(theirs)
    save_npy(tmp_path / "a.npy", TorchArray(np.ones(2, "f4")))
    assert theirs.getvalue()[: theirs.tell()] in (tmp_path / "a.npy").read_bytes()


def test_written_files_name_only_what_old_environments_have(tmp_path):
    content = {
        np.int64(1): np.ones((2, 2)),
        2: np.ones(3, "f2"),
        "o": OrderedDict(a=[1, (2.5, None)]),
        **{code: TorchArray(np.ones(2, code)) for code in ("f4", "f8", "f2", "i8", "i4", "?")},
    }
    save_npy(tmp_path / "a.npy", content)
    data = (tmp_path / "a.npy").read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00"
    opcodes = list(opcodes_of(data[data.index(b"\n") + 1 :]))
    assert {argument for opcode, argument in opcodes if opcode.name == "GLOBAL"} == OLD_NAMES
    assert max(opcode.proto for opcode, _ in opcodes) <= 3
    assert {argument for opcode, argument in opcodes if opcode.name == "PROTO"} == {2, 3}


@pytest.mark.parametrize(
    "array",
    [
        np.arange(999.0, dtype="f4").reshape(3, 9, 37),
        np.arange(999)[::2],
        np.asfortranarray(np.ones((20, 30), "f2")),
        np.full(99, "2020-01-01", "M8[D]"),
        np.ones(999, bool),
    ],
)
def test_large_arrays_are_read_back_by_pickle_itself(tmp_path, array):
    content = {7: array, "again": array, "part": array[1:]}
    save_pickle(tmp_path / "ours.pkl", content)
    found = pickle.loads((tmp_path / "ours.pkl").read_bytes())
    for key, values in content.items():
        np.testing.assert_array_equal(found[key], values)
        assert found[key].dtype == values.dtype
    assert found["again"] is found[7]
    assert found[7].flags.f_contiguous >= array.flags.f_contiguous


def test_objects_that_do_not_fit_are_refused(tmp_path):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for content in (deep, {"x": TorchArray(np.ones(2, "u8"))}, (i for i in "ab"), lambda: 0):
        with pytest.raises(InputError, match="cannot be stored"):
            save_npy(tmp_path / "a.npy", content)
    with pytest.raises(InputError, match="torch has no uint64 tensor"):
        save_npy(tmp_path / "a.npy", TorchArray(np.ones(2, "u8")))


# --- files that ask for code ---------------------------------------------------------------------


TORCH_MAGIC = 0x1950A86A20F9469CFC6C
MAGIC = pickle.dumps(TORCH_MAGIC, 2)


class Call:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def touch(marker):
    return Call(os.system, f"touch '{marker}'")


def asked(marker):
    return f"touch '{marker}'".encode()


# name: (pickle that would make the marker file, what the refusal names)
LIVE = {
    "os.system": (lambda m: pickle.dumps(touch(m)), "posix.system"),
    "eval": (lambda m: pickle.dumps(Call(eval, f"open({str(m)!r}, 'w')")), "builtins.eval"),
    "exec, protocol 0": (
        lambda m: pickle.dumps(Call(exec, f"open({str(m)!r}, 'w')"), protocol=0),
        "__builtin__.exec",
    ),
    "in np.save's array": (lambda m: pickle.dumps(holding(touch(m))), "posix.system"),
    "a dict's value": (lambda m: pickle.dumps(holding({15: touch(m)})), "posix.system"),
    "a dict's key": (lambda m: pickle.dumps(holding({touch(m): 1})), "posix.system"),
    "beside good CAMs": (
        lambda m: pickle.dumps(holding({**a_cam_file(), "z": touch(m)})),
        "posix.system",
    ),
    "in an object array": (
        lambda m: pickle.dumps(holding({15: np.array([1, [touch(m)]], object)})),
        "posix.system",
    ),
    "in a torch storage": (
        lambda m: pickle.dumps(Call(torch.storage._load_from_bytes, pickle.dumps(touch(m)))),
        "posix.system",
    ),
    "in a torch storage's keys": (
        lambda m: pickle.dumps(
            Call(
                torch.storage._load_from_bytes,
                b"".join(pickle.dumps(part, 2) for part in (TORCH_MAGIC, 1001, touch(m))),
            )
        ),
        "posix.system",
    ),
    "STACK_GLOBAL": (
        lambda m: b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93" + text(asked(m)) + b"\x85R.",
        "posix.system",
    ),
    "STACK_GLOBAL, dotted": (
        lambda m: b"\x80\x04\x8c\x02os\x8c\x0epath.os.system\x93" + text(asked(m)) + b"\x85R.",
        "os.path.os.system",
    ),
    "INST": (
        lambda m: b"(S" + repr(asked(m))[1:].encode() + b"\niposix\nsystem\n.",
        "posix system",
    ),
    "OBJ": (
        lambda m: b"(cposix\nsystem\nS" + repr(asked(m))[1:].encode() + b"\no.",
        "posix.system",
    ),
}


@pytest.mark.parametrize("name", LIVE)
def test_no_code_of_a_file_runs(tmp_path, name):
    build, wanted = LIVE[name]
    marker = tmp_path / "marker"
    path = npy(build(marker), tmp_path / "a.npy")
    with pytest.raises(UnsafeFileError) as refusal:
        load_npy(path)
    assert not marker.exists()
    assert str(path) in str(refusal.value)
    assert wanted in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    # The attack is a real one: the usual loader falls for it.
    try:
        np.load(path, allow_pickle=True)
    except Exception as error:
        print(error)
    assert marker.exists()


@pytest.mark.parametrize(
    ("pickled", "wanted"),
    [
        (b"\x80\x02\x82\x01.", "EXT1 1"),
        (b"\x80\x02\x83\x01\x02.", "EXT2 513"),
        (b"\x80\x02\x84\x01\x02\x03\x04.", "EXT4"),
        (b"Pevil\n.", "PERSID evil"),
        (b"K\x01Q.", "a persistent id"),
        (b"cnumpy\nndarray\n)\x81.", "asks for pickle opcode NEWOBJ, which"),
        (b"cnumpy\ndtype\n)}\x92.", "NEWOBJ_EX"),
        (b"cnumpy\nndarray\n(K\x02tR.", "a call of numpy.ndarray"),
        (b"ctorch\nFloatStorage\n(K\x02tR.", "a call of torch.FloatStorage"),
        (b"cbuiltins\nbytes\n(\x8a\x05\x00\x00\x00\x00\x01tR.", "builtins.bytes"),
        (b"K\x01)R.", "a call of int"),
        (b"cnumpy\nndarray\nK\x01R.", "a call"),
        (b"}}b.", "a change of dict"),
        (b"cnumpy\nndarray\n}b.", "a change of GlobalName"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\nK\x00tR.", "another class"),
        (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
        (b"cnumpy\nload\n.", "numpy.load"),
        (b"cnumpy\nlo ad s\n.", "numpy.lo ad s"),
        (b"cnumpy._core.\nmultiarray._reconstruct\n.", "multiarray"),
        (b"\x80\x04\x8c\x05os\n\x1b[\x8c\x03\r\nx\x93.", r"os\n\x1b[.\r\nx"),
    ],
)
def test_opcodes_and_names_outside_the_list_are_refused_by_name(tmp_path, pickled, wanted):
    with pytest.raises(UnsafeFileError) as refusal:
        load_npy(npy(pickled, tmp_path / "a.npy"))
    message = str(refusal.value)
    assert str(tmp_path / "a.npy") in message
    assert wanted in message
    assert message.isprintable()


# --- broken files --------------------------------------------------------------------------------


def assert_one_line_error(path, *said):
    with pytest.raises(InputError) as refusal:
        load_npy(path)
    message = str(refusal.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    assert all(each in message for each in said), message


@pytest.mark.slow
@pytest.mark.parametrize("writer", [np.save, save_npy])
def test_a_file_cut_short_anywhere(tmp_path, writer):
    content = a_cam_file()
    if writer is save_npy:
        content["cam"] = TorchArray(content["cam"].numpy())
    writer(tmp_path / "whole.npy", content)
    data = (tmp_path / "whole.npy").read_bytes()
    path = tmp_path / "cut.npy"
    for length in [*range(0, len(data), 3), len(data) - 1]:
        path.write_bytes(data[:length])
        assert_one_line_error(path)


def a_zip():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is an empty file, not a .npy file"),
        (b"hello\tworld \r\n~ and more", "is a text file, not"),
        (b"\n<!DOCTYPE html><html>404</html>", "is an HTML page (a failed download?)"),
        (b"<html><body>404</body></html>", "is an HTML page"),
        (a_zip(), "is a zip archive (.npz or torch.save)"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n",
            "is a Git LFS pointer",
        ),
        (pickle.dumps({}), "is of an unknown type (first bytes 80 04 "),
        (b"\x93NUMPY", ""),
        (b"\x93NUMPY\x09\x00" + b"\0" * 100, "version"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", ""),
        (b"\x93NUMPY\x01\x00\x06\x00(''''\n", ""),
        (b"\x93NUMPY\x01\x00\x1b\x00__import__('os').getpid() \n", ""),
    ],
)
def test_a_file_that_is_something_else(tmp_path, data, said):
    (tmp_path / "a.npy").write_bytes(data)
    assert_one_line_error(tmp_path / "a.npy", said)


def test_no_file_at_all(tmp_path):
    assert_one_line_error(tmp_path / "a.npy", "No such file")
    assert_one_line_error(tmp_path, "directory")


@pytest.mark.parametrize(
    "header",
    [
        {"descr": "<f4", "fortran_order": False, "shape": (10**18,)},
        {"descr": "<f4", "fortran_order": False, "shape": (-2, -3)},
        {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2**40)},
        {"descr": [("x", "|O")], "fortran_order": False, "shape": ()},
        {"descr": "|V0", "fortran_order": False, "shape": (3,)},
    ],
    ids=str,
)
def test_a_header_that_does_not_match_its_data(tmp_path, header):
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"\0" * 24)
    assert_one_line_error(tmp_path / "a.npy")


def array_pickle(shape, dtype="<f4", data=b"\0" * 24):
    """An ndarray's pickle by hand, with any shape."""
    state = (1, shape, np.dtype(dtype), False, data)

    class Array:
        def __reduce__(self):
            return np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b"b"), state

    return pickle.dumps(Array(), protocol=2)


HERE = object()


def storage_bytes(
    count, name="FloatStorage", data=b"\0" * 24, key="0", keys=("0",), kind="storage", view=None
):
    class Identity(pickle.Pickler):
        def persistent_id(self, obj):
            identity = (kind, getattr(torch, name), key, "cpu", count, view)
            return identity if obj is HERE else None

    file = io.BytesIO()
    for part in (TORCH_MAGIC, 1001, {}):
        pickle.dump(part, file, protocol=2)
    Identity(file, protocol=2).dump(HERE)
    pickle.dump(list(keys), file, protocol=2)
    stored = count if 0 <= count < 2**63 else 6
    return file.getvalue() + struct.pack("<q", stored) + data


def tensor_pickle(offset, size, stride, storage=None):
    storage = Call(torch.storage._load_from_bytes, storage or storage_bytes(6))
    tensor = Call(
        torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict()
    )
    return pickle.dumps(tensor, protocol=2)


def test_reads_a_tensor_of_the_first_torch(tmp_path):
    """Before `_rebuild_tensor_v2`."""
    storage = Call(
        torch.storage._load_from_bytes, storage_bytes(6, data=np.arange(6, dtype="f4").tobytes())
    )
    tensor = Call(torch._utils._rebuild_tensor, storage, 1, (2, 2), (3, 1))
    path = npy(pickle.dumps(tensor, protocol=2), tmp_path / "a.npy")
    np.testing.assert_array_equal(load_npy(path).array, [[1, 2], [4, 5]])


@pytest.mark.parametrize(
    "pickled",
    [
        *(
            array_pickle(shape)
            for shape in ((7,), (10**12,), (-2, -3), (2**62, 4), (-1, 0), ("6",))
        ),
        array_pickle(6),
        array_pickle((6,), data=None),
        array_pickle((24,), dtype="u1", data=24),
        array_pickle((2,), dtype=object, data=[1]),
        array_pickle((1,), dtype=[("a", "f4"), ("b", "f8")]),
        array_pickle((10**9,), dtype="M8[s]"),
        tensor_pickle(0, (7,), (1,)),
        tensor_pickle(0, (10**12,), (0,)),
        tensor_pickle(0, (7,), (0,)),
        tensor_pickle(5, (2,), (-1,)),
        tensor_pickle(-1, (2,), (1,)),
        tensor_pickle(4, (3,), (1,)),
        tensor_pickle(0, (2, 3), (2**61, 1)),
        tensor_pickle(0, (2, 3), (1,)),
        tensor_pickle(0, (2.0,), (1,)),
        tensor_pickle(10**30, (1,), (1,)),
        tensor_pickle(0, (1,), (1,), storage_bytes(7)),
        tensor_pickle(0, (1,), (1,), storage_bytes(10**12)),
        tensor_pickle(0, (1,), (1,), storage_bytes(-1)),
        tensor_pickle(0, (1,), (1,), storage_bytes(10**30)),
        tensor_pickle(0, (1,), (1,), storage_bytes(6, keys=("1",))),
        tensor_pickle(0, (1,), (1,), storage_bytes(6, key=0, keys=(0,))),
        tensor_pickle(0, (1,), (1,), storage_bytes(6, kind="module")),
        tensor_pickle(0, (1,), (1,), storage_bytes(6, view=("1", 0, 6))),
        tensor_pickle(0, (1,), (1,), storage_bytes(6).replace(MAGIC, pickle.dumps(1, 2))),
        tensor_pickle(0, (1,), (1,), storage_bytes(6).replace(b"M\xe9\x03", b"M\xea\x03")),
        tensor_pickle(0, (1,), (1,), storage_bytes(6)[:-32] + struct.pack("<q", 5) + b"\0" * 24),
        tensor_pickle(0, (1,), (1,), b"text"),
        tensor_pickle(0, (1,), (1,), storage_bytes(6)[:-9]),
        b"]K\x01(s.",
        b"K\x01(\x85.",
        b"(((.",
        b".",
        b"0.",
        b"K\x01K\x02s.",
        b"h\x05.",
        b"}(K\x01u.",
        b"\xff.",
        b"}]K\x01s.",
        b"})K\x01s.",
        b"]K\x07aK\x00K\x05s.",
        b"cnumpy\ndtype\n(U\x08f4,V9999tR.",
        b"\x80\x04\x8c\x01aK\x01\x93.",
        b"c_codecs\nencode\n(U\x02+AU\x05utf-7tR.",
    ],
    ids=range(50),
)
def test_sizes_and_stacks_that_do_not_add_up(tmp_path, pickled):
    assert_one_line_error(npy(pickled, tmp_path / "a.npy"))


# --- files that ask for much ---------------------------------------------------------------------


def repeated(first, each, times):
    """A list of `times` results of `each`, opcodes that work on memo 0, which is `first`."""
    return b"\x80\x02" + first + b"q\x00](" + each * times + b"e\x86."


def text(content):
    return b"X" + struct.pack("<I", len(content)) + content


def laughs(levels):
    """Each list holds the one before it ten times."""
    steps = (b"](" + b"h%c" % level * 10 + b"e\x94" for level in range(levels))
    return b"\x80\x04]\x94" + b"".join(steps) + b"."


def dict_of(pairs):
    return b"\x80\x02}(" + b"".join(pairs) + b"u."


MODULUS = 2**61 - 1
LONG_KEYS = [pickle.dumps(MODULUS << i, 2)[2:-1] + b"K\x00" for i in range(2, 20_000)]
ARRAY = array_pickle((250_000,), data=b"\0" * 1_000_000)[2:-1]
STORAGE = storage_bytes(250_000, data=b"\0" * 1_000_000)
NESTED = b"\x80\x02K\x00."
for _ in range(300):
    NESTED = (
        b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(NESTED)) + NESTED + b"\x85R."
    )

BOMBS = {
    "one text encoded 20,000 times": repeated(
        text(b"a" * 1_000_000), b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R", 20_000
    ),
    "one storage loaded 20,000 times": repeated(
        b"B" + struct.pack("<I", len(STORAGE)) + STORAGE,
        b"ctorch.storage\n_load_from_bytes\nh\x00\x85R",
        20_000,
    ),
    "one list copied 20,000 times into object arrays": repeated(
        b"](" + b"N" * 100_000 + b"e",
        b"cnumpy.core.numeric\n_frombuffer\n(h\x00cnumpy\ndtype\nX\x01\x00\x00\x00O\x85R"
        b"\x4a\xa0\x86\x01\x00\x85X\x01\x00\x00\x00CtR",
        20_000,
    ),
    "ordered dicts of one list": repeated(
        b"](" + b"K\x01K\x02\x86" * 50_000 + b"e", b"ccollections\nOrderedDict\nh\x00\x85R", 20_000
    ),
    "a billion laughs": laughs(60),
    "laughs as keys": dict_of([text(b"keys") + b"(" + laughs(60)[2:-1] + b"l"]),
    "one array as many classes": b"\x80\x02}"
    + b"K\x00"
    + ARRAY
    + b"q\x63s("
    + b"".join(b"M" + struct.pack("<H", i) + b"hc" for i in range(1, 60_000))
    + b"u.",
    "one array as many layers": dict_of(
        [
            text(b"keys") + b"](K\x00K\x01e",
            text(b"hr_cam") + b"](" + ARRAY + b"q\x63" + b"hc" * 60_000 + b"e",
        ]
    ),
    "keys of one hash": dict_of(LONG_KEYS),
    "lists 200,000 deep": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "keys 200,000 deep": dict_of([text(b"keys") + b"]" * 200_000 + b"a" * 199_999]),
    "tuples 200,000 deep": b"\x80\x02)" + b"\x85" * 200_000 + b".",
    "storages in storages": NESTED,
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "keys in themselves": dict_of([text(b"keys") + b"]q\x00h\x00a"]),
    "a dict in itself": b"\x80\x02}q\x00K\x01h\x00s.",
    "an array in itself": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00"
    b"\x85U\x01btRq\x00(K\x01)cnumpy\ndtype\nU\x01O\x85R\x89]h\x00atb.",
    "a long integer as shape": array_pickle((1 << 400_000,)),
    "a long integer as count": pickle.dumps(holding({"keys": 1 << 400_000})),
    "a million empty dicts": b"\x80\x04(" + b"}\x94" * 1_000_000 + b"l.",
    "a shape of 400,000 sides": b"\x80\x02"
    + pickle.dumps(1 << 62, 2)[2:-1]
    + b"q\x00("
    + b"h\x00" * 400_000
    + b"tq\x01cnumpy.core.numeric\n_frombuffer\n(U\x04aaaa"
    b"cnumpy\ndtype\nU\x02f4\x85Rh\x01U\x01CtR.",
    "a tensor of 100,000 long sides": b"\x80\x02"
    + pickle.dumps(1 << 4000, 2)[2:-1]
    + b"q\x00("
    + b"h\x00" * 100_000
    + b"tq\x01ctorch._utils\n_rebuild_tensor\n(cnumpy.core.numeric\n_frombuffer\n(U\x04aaaa"
    b"cnumpy\ndtype\nU\x02f4\x85RK\x01\x85U\x01CtRK\x00h\x01h\x01tR.",
    "an encoding without end": laughs(60)[:-1] + b"q\x00c_codecs\nencode\nU\x01ah\x00\x86R.",
    "a global without end": laughs(60)[:-1] + b"q\x00X\x01\x00\x00\x00ah\x00\x93.",
    "a dtype without end": laughs(60)[:-1] + b"q\x00cnumpy\ndtype\nh\x00\x85R.",
    "memo numbers of one hash": b"\x80\x02N"
    + b"".join(b"p%d\n" % (MODULUS * i) for i in range(1, 50_000))
    + b".",
    "keys of numpy's 16 bytes, of one hash": b"\x80\x02cnumpy.core.multiarray\nscalar\nq\x01"
    b"cnumpy\ndtype\nU\x03f16\x85R(K\x03U\x01<NNNtbq\x00}("
    + b"".join(
        b"h\x01h\x00U\x10" + (np.ldexp(np.longdouble(1), 2000) * i).tobytes() + b"\x86RK\x00"
        for i in range(1, 50_000)
    )
    + b"u.",
    "3,000 layers as wide as one": dict_of(
        [
            text(b"keys") + b"](K\x00K\x01e",
            text(b"hr_cam")
            + b"]("
            + array_pickle((250, 1), "S4000", bytes(1_000_000))[2:-1]
            + array_pickle((250, 1), "u1", bytes(250))[2:-1] * 3_000
            + b"e",
        ]
    ),
}

# What the reader itself refuses; the others are read, and refused by the adapters.
TOO_MUCH = "(needs more than 32 times its size in memory)"
REFUSED = {
    "ordered dicts of one list": TOO_MUCH,
    "keys of one hash": "bits)",
    "lists 200,000 deep": TOO_MUCH,
    "keys 200,000 deep": TOO_MUCH,
    "tuples 200,000 deep": TOO_MUCH,
    "storages in storages": "asks for torch.storage._load_from_bytes",
    "a long integer as shape": "(a shape ",
    "a million empty dicts": TOO_MUCH,
    "a shape of 400,000 sides": "(a shape ",
    "a tensor of 100,000 long sides": "(a shape ",
    "an encoding without end": "(bytes in an encoding other",
    "a global without end": "(a global without a name)",
    "a dtype without end": "(a dtype code of type list",
    "memo numbers of one hash": "bits)",
    "keys of numpy's 16 bytes, of one hash": "key of type longdouble",
}

READ_ALL = """
import json, resource, sys, time
from pathlib import Path
import c2am_plugin.registry as registry
from c2am_plugin.errors import InputError
from c2am_adapters.npy import load_npy
adapters = [registry.get_adapter(name) for name in registry.layout_names()]
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000,) * 2)

def unit():
    # processor time of a known amount of work, here and now: a busy machine slows both alike
    start = time.process_time()
    for number in range(1_000_000):
        str(number)
    return time.process_time() - start

for path in sorted(Path(sys.argv[1]).iterdir(), key=lambda path: int(path.stem)):
    before, start = unit(), time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(start + 100 * before) + 2, -1))
    try:
        content = load_npy(path)
        read = "read"
        for adapter in adapters:
            try:
                assert adapter.fits(content) in (True, False)
                adapter.parse(content, "id")
                read = "parsed"
            except InputError as error:
                assert len(str(error)) < 1000 and str(error).isprintable(), "message"
        del content
    except InputError as error:
        read = str(error).split("damaged ")[-1]
        assert len(str(error)) < 1000 and str(error).isprintable(), "message"
    work = (time.process_time() - start) / max(before, unit())
    print(path.stem, json.dumps([read, work]), flush=True)
"""
# The largest reads take some 5 units; a fault takes from 50 up.
MOST_WORK = 25


@pytest.mark.slow
def test_files_that_ask_for_much_get_little(tmp_path):
    """All in one process with 400 MB, and processor time for each file that is measured in units
    of work done beside it: the time itself depends on what else the machine does."""
    for index, pickled in enumerate(BOMBS.values()):
        npy(pickled, tmp_path / f"{index}.npy")
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    seen = {
        line.split(" ", 1)[0]: json.loads(line.split(" ", 1)[1])
        for line in done.stdout.splitlines()
    }
    outcome = {name: seen.get(str(index)) for index, name in enumerate(BOMBS)}
    assert done.returncode == 0, (outcome, done.stderr[-2000:])
    for name, (result, work) in outcome.items():
        expected = TOO_MUCH if "0,000 times" in name else REFUSED.get(name, "read")
        assert expected in result, name
        assert work < MOST_WORK, (name, work)


NUMPY_NDARRAY = b"X\x05\x00\x00\x00numpyq\x00X\x07\x00\x00\x00ndarrayq\x01"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"N", b"\x94"),
        (b"", b"]"),
        (b"", b"}"),
        (b"", b"("),
        (b")", b"\x85"),
        (b")", b"N\x86"),
        (b")", b"NN\x87"),
        (NUMPY_NDARRAY, b"h\x00h\x01\x93"),
        (b"ccollections\nOrderedDict\nq\x00", b"h\x00)R"),
        (b"}", b"K\x00K\x00s"),
        (b"}(", b"M\x01\x01N"),
    ],
    ids=[
        "MEMOIZE",
        "EMPTY_LIST",
        "EMPTY_DICT",
        "MARK",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "STACK_GLOBAL",
        "REDUCE",
        "SETITEM",
        "SETITEMS",
    ],
)
def test_opcodes_that_make_much_of_little_are_refused_in_number(tmp_path, first, again):
    """What takes more than 32 times its bytes in the file, an object for one byte, is paid for."""
    assert_one_line_error(
        npy(b"\x80\x04" + first + again * 60_000 + b"u.", tmp_path / "a.npy"), TOO_MUCH
    )


def test_dict_keys_are_numbers_of_64_bits(tmp_path):
    """Longer ones can be chosen to share one hash, which makes a dict slow without end."""
    np.save(tmp_path / "a.npy", {2**63 - 1: 1, 1 - 2**63: 2})
    assert load_npy(tmp_path / "a.npy") == {2**63 - 1: 1, 1 - 2**63: 2}
    for key in (2**63, -(2**63)):
        np.save(tmp_path / "a.npy", {key: 1})
        assert_one_line_error(tmp_path / "a.npy", "a dict key of 64 bits")


def test_a_small_file_may_hold_many_small_things(tmp_path):
    content = {index: [index % 20] for index in range(2_000)}
    np.save(tmp_path / "a.npy", content)
    assert load_npy(tmp_path / "a.npy") == content


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@pytest.mark.parametrize("method", ["psa", "sc_cam", "puzzlecam", "advcam"])
def test_mutated_files_read_as_cams_or_are_refused(tmp_path, method):
    class_ids, maps, strided, cue = image(2, size=(5, 6))
    rng, adapter = random.Random(method), get_adapter(method)
    whole = pickle.dumps(holding(stored(method, class_ids, maps, strided)), protocol=2)
    outcomes, messages = {"read": 0, "refused": 0}, []
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3))):
            at = rng.randrange(len(data))
            change = rng.randrange(4)
            if change == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif change == 1:
                del data[at : at + rng.randrange(1, 9)]
            elif change == 2:
                data[at:at] = whole[rng.randrange(len(whole)) :][: rng.randrange(1, 40)]
            else:
                data[at] = rng.choice(b"(tR0b}]eusahgjqr.\x85\x86\x87\x93\x94\x88\x89N\x80Q")
        path = npy(bytes(data), tmp_path / "a.npy")
        try:
            cams = adapter.parse(adapter.load(path), "a")
            adapter.dump(refine_image(cams, cue, 0.2), tmp_path / "b.npy")
            outcomes["read"] += 1
        except InputError as error:
            outcomes["refused"] += 1
            messages.append(str(error))
    assert min(outcomes.values()) > 0, outcomes
    assert all(len(message.splitlines()) == 1 for message in messages)
