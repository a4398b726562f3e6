"""Every other file that a command reads as a kind of case: images, cues, lists, JSON, XML,
checkpoints.
"""

from __future__ import annotations

import io
import json
import random
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_readers import MIB, Kind
from hostile_pickles import GLOBALS, TEXTS, change_bytes, change_opcodes, laughs, literal, opcodes
from PIL import Image, PngImagePlugin

from c2am_plugin.boxes.predictions import read_predictions
from c2am_plugin.boxes.truths import find_truths, read_truth
from c2am_plugin.errors import InputError, OutputError
from c2am_plugin.files.cues import is_soft_cue, read_cue
from c2am_plugin.files.labels import read_label
from c2am_plugin.files.lists import read_ids
from c2am_plugin.files.photos import read_photo
from c2am_plugin.runs.output_folders import read_record

__all__ = ["KINDS"]

# --- images --------------------------------------------------------------------------------------

CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"zTXt", b"iTXt", b"tEXt")
CHUNKS += (b"pHYs", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"bKGD", b"IDAT", b"IEND", b"abcd", b"CgBI")
SIDES = (0, 1, 7, 300, 4000, 8191, 20_000, 2**31 - 1, 2**32 - 1)
MODES = ("L", "L", "P", "RGB", "1", "LA", "RGBA", "I;16")
OTHERS = (
    "JPEG",
    "BMP",
    "TIFF",
    "WEBP",
    "GIF",
    "PPM",
    "TGA",
    "PCX",
    "ICO",
    "SGI",
    "DDS",
    "JPEG2000",
)
SCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(c2am-fuzz) run\n"


