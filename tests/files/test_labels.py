"""Label files: VOC's palette, indices kept, colours refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from c2am_plugin.errors import InputError
from c2am_plugin.files.labels import VOC_CLASSES, palette, read_label, write_label
from c2am_plugin.files.photos import read_photo


def test_the_palette_is_vocs():
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 7: (128, 128, 128), 8: (64, 0, 0)}
    known |= {15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    colours = palette()
    assert {index: tuple(colours[index].tolist()) for index in known} == known
    assert len(np.unique(colours, axis=0)) == 256
    assert len(VOC_CLASSES) == 21


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (214, 320)])
def test_indices_survive(tmp_path, shape):
    label = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_label(tmp_path / "new" / "a.png", label)
    np.testing.assert_array_equal(read_label(tmp_path / "new" / "a.png"), label)
    with Image.open(tmp_path / "new" / "a.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette()[label])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_real_ground_truth_is_read_as_indices(coco_voc):
    for path in sorted((coco_voc / "SegmentationClass").iterdir())[:5]:
        assert set(np.unique(read_label(path))) <= {*range(21), 255}


@pytest.mark.parametrize("colours", [2, 4, 16])
def test_palettes_of_few_bits(tmp_path, colours):
    label = np.arange(24, dtype=np.uint8).reshape(4, 6) % colours
    image = Image.fromarray(label)
    image.putpalette(palette()[:colours].tobytes())
    image.save(tmp_path / "a.png", bits={2: 1, 4: 2, 16: 4}[colours])
    np.testing.assert_array_equal(read_label(tmp_path / "a.png"), label)


def test_plain_grey_indices_are_read(tmp_path):
    label = np.arange(24, dtype=np.uint8).reshape(4, 6)
    Image.fromarray(label).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png"), label)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_not_taken_for_classes(tmp_path, mode):
    label = Image.fromarray(np.zeros((4, 6), np.uint8))
    label.convert(mode).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: is a .*RGB"):
        read_label(tmp_path / "a.png")


def test_labels_of_1_and_16_bits_are_read(tmp_path):
    label = np.arange(24).reshape(4, 6)
    Image.fromarray(label % 2 == 1).save(tmp_path / "one.png")
    np.testing.assert_array_equal(read_label(tmp_path / "one.png"), label % 2)
    Image.fromarray(np.where(label == 3, 65535, label).astype(np.uint16)).save(tmp_path / "a.png")
    found = read_label(tmp_path / "a.png")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.where(label == 3, 255, label))
    Image.fromarray((label * 20).astype(np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: values 0 to 460; expected class indices"):
        read_label(tmp_path / "a.png")


def voc_label(tmp_path):
    """A label of all of VOC's classes and outlines, as VOC stores it."""
    label = np.array([*range(21), 255, 0, 15], np.uint8).reshape(4, 6)
    write_label(tmp_path / "a.png", label)
    return label


def test_vocs_colours_are_recognised(tmp_path):
    voc_label(tmp_path)
    with Image.open(tmp_path / "a.png") as image:
        image.convert("RGB").save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png: is a RGB image with the colours of VOC labels"):
        read_label(tmp_path / "b.png")
    Image.new("RGB", (6, 4), (1, 2, 3)).save(tmp_path / "c.png")
    with pytest.raises(InputError, match=r"c\.png: is a RGB image; expected"):
        read_label(tmp_path / "c.png")


def said_of(colours, tmp_path, mode="RGB"):
    """What is said of a picture H×W×3 where a label is expected."""
    Image.fromarray(colours).convert(mode).save(tmp_path / "c.png")
    with pytest.raises(InputError, match=f"is a {mode} image") as error:
        read_label(tmp_path / "c.png")
    return str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_each_colour_of_voc_is_known_and_none_beside_it(tmp_path, mode):
    vocs = palette()[[*range(21), 255]]
    for colour in vocs:
        assert "with the colours of VOC" in said_of(colour.reshape(1, 1, 3), tmp_path, mode)
    near = (vocs[:, None] ^ np.eye(3, dtype=np.uint8)).reshape(-1, 3)
    for colour in (*near, *palette()[21:30], vocs[8, ::-1]):
        picture = np.broadcast_to(vocs[:, None], (22, 30, 3)).copy()
        picture[11, 7] = colour
        assert "with the colours of VOC" not in said_of(picture, tmp_path, mode)


def test_a_large_picture_of_many_colours_is_no_label(tmp_path):
    row, column = np.indices((256, 256), np.uint8)
    many = np.stack([row, column, row ^ column], axis=-1)
    assert "with the colours of VOC" not in said_of(many, tmp_path)
    voc = palette()[np.random.default_rng(0).integers(0, 21, (512, 512))]
    assert "with the colours of VOC" in said_of(voc, tmp_path)


def test_vocs_colours_with_indices_of_another_order_are_refused(tmp_path):
    """Read as RGB and saved with a palette again: small indices that mean other classes."""
    label = voc_label(tmp_path)
    with Image.open(tmp_path / "a.png") as image:
        again = image.convert("RGB").quantize(32)
    assert sorted(np.unique(again)) != sorted(np.unique(label))
    again.save(tmp_path / "b.png")
    with pytest.raises(
        InputError, match=r"b\.png: has the colours of VOC labels in a different order"
    ):
        read_label(tmp_path / "b.png")
    image = Image.fromarray(label % 21)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(tmp_path / "c.png")
    np.testing.assert_array_equal(read_label(tmp_path / "c.png"), label % 21)


@pytest.mark.parametrize("reader", ["PIL", "OpenCV"])
def test_the_greys_of_vocs_colours_are_no_classes(tmp_path, reader):
    label = voc_label(tmp_path)
    with Image.open(tmp_path / "a.png") as image:
        rgb = image.convert("RGB")
    grey = np.asarray(rgb.convert("L"))
    if reader == "OpenCV":  # its fixed-point weights, rounded
        weights = np.array([4899, 9617, 1868])
        grey = ((np.asarray(rgb) @ weights + (1 << 13)) >> 14).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png: has the greys of VOC's colours \(0 … 220\)"):
        read_label(tmp_path / "b.png")
    classes_of_coco = np.array([[0, 38, 75, 90, 255]], np.uint8)
    Image.fromarray(classes_of_coco).save(tmp_path / "c.png")
    np.testing.assert_array_equal(read_label(tmp_path / "c.png"), classes_of_coco)
    assert label.max() == 255


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n"])
def test_files_that_are_no_label(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png: cannot be read"):
        read_label(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"b\.png: cannot be read"):
        read_label(tmp_path / "b.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK"])
def test_photographs_of_any_mode_are_rgb(tmp_path, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(tmp_path / f"a.{suffix}")
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert (photo.shape, photo.dtype) == ((4, 6, 3), np.uint8)
    assert photo.min() >= 254


def test_16_bit_photographs_are_scaled(tmp_path):
    pixels = np.array([[0, 32768, 65535]], np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png")[0, :, 0].tolist() == [0, 128, 255]
    (tmp_path / "b.png").write_bytes(b"no")
    with pytest.raises(InputError, match=r"b\.png: cannot be read"):
        read_photo(tmp_path / "b.png")


def test_rotation_in_exif_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert read_photo(tmp_path / "a.jpg").shape == (4, 6, 3)
