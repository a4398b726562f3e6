"""Cue files of every kind that tools write, their polarity, and bringing them to another size."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from c2am_plugin.errors import InputError
from c2am_plugin.files.cues import read_cue, read_saliency, resize_cue, write_cue
from c2am_plugin.files.labels import palette

GREY = np.arange(256, dtype=np.uint8).reshape(8, 32)
MASK = np.arange(48).reshape(6, 8) % 3 == 0


def png(path, image):
    image.save(path, format="PNG")
    return path


# --- what is read as what -----------------------------------------------------------------------


def test_8_bit_white_is_foreground(tmp_path):
    cue = read_cue(png(tmp_path / "a.png", Image.fromarray(GREY)))
    assert cue.dtype == np.float32
    np.testing.assert_allclose(cue, 1 - GREY / 255, atol=1e-7)
    assert (cue.min(), cue.max()) == (0, 1)


def test_8_bit_values_are_exact(tmp_path):
    """The cue is what float32(k/255) is, both ways round: nothing is lost by subtracting."""
    path = png(tmp_path / "a.png", Image.fromarray(GREY))
    np.testing.assert_array_equal(read_cue(path), ((255 - GREY.astype(int)) / 255).astype("f4"))
    np.testing.assert_array_equal(read_cue(path, flip=True), (GREY / 255).astype("f4"))


def test_flipped_is_the_other_side(tmp_path):
    path = png(tmp_path / "a.png", Image.fromarray(GREY))
    np.testing.assert_allclose(read_cue(path) + read_cue(path, flip=True), 1, atol=1e-7)
    np.testing.assert_array_equal(read_saliency(path), read_cue(path, flip=True))
    np.testing.assert_array_equal(read_saliency(path, flip=True), read_cue(path))


def test_16_bit(tmp_path):
    pixels = np.array([[0, 13107, 32768, 65535]], np.uint16)
    path = png(tmp_path / "a.png", Image.fromarray(pixels))
    np.testing.assert_allclose(read_cue(path), 1 - pixels / 65535, atol=1e-7)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "LA", "P"])
def test_a_black_and_white_mask_in_any_mode(tmp_path, mode):
    image = Image.fromarray(MASK.astype(np.uint8) * 255).convert(mode)
    np.testing.assert_array_equal(read_cue(png(tmp_path / "a.png", image)), ~MASK)


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_grey_values_survive_colour_modes(tmp_path, mode):
    image = Image.fromarray(GREY).convert(mode)
    np.testing.assert_allclose(read_cue(png(tmp_path / "a.png", image)), 1 - GREY / 255, atol=1e-7)


@pytest.mark.parametrize("index", range(1, 21))
def test_every_class_of_a_voc_palette_is_foreground(tmp_path, index):
    """Class 7's colour is a grey; it is no half-sure cue for that."""
    image = Image.fromarray(MASK.astype(np.uint8) * index)
    image.putpalette(palette().tobytes())
    np.testing.assert_array_equal(read_cue(png(tmp_path / "a.png", image)), ~MASK)


def test_several_colours_are_foreground(tmp_path):
    labels = np.arange(48, dtype=np.uint8).reshape(6, 8) % 5
    for pixels in (palette()[labels], np.dstack([palette()[labels], np.full((6, 8), 9, "u1")])):
        path = png(tmp_path / "a.png", Image.fromarray(pixels))
        np.testing.assert_array_equal(read_cue(path), labels == 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (4, 6, 1)])
def test_float_npy_has_the_same_polarity(tmp_path, dtype, shape):
    saliency = np.linspace(0, 1, 24).astype(dtype).reshape(shape)
    np.save(tmp_path / "a.npy", saliency)
    cue = read_cue(tmp_path / "a.npy")
    assert (cue.dtype, cue.shape) == (np.float32, (4, 6))
    np.testing.assert_allclose(cue, 1 - saliency.astype("f8").reshape(4, 6), atol=1e-7)
    flipped = read_cue(tmp_path / "a.npy", flip=True)
    np.testing.assert_allclose(flipped, saliency.astype("f8").reshape(4, 6), atol=1e-7)