def picture(rng: random.Random, form: str = "PNG") -> bytes:
    numbers = np.random.default_rng(rng.randrange(2**32))
    pixels = numbers.integers(0, 256, (rng.randrange(1, 30), rng.randrange(1, 30)), dtype=np.uint8)
    image = Image.fromarray(pixels // rng.choice((1, 50, 255)))
    mode = rng.choice(MODES) if form == "PNG" else rng.choice(("L", "RGB"))
    image = (
        Image.fromarray(pixels.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    )
    options: dict[str, Any] = {}
    if form == "PNG":
        notes = PngImagePlugin.PngInfo()
        notes.add_text("c2am", "x" * rng.randrange(100), zip=rng.random() < 0.5)
        options = {"pnginfo": notes}
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def mutated_picture(rng: random.Random) -> tuple[str, bytes]:
    way = rng.choice(("bytes", "chunks", "chunks", "chunks", "bomb", "other format"))
    if way == "bytes":
        return way, change_bytes(rng, picture(rng))
    if way == "bomb":
        return way, bomb(rng)
    if way == "other format":
        data = picture(rng, rng.choice(OTHERS)) if rng.random() < 0.9 else SCRIPT
        return way, change_bytes(rng, data) if rng.random() < 0.7 else data
    chunks = split(picture(rng))
    for _ in range(rng.choice((1, 1, 2, 3))):
        change_chunks(rng, chunks)
    return way, joined(chunks)


def split(data: bytes) -> list[tuple[bytes, bytes]]:
    """A PNG's chunks: (name, content)."""
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += length + 12
    return chunks


def joined(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks, each with its right checksum."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, body in chunks:
        parts += [
            struct.pack(">I", len(body)),
            name,
            body,
            struct.pack(">I", zlib.crc32(name + body)),
        ]
    return b"".join(parts)


def change_chunks(rng: random.Random, chunks: list[tuple[bytes, bytes]]) -> None:
    at = rng.randrange(len(chunks))
    name, body = chunks[at]
    change = rng.randrange(6)
    if change == 0 and len(chunks) > 1:
        del chunks[at]
    elif change == 1:
        chunks.insert(rng.randrange(len(chunks) + 1), (name, body))
    elif change == 2:
        chunks[at] = (name, change_bytes(rng, body))
    elif change == 3:
        chunks[at] = (rng.choice(CHUNKS), body)
    elif change == 4:
        body = rng.choice(
            (
                b"",
                bytes(rng.randrange(40)),
                zlib.compress(bytes(99)),
                b"k\0\0" + body,
                b"k\0\1\0\0\0" + body,
            )
        )
        chunks.insert(rng.randrange(len(chunks) + 1), (rng.choice(CHUNKS), body))
    else:
        side = struct.pack(">II", rng.choice(SIDES), rng.choice(SIDES))
        depth = bytes(
            (
                rng.choice((1, 2, 4, 8, 16, 3)),
                rng.choice((0, 2, 3, 4, 6, 7)),
                0,
                0,
                rng.randrange(2),
            )
        )
        chunks[0] = (b"IHDR", side + depth)


def bomb(rng: random.Random) -> bytes:
    """Much out of little: text and profiles that expand, sides that are not there."""
    header, *rest = split(picture(rng))
    zeros = zlib.compress(bytes(rng.choice((10**5, 10**7, 10**8))), 9)
    change = rng.randrange(4)
    if change == 0:
        body = rng.choice((b"k\0\0", b"k\0\1\0\0\0", b"profile\0\0")) + zeros
        return joined(
            [
                header,
                *[(rng.choice((b"zTXt", b"iTXt", b"iCCP")), body)] * rng.randrange(1, 4),
                *rest,
            ]
        )
    if change == 1:
        return joined([header, (b"IDAT", zeros), (b"IEND", b"")])
    width, height = rng.choice(((8000, 8000), (13_000, 13_000), (18_000, 18_000), (3000, 3000)))
    color = rng.choice((0, 2, 3, 6))
    size = struct.pack(">II5B", width, height, 8, color, 0, 0, 0)
    content = zeros if change == 2 else zlib.compress(bytes(1000))
    return joined([(b"IHDR", size), (b"PLTE", bytes(768)), (b"IDAT", content), (b"IEND", b"")])


def pixels_too(path: Path) -> int:
    """A file's size and its pixels', of four channels, as far as a reader may go."""
    size = path.stat().st_size
    try:
        with Image.open(path) as image:
            return size + min(image.width * image.height, 2**26)
    except Exception:
        return size


def read_cue_file(path: Path) -> None:
    soft = is_soft_cue(path)
    assert soft in (True, False)
    for flip in (False, True):
        cue = read_cue(path, flip=flip)
        assert cue.dtype == np.float32
        assert cue.ndim == 2
        assert cue.size
        assert ((cue >= 0) & (cue <= 1)).all()


def read_label_file(path: Path) -> None:
    label = read_label(path)
    assert label.dtype == np.uint8
    assert label.ndim == 2


def read_photo_file(path: Path) -> None:
    photo = read_photo(path)
    assert photo.dtype == np.uint8
    assert photo.ndim == 3
    assert photo.shape[2] == 3


# --- float cues ----------------------------------------------------------------------------------

HEADERS = (
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
    b"{[]: 1}",
    b"(" * 300,
    b"-" * 5000 + b"1",
    b"{1: 2, 'a': 3}",
    b"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 2)}",
    b"[" * 90 + b"]" * 90,
    b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 2)}",
    b"{'descr': ('<f4', (9999, 9999)), 'fortran_order': False, 'shape': (1, 1)}",
    b"{'descr': '|O', 'fortran_order': False, 'shape': ()}",
    b"__import__('os').system('c2am-fuzz')",
    b"{'descr': 1 + 1j, 'fortran_order': False, 'shape': (1,)}",
    b"{**{}}",
    b"{'descr': 'f4,' * 9, 'fortran_order': False, 'shape': (1,)}",
    b"1" * 9000,
    b"'\\N{DIGIT ONE}'",
    b"not 1",
    b"\xff" * 20,
    *(
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s,)}" % number
        for number in (b"10**9", b"99999999999", b"9" * 400, b"True", b"1.0", b"3L")
    ),
)


