"""Which CAM goes with which cue, and whether the two folders fit each other."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from c2am_plugin.cams import ImageCams
from c2am_plugin.errors import InputError
from c2am_plugin.files.cues import read_cue
from c2am_plugin.refine.checks import check_polarity, check_same_images
from c2am_plugin.refine.pairing import pair


@pytest.fixture
def folders(tmp_path):
    def make(cams, cues):
        for folder, suffix, names in (("cams", ".npy", cams), ("cues", ".png", cues)):
            (tmp_path / folder).mkdir()
            for name in names:
                path = tmp_path / folder / f"{name}{suffix}"
                path.parent.mkdir(exist_ok=True)
                path.touch()
        return tmp_path / "cams", tmp_path / "cues"

    return make


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="c2am_plugin")
    return lambda: [record.getMessage() for record in caplog.records]


def test_every_cam_by_its_id_in_order(folders):
    names = ["1e5", "000000000030", "a.b", "with space", "größe", "val/0001"]
    pairing = pair(*folders(names, names), None, "error")
    assert pairing.ids == sorted(names)
    assert pairing.left_out == 0
    assert all(image.cam.stem == image.cue.stem for image in pairing.images)


def test_missing_cues_are_counted_and_named(folders):
    cams = [f"{index:02d}" for index in range(9)]
    with pytest.raises(InputError) as refusal:
        pair(*folders(cams, cams[8:]), None, "error")
    message = str(refusal.value)
    assert "8 of 9 images have no cue" in message
    assert "(00, 01, 02, 03, 04 and 3 more)" in message
    assert '`missing="keep"`' in message


@pytest.mark.parametrize(("missing", "ids", "left_out"), [("keep", "abc", 0), ("skip", "b", 2)])
def test_missing_cues_may_be_kept_or_skipped(folders, said, missing, ids, left_out):
    cam_dir, cue_dir = folders("abc", "bxyz")
    pairing = pair(cam_dir, cue_dir, None, missing)
    assert pairing.ids == list(ids)
    assert pairing.left_out == left_out
    assert f"2 images have no cue in {cue_dir} (a, c)" in said()
    assert "3 cues belong to no image of this run (x, y, z)" in said()


def test_listed_images_without_a_cam(folders, said):
    cam_dir, cue_dir = folders("ab", "abc")
    with pytest.raises(InputError, match=r"2 of 3 images have no CAM in .*cams \(c, d\)"):
        pair(cam_dir, cue_dir, ["a", "c", "d"], "error")
    for missing in ("keep", "skip"):
        pairing = pair(cam_dir, cue_dir, ["a", "c", "d"], missing)
        assert (pairing.ids, pairing.left_out) == (["a"], 2)


def test_a_list_chooses_and_orders_without_repeats(folders, tmp_path):
    cam_dir, cue_dir = folders("abc", "abc")
    (tmp_path / "ids.txt").write_bytes(b"c\r\na\r\n\r\nc\r\n")
    assert pair(cam_dir, cue_dir, tmp_path / "ids.txt", "error").ids == ["c", "a"]
    assert pair(cam_dir, cue_dir, ("c", "a", "c"), "error").ids == ["c", "a"]


@pytest.mark.parametrize("missing", ["error", "keep", "skip"])
@pytest.mark.parametrize("ids", [None, ["a"], ["ca"], ["none"]])
def test_folders_that_do_not_meet_are_refused_with_their_ids(folders, missing, ids):
    with pytest.raises(InputError, match=r"no image has both.*ids like a.*like ca"):
        pair(*folders("ab", ["ca", "cb"]), ids, missing)


@pytest.mark.parametrize(
    ("cams", "cues", "message"),
    [
        ("", "a", r"cams: contains no CAM file"),
        ("a", "", "cues: contains no cue"),
    ],
)
def test_empty_folders_are_refused(folders, cams, cues, message):
    with pytest.raises(InputError, match=message):
        pair(*folders(cams, cues), None, "skip")


def test_a_missing_folder_is_named(tmp_path, folders):
    cam_dir, cue_dir = folders("a", "a")
    with pytest.raises(InputError, match="none: no such folder"):
        pair(tmp_path / "none", cue_dir, None, "error")
    with pytest.raises(InputError, match="none: no such folder"):
        pair(cam_dir, tmp_path / "none", None, "error")


# --- polarity -----------------------------------------------------------------------------------


def image(inside, outside, size=(20, 30), cue_size=None):
    """CAMs sure of their left third, and a cue (b) of one value there and another elsewhere."""
    maps, cue = np.zeros((1, *size), np.float32), np.full(cue_size or size, outside, np.float32)
    maps[:, :, : size[1] // 3] = 0.9
    cue[:, : cue.shape[1] // 3] = inside
    return ImageCams("a", [3], maps), cue


def test_cues_of_the_right_polarity_pass_silently(said):
    check_polarity([image(0.1, 0.9), image(0.3, 0.6, cue_size=(40, 60))])
    assert said() == []


def test_the_wrong_polarity_is_reported_with_its_numbers_and_the_flag(said):
    check_polarity([image(0.9, 0.2)] * 3)
    (message,) = said()
    assert "90 %" in message
    assert "20 %" in message
    assert "`flip_cues=True`" in message


def test_cues_without_information_are_reported_too(said):
    check_polarity([image(0.5, 0.5)])
    (message,) = said()
    assert "same images" in message
    assert "flip_cues" not in message


def test_masks_of_0_and_1_are_reported(said):
    check_polarity([image(1 - 1 / 255, 1), image(1, 1)])
    (message,) = said()
    assert "the cues are black" in message
    assert "0 and 255" in message


def test_one_black_cue_is_no_matter(said):
    check_polarity([image(1, 1), image(0.1, 0.9), image(0.1, 0.9)])
    assert said() == []


def test_the_whole_set_decides(said):
    check_polarity([image(0.9, 0.2), *[image(0.1, 0.9)] * 4])
    assert said() == []


def test_images_that_cannot_say_are_passed_over(said):
    without_class = ImageCams("b", [], np.zeros((0, 0, 0), np.float32)), np.ones((4, 6), "f4")
    other_shape = image(0.9, 0.2, cue_size=(30, 20))
    check_polarity([without_class, other_shape])
    check_polarity([])
    assert said() == []


# --- cues of other images -----------------------------------------------------------------------


def centred_set(n=16):
    """CAMs and cues of objects near the middle, as in most photographs, in two sizes."""
    rng = np.random.default_rng(0)
    for index in range(n):
        height, width = ((40, 60), (60, 40))[index % 2]
        y, x = np.mgrid[:height, :width] / [[[height]], [[width]]] - 0.5
        oy, ox = rng.normal(0, 0.12, 2)
        shape = np.exp(-((y - oy) ** 2 + (x - ox) ** 2) / 0.03).astype(np.float32)
        noise = rng.normal(0, 0.2, shape.shape)
        yield ImageCams(str(index), [3], shape[None]), np.clip(1 - shape + noise, 0, 1)


def test_cues_of_other_images_are_reported_though_their_polarity_looks_right(said):
    pairs = [*centred_set()]
    assert check_polarity(pairs)
    check_same_images(pairs)
    assert said() == []
    cues = [cue for _, cue in pairs]
    strangers = [(cams, cue) for (cams, _), cue in zip(pairs, cues[2:] + cues[:2], strict=True)]
    assert check_polarity(strangers), "objects are in the middle: the polarity cannot tell"
    check_same_images(strangers)
    (message,) = said()
    assert "no better than cues of other images" in message
    assert "(16 images compared)" in message


def test_few_images_say_nothing_about_that(said):
    pairs = [*centred_set(11)]
    empty = ImageCams("x", [], np.zeros((0, 0, 0), np.float32)), np.ones((4, 6), "f4")
    check_same_images([*[(cams, pairs[0][1]) for cams, _ in pairs], empty])
    assert said() == []


@pytest.mark.slow
@pytest.mark.parametrize("cues", ["cues_crf", "cues_soft"])
def test_cues_of_other_real_images_are_reported(coco_voc, said, cues):
    pairs, b = [], []
    for path in sorted((coco_voc / "cams").iterdir())[:32]:
        twin = np.load(path)
        pairs.append(ImageCams(path.stem, twin["keys"], twin["cam"].astype(np.float32)))
        b.append(read_cue(coco_voc / cues / f"{path.stem}.png"))
    check_same_images(zip(pairs, b, strict=True))
    assert said() == []
    check_same_images(zip(pairs, b[1:] + b[:1], strict=True))
    assert len(said()) == 1
