"""What a folder's values mean: one meaning is used and reported, several are refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from c2am_plugin.errors import InputError
from c2am_plugin.files.cue_folders import find_cues
from c2am_plugin.files.cues import read_cue
from c2am_plugin.files.labels import palette
from c2am_plugin.files.photos import read_photo
from c2am_plugin.files.roots import label_files, photo_files
from c2am_plugin.files.value_ranges import check_labels, check_photos

y, x = np.mgrid[:40, :60]
BLOB = np.exp(-((y - 20) ** 2 + (x - 30) ** 2) / 200)
MASK = BLOB > 0.3
FLAT = np.zeros((40, 60))


def saliency(folder):
    """All cues of a folder as b, turned round."""
    cues = find_cues(folder)
    return {name: 1 - read_cue(path, form=cues.form) for name, path in cues.files.items()}


def save(folder, *pictures, suffix=".png", mode=None):
    folder.mkdir(exist_ok=True)
    for index, picture in enumerate(pictures):
        path = folder / f"{index}{suffix}"
        if suffix == ".npy":
            np.save(path, picture)
        else:
            image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
            (image.convert(mode) if mode else image).save(path)
    return folder


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "c2am_plugin")
    return lambda: [record.getMessage() for record in caplog.records]


# --- one meaning --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("full", "dtype", "suffix"),
    [
        (255, np.uint16, ".png"),
        (4095, np.uint16, ".png"),
        (1023, np.uint16, ".png"),
        (4095, np.uint16, ".tif"),
        (255, np.float32, ".npy"),
        (100, np.float64, ".npy"),
        (255, np.float32, ".tif"),
        (65535, np.float32, ".npy"),
    ],
)
def test_soft_cues_of_another_full_value(tmp_path, said, full, dtype, suffix):
    soft = (np.rint(BLOB * full) / BLOB.max()).astype(dtype)
    found = saliency(save(tmp_path / "cues", soft, FLAT.astype(dtype), suffix=suffix))
    np.testing.assert_allclose(found["0"], BLOB, atol=1 / full)
    assert not found["1"].any()
    assert len(said()) == 1
    assert f"{full} is taken as foreground" in said()[0]


@pytest.mark.parametrize("value", [1, 15, 60])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_of_0_and_another_value(tmp_path, said, value, dtype):
    found = saliency(save(tmp_path / "cues", (MASK * value).astype(dtype), FLAT.astype(dtype)))
    np.testing.assert_array_equal(found["0"], MASK)
    assert not found["1"].any()
    assert f"{value} is taken as foreground" in said()[0]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int64])
def test_integer_arrays_are_masks_as_pictures_are(tmp_path, dtype):
    found = saliency(save(tmp_path / "cues", MASK.astype(dtype), suffix=".npy"))
    np.testing.assert_array_equal(found["0"], MASK)
    full = {np.uint8: 255, np.uint16: 65535}.get(dtype)
    if full:
        soft = np.rint(BLOB * full).astype(dtype)
        found = saliency(save(tmp_path / "soft", soft, suffix=".npy"))
        np.testing.assert_allclose(found["0"], BLOB, atol=1 / full)


def with_alpha(kind):
    alpha = np.rint(BLOB * 255).astype(np.uint8)
    if kind.startswith("L"):
        return Image.fromarray(np.dstack([np.full_like(alpha, 255 * ("w" in kind)), alpha]))
    colours = np.full((40, 60, 3), 255 * ("white" in kind), np.uint8)
    if kind == "photo":
        colours = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(np.dstack([colours, alpha]))


@pytest.mark.parametrize("kind", ["white", "black", "LA w", "LA b", "photo"])
def test_a_mask_in_the_alpha_channel(tmp_path, said, kind):
    picture = with_alpha(kind)
    empty = Image.fromarray(np.zeros_like(np.asarray(picture)))
    found = saliency(save(tmp_path / "cues", picture, empty))
    np.testing.assert_allclose(found["0"], BLOB, atol=1 / 255)
    assert not found["1"].any()
    assert said() == [f"{tmp_path / 'cues'}: the mask of each cue is read from its alpha channel"]


def test_a_palette_with_a_transparent_entry(tmp_path, said):
    image = Image.fromarray(MASK.astype(np.uint8))
    image.putpalette([255, 255, 255] * 256)
    (tmp_path / "cues").mkdir()
    image.save(tmp_path / "cues" / "0.png", transparency=0)
    np.testing.assert_array_equal(saliency(tmp_path / "cues")["0"], MASK)
    assert "alpha" in said()[0]


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".bmp"])
def test_cues_of_other_file_types(tmp_path, said, suffix):
    found = saliency(save(tmp_path / "cues", np.rint(BLOB * 255).astype(np.uint8), suffix=suffix))
    np.testing.assert_allclose(found["0"], BLOB, atol=0.03)
    assert said() == []


def test_photographs_beside_the_cues_are_not_cues(tmp_path):
    save(tmp_path / "cues", np.full((4, 6, 3), 77, np.uint8), suffix=".jpg")
    save(tmp_path / "cues", MASK)
    np.testing.assert_array_equal(saliency(tmp_path / "cues")["0"], MASK)


# --- several meanings ---------------------------------------------------------------------------

ANCHORS = {
    "viridis": [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)],
    "jet": [(0, 0, 128), (0, 0, 255), (0, 255, 255), (255, 255, 0), (255, 0, 0), (128, 0, 0)],
    "inferno": [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)],
    "hot": [(0, 0, 0), (255, 0, 0), (255, 255, 0), (255, 255, 255)],
    "blues": [(0, 0, 0), (0, 0, 255)],
}


def coloured(name, values):
    anchors = np.array(ANCHORS[name], float)
    at = np.linspace(0, 1, len(anchors))
    channels = [np.interp(values, at, anchors[:, channel]) for channel in range(3)]
    return np.rint(np.dstack(channels)).astype(np.uint8)


@pytest.mark.parametrize("name", ANCHORS)
@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_a_colour_map_is_no_cue(tmp_path, name, mode):
    picture = Image.fromarray(coloured(name, np.round(BLOB * 255) / 255))
    if mode == "P":
        picture = picture.quantize(256)
    with pytest.raises(InputError, match=r"drawn in colours \(viridis, jet\).*save the map itself"):
        find_cues(save(tmp_path / "cues", picture, picture))


@pytest.mark.parametrize("name", ["viridis", "inferno"])
def test_a_mask_in_two_colours_without_black_is_no_cue(tmp_path, name):
    with pytest.raises(InputError, match="colours and no black pixel"):
        find_cues(save(tmp_path / "cues", coloured(name, MASK * 1.0)))


@pytest.mark.parametrize(
    ("pixels", "suffix", "reason"),
    [
        ((MASK * 3 + (BLOB > 0.8) * 12).astype(np.uint8), ".png", "look like labels"),
        ((MASK * 3 + (BLOB > 0.8) * 12).astype(np.uint16), ".png", "look like labels"),
        (np.where(BLOB > 0.8, 255, MASK * 7).astype(np.uint8), ".png", "look like labels"),
        (np.rint(BLOB * 700).astype(np.uint16), ".png", "values 1 to 700 in 1 files"),
        ((BLOB * 8 - 3).astype(np.float32), ".npy", "a sigmoid"),
        ((BLOB * 8).astype(np.float32), ".npy", "values 0.0.* to 8"),
        (np.where(MASK, np.nan, 0).astype(np.float32), ".npy", "are ambiguous"),
        (np.rint(BLOB * 200).astype(np.int64), ".npy", "values 0 to 200"),
    ],
)
def test_values_of_several_meanings_are_refused(tmp_path, pixels, suffix, reason):
    with pytest.raises(InputError, match=reason) as refusal:
        find_cues(save(tmp_path / "cues", pixels, suffix=suffix))
    assert len(str(refusal.value).splitlines()) == 1


def test_colours_and_alpha_that_disagree_are_refused(tmp_path):
    other = np.roll(MASK, 20, axis=1) * np.uint8(255)
    with pytest.raises(InputError, match="its colours and its alpha channel both vary"):
        find_cues(save(tmp_path / "cues", np.dstack([MASK * np.uint8(255)] * 3 + [other])))


def test_a_file_above_the_folders_range_is_refused(tmp_path):
    folder = save(tmp_path / "cues", *[(MASK * 1).astype(np.uint8)] * 40)
    cues = find_cues(folder)
    save(folder, (MASK * 200).astype(np.uint8))
    with pytest.raises(InputError, match=r"0\.png: values 0 to 200; expected a cue in \[0, 1\]"):
        read_cue(cues.files["0"], form=cues.form)


# --- no false alarm -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 6), np.uint8),
        np.full((4, 6), 255, np.uint8),
        np.full((4, 6), 128, np.uint8),
        np.full((4, 6), 65535, np.uint16),
        np.zeros((4, 6), np.uint16),
        MASK,
        MASK * np.uint8(255),
        np.rint(BLOB * 255).astype(np.uint8),
        np.rint(BLOB * 60).astype(np.uint8),
        np.rint(BLOB * 65535).astype(np.uint16),
        np.dstack([MASK * np.uint8(255)] * 4),
        np.dstack([palette()[MASK * 15 + (BLOB > 0.8) * 1]] * 1),
        np.dstack([np.full((40, 60, 3), 192, np.uint8)]),
    ],
)
def test_proper_cues_are_read_as_they_are(tmp_path, said, picture):
    cues = find_cues(save(tmp_path / "cues", picture))
    assert cues.form == type(cues.form)()
    assert said() == []


@pytest.mark.parametrize("folder", ["coco-voc/cues_crf", "coco-voc/cues_soft"])
def test_real_cues_raise_no_alarm(shared_data, said, folder):
    cues = find_cues(shared_data / folder)
    assert cues.form == type(cues.form)()
    assert said() == []


@pytest.mark.parametrize("folder", ["coco-voc", "voc-animals", "voc-animals/unlabelled"])
def test_real_photographs_and_labels_raise_no_alarm(shared_data, said, folder):
    check_photos(list(photo_files(shared_data / folder).values()), folder)
    assert said() == []
    if (shared_data / folder / "SegmentationClass").is_dir():
        paths = list(label_files(shared_data / folder / "SegmentationClass").values())
        check_labels(paths, folder, 21)
        assert said() == []


# --- photographs and labels ---------------------------------------------------------------------


@pytest.mark.parametrize("full", [255, 4095, 65535])
def test_photographs_of_16_bits_are_read_by_the_bits_they_fill(tmp_path, said, full):
    folder = save(tmp_path / "photos", np.rint(BLOB * full).astype(np.uint16))
    np.testing.assert_allclose(read_photo(folder / "0.png")[..., 0], BLOB * 255, atol=1)
    check_photos([folder / "0.png"], folder)
    expected = [] if full == 65535 else [
        f"{folder}: the 16-bit images have values up to {full}, so {full} is taken as white"
    ]  # fmt: skip
    assert said() == expected


@pytest.mark.parametrize("mode", ["L", "P"])
def test_labels_are_no_photographs(tmp_path, mode):
    image = Image.fromarray((MASK * 15).astype(np.uint8))
    if mode == "P":
        image.putpalette(palette().tobytes())
    folder = save(tmp_path / "photos", image, image)
    with pytest.raises(InputError, match="like labels; expected photographs"):
        check_photos(list(folder.iterdir()), folder)


def test_photographs_of_values_0_to_1_are_refused(tmp_path):
    pixels = np.dstack([MASK, ~MASK, MASK]).astype(np.uint8)
    folder = save(tmp_path / "photos", pixels)
    with pytest.raises(InputError, match="above 1, so they are black"):
        check_photos([folder / "0.png"], folder)


@pytest.mark.parametrize("top", [0, 2, 20])
def test_dark_photographs_raise_no_alarm(tmp_path, said, top):
    pixels = np.random.default_rng(0).integers(0, top + 1, (40, 60, 3), dtype=np.uint8)
    folder = save(tmp_path / "photos", pixels)
    check_photos([folder / "0.png"], folder)
    assert said() == []


def test_ground_truth_of_0_and_255_is_refused(tmp_path):
    folder = save(tmp_path / "gt", MASK * np.uint8(255), FLAT.astype(np.uint8))
    with pytest.raises(InputError, match=r"gt: 2 labels contain no class.* store masks as 0 and 1"):
        check_labels(list(folder.iterdir()), folder, 2)


def test_ground_truth_of_0_and_1_is_named_where_there_are_more_classes(tmp_path, said):
    folder = save(tmp_path / "gt", *[MASK.astype(np.uint8)] * 3)
    check_labels(list(folder.iterdir()), folder, 2)
    assert said() == []
    check_labels(list(folder.iterdir()), folder, 21)
    assert len(said()) == 1
    assert "the first of 20 classes" in said()[0]