def test_a_tiny_float16_saliency_is_not_certain_background(tmp_path):
    np.save(tmp_path / "a.npy", np.full((2, 2), 1e-4, np.float16))
    assert read_cue(tmp_path / "a.npy").max() < 1


# --- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "saliency", [MASK, MASK.astype(float), np.linspace(0, 1, 256).reshape(8, 32)]
)
def test_what_is_written_is_read(tmp_path, saliency):
    write_cue(tmp_path / "a.png", saliency)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), np.rint(saliency * 255.0))
    np.testing.assert_allclose(read_cue(tmp_path / "a.png"), 1 - saliency * 1.0, atol=1 / 500)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# --- sizes --------------------------------------------------------------------------------------


def test_the_same_size_is_left_as_it_is():
    cue = np.random.default_rng(0).random((7, 9), np.float32)
    np.testing.assert_array_equal(resize_cue(cue, (7, 9)), cue)


def bilinear(cue, shape):
    """Upsampling with half-pixel centres, as torch's align_corners=False."""
    axes = []
    for old, new in zip(cue.shape, shape, strict=True):
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        axes.append((low, np.minimum(low + 1, old - 1), at - low))
    (y0, y1, fy), (x0, x1, fx) = axes
    rows = cue[y0] * (1 - fy)[:, None] + cue[y1] * fy[:, None]
    return rows[:, x0] * (1 - fx) + rows[:, x1] * fx


@pytest.mark.parametrize("shape", [(20, 30), (31, 46), (17, 25)])
def test_enlarging_is_bilinear_between_pixel_centres(shape):
    cue = np.random.default_rng(1).random((10, 15), np.float32)
    resized = resize_cue(cue, shape)
    assert (resized.dtype, resized.shape) == (np.float32, shape)
    np.testing.assert_allclose(resized, bilinear(cue.astype(float), shape), atol=1e-5)


def test_shrinking_averages_instead_of_picking():
    stripes = np.zeros((64, 64), np.float32)
    stripes[:, ::2] = 1
    np.testing.assert_allclose(resize_cue(stripes, (16, 16)), 0.5, atol=0.04)


@pytest.mark.parametrize("level", [0.0, 0.2, 1.0])
def test_a_flat_cue_stays_flat_and_in_range(level):
    resized = resize_cue(np.full((214, 320), level, np.float32), (54, 80))
    np.testing.assert_allclose(resized, level, atol=1e-7)
    assert resized.min() >= 0
    assert resized.max() <= 1


@pytest.mark.parametrize(
    ("cue", "cam"),
    [
        ((375, 500), (94, 125)),
        ((214, 320), (54, 80)),
        ((5, 7), (2, 2)),
        ((24, 32), (375, 500)),
        ((448, 448), (375, 375)),
        ((100, 102), (100, 101)),
        ((300, 401), (375, 500)),
    ],
)
def test_rounded_sizes_are_the_same_shape(cue, cam):
    assert resize_cue(np.zeros(cue, np.float32), cam).shape == cam


@pytest.mark.parametrize(
    ("cue", "cam"),
    [
        ((375, 500), (500, 375)),
        ((448, 448), (375, 500)),
        ((100, 103), (100, 100)),
        ((97, 100), (400, 400)),
    ],
)
def test_another_shape_is_refused_with_both_sizes(cue, cam):
    with pytest.raises(InputError, match=f"{cue[1]}×{cue[0]}.*{cam[1]}×{cam[0]}"):
        resize_cue(np.zeros(cue, np.float32), cam)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.full((3, 3), 255.0), "255"),
        (np.full((3, 3), -0.1), "-0.1"),
        (np.full((3, 3), np.nan), "nan"),
        (np.zeros((3, 3), np.uint8), "uint8"),
        (np.zeros((3, 3), bool), "bool"),
        (np.zeros(3), r"\(3,\)"),
        (np.zeros((2, 3, 3)), r"\(2, 3, 3\)"),
        (np.zeros((0, 3)), r"\(0, 3\)"),
        (np.array({"cam": 1}, object), "not a plain"),
    ],
)
def test_npy_cues_that_are_none(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=rf"a\.npy: .*{said}"):
        read_cue(tmp_path / "a.npy")


