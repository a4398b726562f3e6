"""Photographs: every mode comes as RGB, pixels lie as stored, and damaged notes do no harm."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from c2am_plugin.errors import InputError
from c2am_plugin.files.photos import read_photo

GREY = np.linspace(0, 255, 20 * 30).reshape(20, 30).astype(np.uint8)
COLOURS = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("L", "a.png"),
        ("P", "a.png"),
        ("1", "a.png"),
        ("LA", "a.png"),
        ("RGBA", "a.png"),
        ("RGB", "a.bmp"),
        ("RGB", "a.webp"),
        ("CMYK", "a.jpg"),
        ("CMYK", "a.tif"),
        ("LAB", "a.tif"),
    ],
)
def test_every_mode_comes_as_pillows_rgb(tmp_path, mode, name):
    Image.fromarray(COLOURS).convert(mode).save(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.mode == mode
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_photo(tmp_path / name), expected)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("white", [255, 4095, 65535])
def test_greys_of_16_bits_are_scaled(tmp_path, name, white):
    stored = np.rint(GREY / 255.0 * white).astype(np.uint16)
    Image.fromarray(stored).save(tmp_path / name)
    found = read_photo(tmp_path / name)
    np.testing.assert_array_equal(found, np.repeat(GREY[..., None], 3, axis=2))


def test_floating_pixels_are_refused(tmp_path):
    Image.fromarray(GREY / np.float32(255)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="has floating pixels; expected a photograph"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_the_first_of_several_pictures_counts(tmp_path, name):
    first, second = Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)
    options = {"lossless": True} if name == "a.webp" else {}
    first.save(tmp_path / name, save_all=True, append_images=[second], **options)
    np.testing.assert_array_equal(read_photo(tmp_path / name), COLOURS)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg"])
@pytest.mark.parametrize("notes", [b"garbage!" * 4, b"II*\0\x08\0\0\0\x05\0\x12\x01", b"MM\0*\xff"])
def test_damaged_exif_is_not_read(tmp_path, name, notes, recwarn):
    # A resolution of its own keeps Pillow from looking into the EXIF of a JPEG for one.
    Image.fromarray(COLOURS).save(tmp_path / name, exif=b"Exif\0\0" + notes, dpi=(72, 72))
    with Image.open(tmp_path / name) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_photo(tmp_path / name), expected)
    assert not recwarn


def test_a_small_file_that_declares_a_huge_picture_is_refused(tmp_path):
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data + b"\0\0\0\0IDAT5\xaf\x06\x1e")
    with pytest.raises(InputError, match=r"a\.png: cannot be read as an image"):
        read_photo(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["EPS", "GIF", "PPM"])
def test_formats_that_no_pipeline_reads_are_refused_whatever_the_name(tmp_path, kind):
    Image.fromarray(COLOURS).save(tmp_path / "a.png", format=kind)
    with pytest.raises(InputError, match="expected PNG, JPEG, BMP, WEBP, TIFF"):
        read_photo(tmp_path / "a.png")