def mutated_cue_array(rng: random.Random) -> tuple[str, bytes]:
    numbers = np.random.default_rng(rng.randrange(2**32))
    shape = rng.choice(((5, 7), (5, 7), (1, 5, 7), (5, 7, 1), (5,), (0, 3), (2, 3, 4)))
    code = rng.choice(("f4", "f4", "f8", "f2", "u1", ">f4", "f16", "c8", "?", "U2", "M8[s]"))
    array = (numbers.random(shape) * rng.choice((1, 1, 255, -1))).astype(code)
    if array.dtype.kind == "f" and array.size and rng.random() < 0.3:
        array.flat[0] = rng.choice((np.nan, np.inf, -0.0))
    file = io.BytesIO()
    np.save(file, array)
    way = rng.choice(("content", "content", "bytes", "header", "zip"))
    if way == "header":
        header = rng.choice(HEADERS)
        version = rng.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00"))
        length = struct.pack("<H" if version[0] == 1 else "<I", len(header) + 1)
        return way, b"\x93NUMPY" + version + length + header + b"\n" + bytes(rng.randrange(200))
    if way == "zip":
        file = io.BytesIO()
        np.savez_compressed(file, cue=np.zeros(10**6, "f4"))
    data = file.getvalue()
    return way, data if way == "content" else change_bytes(rng, data)


# --- text ----------------------------------------------------------------------------------------

WORDS = (
    b"\r\n",
    b"\n\n",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x85",
    b"\xe2\x80\xa8",
    b" ",
    b"/",
    b"//",
    b"..",
    b",",
    b'"',
)
WORDS += (
    b"/JPEGImages/a.jpg /SegmentationClassAug/a.png\n",
    b"/etc/passwd\n",
    b"../../a\n",
    b"a.b.c\n",
    b"1e5\n",
    b"\x1b[2J",
)
LISTS = (
    b"2007_000032\n2007_000039\n",
    b"/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png\n",
    b"val/0001\r\n\r\nval/0002\r\n",
)


def mutated_text(rng: random.Random, whole: tuple[bytes, ...]) -> tuple[str, bytes]:
    data = change_bytes(rng, rng.choice(whole) * rng.choice((1, 1, 1000)))
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.choice(WORDS) * rng.choice((1, 1, 1, 5000)) + data[at:]
    return "text", data


def read_list(path: Path) -> None:
    ids = read_ids(path)
    assert ids
    assert len(set(ids)) == len(ids)
    for each in ids:
        assert each
        assert not each.startswith("/")
        assert ".." not in each.split("/")


# --- JSON and XML --------------------------------------------------------------------------------

COCO = {
    "images": [
        {"id": 1, "file_name": "a.jpg", "width": 30, "height": 20},
        {"id": 2, "file_name": "b/c.jpg"},
    ],
    "annotations": [
        {"image_id": 1, "category_id": 3, "bbox": [1, 2.5, 10, 10], "iscrowd": 0},
        {"image_id": 2, "category_id": 3, "bbox": [0, 0, 4, 4], "iscrowd": 1},
    ],
    "categories": [{"id": 3, "name": "cat"}],
}
RECORD = {
    "settings": {"threshold": 0.2, "method": "psa", "crf": None, "ids": ["a", "b"]},
    "report": {"images": 3, "failures": {}},
}
VOC = b"""<annotation><size><width>30</width><height>20</height></size><object><name>cat</name>
<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"""
NUMBERS = (
    b"1e999",
    b"-1e999",
    b"nan",
    b"inf",
    b"9" * 400,
    b"9" * 5000,
    b"-1",
    b"0",
    b"0x10",
    b"",
    b"1_0",
    b"\xd9\xa3",
)
VALUES = (
    None,
    True,
    0,
    -1,
    10**400,
    1.5,
    float("inf"),
    float("nan"),
    "",
    "a",
    "\ud800",
    "a\nb",
    [],
    {},
    [[]],
    [1, 2],
    {"id": 1},
    [[1, 2]],
    "x" * 5000,
)