def huge_array():
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


@pytest.mark.parametrize("suffix", ["png", "npy"])
@pytest.mark.parametrize(
    "data",
    [
        b"", b"text\nmore\n", b"<html>", b"PK\x03\x04 cut short", b"\x93NUMPY\x01\x00\x02\x00(",
        huge_array(),
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    ],
)  # fmt: skip
def test_broken_files_give_one_line(tmp_path, suffix, data):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.{suffix}: ") as refusal:
        read_cue(path)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_png_cut_short_anywhere(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    refused = 0
    for length in range(0, len(data) - 12, 7):
        (tmp_path / "a.png").write_bytes(data[:length])
        try:  # only checksums may be lacking, never a pixel
            np.testing.assert_allclose(read_cue(tmp_path / "a.png"), 1 - GREY / 255, atol=1e-7)
        except InputError:
            refused += 1
    assert refused > 5


@pytest.mark.parametrize("form", ["GIF", "PPM", "ICO", "EPS"])
def test_formats_that_no_cue_has_are_not_tried(tmp_path, form):
    """One of Pillow's readers, that of EPS, would hand the file to Ghostscript."""
    Image.fromarray(GREY).save(tmp_path / "a.png", format=form)
    with pytest.raises(InputError, match="cannot be read as a cue image"):
        read_cue(tmp_path / "a.png")


def test_more_pixels_than_any_camera_has_are_refused(tmp_path):
    Image.new("1", (8193, 8192)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="8193×8192 pixels"):
        read_cue(tmp_path / "a.png")


@pytest.mark.parametrize("header", ["{1: 2, 'a': 3}", "{[]: 1}", "-" * 5000 + "1", "(" * 150])
def test_npy_headers_that_are_none(tmp_path, header):
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n"
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(InputError, match="not a plain"):
        read_cue(tmp_path / "a.npy")


def test_an_archive_is_not_opened(tmp_path):
    np.savez(tmp_path / "a.npz", cue=np.ones((2, 2)))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(InputError, match="not a plain"):
        read_cue(tmp_path / "a.npy")


def test_no_file(tmp_path):
    for name in ("a.png", "a.npy"):
        with pytest.raises(InputError, match=name):
            read_cue(tmp_path / name)


@pytest.mark.parametrize("value", [-1, 2**16])
def test_numbers_that_no_grey_image_has(tmp_path, value):
    """TIFF may hold integers below 0 and above 16 bits."""
    pixels = np.full((4, 6), value, np.int32)
    Image.fromarray(pixels).save(tmp_path / "a.png", format="TIFF")
    with pytest.raises(InputError, match=rf"a\.png: has {pixels.dtype} pixels; expected an 8-bit"):
        read_cue(tmp_path / "a.png")


def test_a_photograph_is_no_cue(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="photograph"):
        read_cue(png(tmp_path / "a.png", Image.fromarray(pixels)))


def test_a_hostile_image_size_is_refused(tmp_path):
    chunks = b"\x89PNG\r\n\x1a\n"
    size = struct.pack(">II5B", 40_000, 40_000, 8, 0, 0, 0, 0)
    for name, body in ((b"IHDR", size), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + name + body
        chunks += struct.pack(">I", zlib.crc32(name + body))
    (tmp_path / "a.png").write_bytes(chunks)
    with pytest.raises(InputError, match=r"a\.png"):
        read_cue(tmp_path / "a.png")