def mutated_json(rng: random.Random, whole: Any) -> tuple[str, bytes]:
    way = rng.choice(("bytes", "values", "values", "values", "deep"))
    if way == "deep":
        depth = int(10 ** rng.uniform(2, 5))
        text = rng.choice(
            (
                "[" * depth,
                "[" * depth + "]" * depth,
                '{"settings":' * depth,
                '{"a":' * depth + "1" + "}" * depth,
            )
        )
        return way, text.encode()
    if way == "bytes":
        return way, change_bytes(rng, json.dumps(whole).encode())
    changed = json.loads(json.dumps(whole))
    for _ in range(rng.randrange(1, 4)):
        changed = change_value(rng, changed)
    return way, json.dumps(changed).encode()


def change_value(rng: random.Random, value: Any) -> Any:
    """Somewhere in a tree of JSON: another value, one less, one more."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.15:
        return json.loads(json.dumps(rng.choice(VALUES)))
    keys = [*value] if isinstance(value, dict) else range(len(value))
    key = rng.choice(keys)
    if rng.random() < 0.15:
        del value[key]
    elif rng.random() < 0.1 and isinstance(value, dict):
        value[rng.choice(("id", "a\nb", "\x1b", "x" * 3000))] = json.loads(
            json.dumps(rng.choice(VALUES))
        )
    else:
        value[key] = change_value(rng, value[key])
    return value


def mutated_xml(rng: random.Random) -> tuple[str, bytes]:
    way = rng.choice(("bytes", "values", "values", "deep", "declaration"))
    if way == "bytes":
        return way, change_bytes(rng, VOC)
    if way == "deep":
        depth = int(10 ** rng.uniform(2, 5))
        return way, b"<annotation>" + b"<object>" * depth + rng.choice(
            (b"", b"</object>" * depth + b"</annotation>")
        )
    if way == "declaration":
        start = rng.choice(
            (
                *(
                    b'<?xml version="1.0" encoding="%s"?>' % name
                    for name in (b"foo", b"utf-7", b"utf-16", b"latin1", b"idna", b"zlib", b"cp037")
                ),
                b'<!DOCTYPE a [<!ENTITY b "c">]>',
                b'<!DOCTYPE a SYSTEM "file:///etc/passwd">',
            )
        )
        return way, start + VOC
    text = VOC
    for old in rng.sample((b">30<", b">20<", b">1<", b">2<", b">9<", b">8<", b">0<"), 2):
        text = text.replace(old, b">" + rng.choice(NUMBERS) + b"<")
    return way, text


def read_truths(path: Path) -> None:
    truths = find_truths(path)
    for image_id in truths.ids:
        check_truth(read_truth(truths.find(image_id)))


def read_voc(path: Path) -> None:
    check_truth(read_truth(path))


def check_truth(truth: Any) -> None:
    assert truth.boxes.dtype == np.float64
    assert truth.boxes.shape == (len(truth.names), 4)
    assert np.isfinite(truth.boxes).all()
    assert (truth.boxes[:, 2:] > truth.boxes[:, :2]).all()
    assert all(isinstance(name, str) for name in truth.names)
    assert truth.size is None or min(truth.size) > 0


class NoTruths:
    ids = ("a", "b")

    def name_of(self, text: str) -> str:
        return text


def read_settings(path: Path) -> None:
    try:
        settings = read_record(path)
    except OutputError as error:  # it stands where the output would go
        raise InputError(str(error)) from error
    assert isinstance(settings, dict)
    assert all(isinstance(key, str) for key in settings)


# --- checkpoints ---------------------------------------------------------------------------------

BACKBONE = "shufflenet_v2_x0_5"


@cache
def checkpoints() -> tuple[bytes, ...]:
    """A whole one of ours, and small files of torch.save in both layouts."""
    import torch

    from c2am_plugin.network.checkpoint import save_checkpoint
    from c2am_plugin.network.model import C2AM

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.pt"
        save_checkpoint(path, C2AM(BACKBONE), True, {"recipe": "paper", "epoch": 3})
        files = [path.read_bytes()]
    small = {
        "state_dict": {"backbone.conv1.0.weight": torch.ones(3, 2), "n": torch.tensor(3)},
        "flag": None,
    }
    for new in (True, False):
        file = io.BytesIO()
        torch.save(
            {**small, "info": {"backbone": BACKBONE}}, file, _use_new_zipfile_serialization=new
        )
        files.append(file.getvalue())
    return *files, archive(parts_of(files[1]))


INFOS = (
    {"backbone": "vit_h_14"},
    {"backbone": []},
    {"backbone": None},
    {"output_stride": "x"},
    [1],
    "text",
    3,
    {"output_stride": 0},
    {"output_stride": -16},
    {"dilated": []},
    {"backbone": "regnet_y_128gf"},
    {1: 2},
    {"backbone": "x" * 3000},
    {"kind": "saliency"},
    {"kind": "saliency", "backbone": 3, "output_stride": 8, "width": -1},
    {"kind": "saliency", "backbone": "resnet18", "output_stride": 8, "width": 10**9},
)
STATES = ({}, {1: 2}, [], None, {"n": 3}, {"backbone.conv1.0.weight": [1]}, {"\n": None})


def mutated_checkpoint(rng: random.Random) -> tuple[str, bytes]:
    import torch

    way = rng.choice(("bytes", "bytes", "pickle", "pickle", "pickle", "archive", "content", "bomb"))
    whole, small, legacy, _ = checkpoints()
    if way == "bytes":
        return way, change_bytes(rng, rng.choice((small, legacy, whole, whole)))
    if way == "content":
        content = {
            "state_dict": rng.choice(STATES),
            "flag": rng.choice((None, True, "x", [])),
            "info": rng.choice(INFOS),
        }
        if rng.random() < 0.4:
            content["state_dict"] = {"backbone.conv1.0.weight": rng.choice(tensors(torch))}
        file = io.BytesIO()
        torch.save(content, file)
        return way, file.getvalue()
    if way == "pickle" and rng.random() < 0.3:
        return way, changed_legacy(rng, legacy)
    records = parts_of(rng.choice((small, small, whole)))
    if way == "pickle":
        name = next(name for name in records if name.endswith("data.pkl"))
        records[name] = change_opcodes(rng, records[name]) if rng.random() < 0.8 else hostile(rng)
    elif way == "bomb":
        name = next(name for name in records if "/data/" in name)
        return way, archive(
            {**records, name: bytes(rng.choice((10**6, 3 * 10**8)))}, zipfile.ZIP_DEFLATED
        )
    else:
        name = rng.choice([*records])
        change = rng.randrange(4)
        body = records.pop(name)
        if change == 1:
            records[name] = change_bytes(rng, body)
        elif change == 2:
            records[rng.choice(("a/constants.pkl", "../../x", "archive/data.pkl", name + "/"))] = (
                body
            )
    return way, archive(records)


def tensors(torch: Any) -> tuple[Any, ...]:
    return (
        torch.zeros(1).expand(10**6, 10**6),
        torch.zeros(2, 3, device="meta"),
        torch.zeros(2, 3).to_sparse(),
        torch.zeros(24, 3, 3, 3, dtype=torch.complex64),
        torch.nn.Parameter(torch.full((24, 3, 3, 3), float("nan"))),
        torch.zeros(24, 3, 3, 3, dtype=torch.int64),
    )


def parts_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def archive(records: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as new:
        for name, body in records.items():
            new.writestr(name, body)
    return file.getvalue()


def changed_legacy(rng: random.Random, data: bytes) -> bytes:
    """The old layout: magic, protocol, system, the content, keys of storages, their values."""
    pickles = []
    for _ in range(5):
        end = opcodes(data)[-1][3] + 1
        pickles.append(data[:end])
        data = data[end:]
    at = rng.randrange(5)
    pickles[at] = change_opcodes(rng, pickles[at])
    return b"".join(pickles) + data


def hostile(rng: random.Random) -> bytes:
    module, name = rng.choice(GLOBALS).split(" ")
    call = b"c" + f"{module}\n{name}\n".encode() + literal("touch c2am-fuzz-was-here") + b"\x85R"
    keyed = b"}" + literal("state_dict") + b"}s" + literal("flag")
    return b"\x80\x02" + rng.choice(
        (
            call + b".",
            keyed + call + b"s.",
            laughs(40) + b".",
            b"}q\x00h\x00h\x00s.",
            literal(rng.choice(TEXTS)) + b".",
        )
    )


def read_checkpoint_file(path: Path) -> None:
    from c2am_plugin.network.checkpoint import load_checkpoint
    from c2am_plugin.network.model import C2AM
    from c2am_plugin.saliency.checkpoint import load_saliency
    from c2am_plugin.training.weights import initial_weights

    refusals = []
    for read in (
        load_checkpoint,
        load_saliency,
        lambda path: initial_weights(_model(C2AM), str(path)),
    ):
        try:
            read(path)
        except InputError as error:
            refusals.append(error)
    if len(refusals) == 3:
        raise refusals[0]


@cache
def _model(network: Callable[..., Any]) -> Any:
    return network(BACKBONE)


# -------------------------------------------------------------------------------------------------


def _image_kind(read: Callable[[Path], None]) -> Kind:
    return Kind(".png", mutated_picture, read, images, factor=32, base=32 * MIB, weight=pixels_too)


def images() -> tuple[bytes, ...]:
    colours = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(colours, "PNG")
    return (
        picture(random.Random(3)),
        colours.getvalue(),
        *(picture(random.Random(3), form) for form in OTHERS[:5]),
    )


def _text_kind(
    suffix: str, whole: tuple[bytes, ...], read: Callable[[Path], None], make: Any = None
) -> Kind:
    make = make or (lambda rng: mutated_text(rng, whole))
    return Kind(suffix, make, read, lambda: (*whole, b"\xff\xfe", b"["), factor=64, base=16 * MIB)


def _array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones((3, 4), "f4"))
    return file.getvalue()


KINDS = {
    "cue PNG": _image_kind(read_cue_file),
    "label PNG": _image_kind(read_label_file),
    "photograph": _image_kind(read_photo_file),
    "cue .npy": Kind(
        ".npy",
        mutated_cue_array,
        read_cue_file,
        lambda: (_array(), _array().replace(b"'descr'", b"'\\N{DIGIT ONE}'")),
        factor=32,
        base=16 * MIB,
    ),
    "id list": _text_kind(".txt", LISTS, read_list),
    "predictions": _text_kind(
        ".csv",
        (b"id,class\na,cat,dog\nb,1,2\n",),
        lambda path: read_predictions(path, NoTruths()) and None,
    ),
    "run record": _text_kind(
        ".json",
        (json.dumps(RECORD).encode(),),
        read_settings,
        lambda rng: mutated_json(rng, RECORD),
    ),
    "COCO boxes": _text_kind(
        ".json", (json.dumps(COCO).encode(),), read_truths, lambda rng: mutated_json(rng, COCO)
    ),
    "VOC boxes": _text_kind(".xml", (VOC,), read_voc, mutated_xml),
    "checkpoint": Kind(
        ".pt", mutated_checkpoint, read_checkpoint_file, checkpoints, factor=16, base=256 * MIB
    ),
}
