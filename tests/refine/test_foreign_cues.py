"""Cues, lists and roots that other tools made, through the command as a user runs it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from small_files import write_png

from c2am_plugin.files.labels import read_label

y, x = np.mgrid[:40, :60]


def blob(width=10):
    return np.exp(-((y - 20) ** 2 + (x - 30) ** 2) / (2 * width**2)).astype(np.float32)


MASK = (blob() > 0.3) * np.uint8(255)


@pytest.fixture
def cams(tmp_path):
    """Three CAM files of 40×60 in PSA's format: an object and a wide, wrong halo."""
    (tmp_path / "cams").mkdir()
    for image_id in "abc":
        np.save(tmp_path / "cams" / f"{image_id}.npy", {14: blob(8)})
    return tmp_path / "cams"


def write_cues(folder, picture, suffix=".png", ids="abc"):
    folder.mkdir(exist_ok=True)
    for image_id in ids:
        Image.fromarray(picture).save(folder / f"{image_id}{suffix}")
    return folder


def labels(folder):
    return {path.stem: read_label(path) for path in folder.glob("*.png")}


@pytest.mark.parametrize("suffix", ["_sal.png", ".jpg.png", ".tif", ".bmp"])
def test_cues_of_other_names_and_types_give_the_same_labels(cams, tmp_path, refine, suffix):
    for name, end in (("plain", ".png"), ("other", suffix)):
        cues = write_cues(tmp_path / name, MASK, end)
        out = tmp_path / f"{name}_labels"
        code, *_ = refine(cams, cues, "-o", tmp_path / f"{name}_out", "--labels", out)
        assert code == 0
    plain, other = labels(tmp_path / "plain_labels"), labels(tmp_path / "other_labels")
    assert plain.keys() == other.keys() == set("abc")
    for image_id in plain:
        np.testing.assert_array_equal(plain[image_id], other[image_id])


def test_squares_are_named_and_stretched_on_request(cams, tmp_path, refine):
    square = np.asarray(Image.fromarray(MASK).resize((320, 320)))
    cues = write_cues(tmp_path / "cues", square)
    code, _, said = refine(cams, cues, "-o", tmp_path / "out")
    assert code == 1
    assert (
        "none of 3 cues fits its CAMs; a: the cue has 320×320 pixels and the CAM 60×40" in said[-1]
    )
    assert "--stretch-cues" in said[-1]
    assert not (tmp_path / "out").exists()
    call = (cams, cues, "-o", tmp_path / "out", "--labels", tmp_path / "l", "--stretch-cues")
    assert refine(*call)[0] == 0
    found = labels(tmp_path / "l")["a"]
    assert found.shape == (40, 60)
    assert ((found > 0) == (MASK > 0)).mean() > 0.97


@pytest.mark.parametrize("calibrate", ["auto", "off"])
def test_maps_of_c2am_are_soft_cues(cams, tmp_path, refine, calibrate):
    (tmp_path / "maps").mkdir()
    for image_id in "abc":
        content = {"keys": np.array([0, 1]), "cam": blob()[None, ::4, ::4], "hr_cam": blob()[None]}
        np.save(tmp_path / "maps" / f"{image_id}.npy", content, allow_pickle=True)
    code, _, said = refine(cams, tmp_path / "maps", "--calibrate", calibrate)
    assert code == 0
    assert any("the cues agree with" in line for line in said) == (calibrate == "auto")


def test_cams_in_place_of_cues_are_refused(cams, tmp_path, refine):
    (tmp_path / "maps").mkdir()
    for image_id in "abc":
        maps = np.stack([blob(), blob()])
        content = {"keys": np.array([0, 3, 7]), "cam": maps[:, ::4, ::4], "hr_cam": maps}
        np.save(tmp_path / "maps" / f"{image_id}.npy", content, allow_pickle=True)
    code, _, said = refine(cams, tmp_path / "maps")
    assert code == 1
    assert "is a CAM file with the classes 2, 6, not a cue" in said[-1]


@pytest.mark.parametrize("ids", ["train_aug", "train_aug.txt"])
def test_a_voc_root_gives_photographs_and_lists(cams, tmp_path, refine, ids):
    cues = write_cues(tmp_path / "cues", MASK)
    for image_id in "abc":
        write_png(tmp_path / "VOC" / "JPEGImages" / f"{image_id}.png", np.zeros((40, 60, 3)))
    lists = tmp_path / "VOC" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train_aug.txt").write_text("/JPEGImages/b.jpg /SegmentationClassAug/b.png\n")
    call = (cams, cues, "--images", tmp_path / "VOC", "--labels", tmp_path / "l", "--ids", ids)
    assert refine(*call)[0] == 0
    assert list(labels(tmp_path / "l")) == ["b"]


# --- CAMs that are smaller than the image -------------------------------------------------------


def small_cams(folder):
    folder.mkdir()
    for image_id in "abc":
        small = np.asarray(Image.fromarray(blob(8)).resize((15, 10), Image.Resampling.BOX))
        np.save(folder / f"{image_id}.npy", {14: small})
    return folder


@pytest.mark.parametrize("known", ["cue", "photo", "photo and crf"])
def test_labels_of_small_cams_have_the_images_size(tmp_path, refine, known):
    cams = small_cams(tmp_path / "small")
    cues = write_cues(tmp_path / "cues", MASK if known == "cue" else MASK[::4, ::4].copy())
    call = [cams, cues, "--labels", tmp_path / "l"]
    if known != "cue":
        for image_id in "abc":
            write_png(tmp_path / "photos" / f"{image_id}.png", np.dstack([MASK] * 3))
        call += ["--images", tmp_path / "photos", *(["--crf"] if "crf" in known else [])]
    code, _, said = refine(*call)
    assert code == 0
    of = "cues" if known == "cue" else "photographs"
    lines = [line for line in said if "labels get the size of the" in line]
    assert len(lines) == 1
    assert f"smaller than their {of} (15×10 and 60×40 in a)" in lines[0]
    found = labels(tmp_path / "l")["a"]
    assert found.shape == (40, 60)
    assert ((found > 0) == (MASK > 0)).mean() > 0.9
    stored = np.load(tmp_path / "small_c2am" / "a.npy", allow_pickle=True).item()[14]
    assert stored.shape == (10, 15)
    if "crf" not in known:
        enlarged = np.asarray(Image.fromarray(stored).resize((60, 40), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(found, np.where(enlarged > np.float32(0.2), 15, 0))


def test_cues_a_little_larger_than_the_cams_change_no_size(cams, tmp_path, refine):
    larger = np.asarray(Image.fromarray(MASK).resize((64, 43)))
    code, _, said = refine(cams, write_cues(tmp_path / "cues", larger), "--labels", tmp_path / "l")
    assert code == 0
    assert labels(tmp_path / "l")["a"].shape == (40, 60)
    assert not any("smaller" in line for line in said)


# --- the last line ------------------------------------------------------------------------------


def test_foreground_that_is_lost_is_named_with_what_to_try(cams, tmp_path, refine):
    grey = np.rint(blob(10) * 60).astype(np.uint8)
    grey[0, 0] = 255
    _, out, said = refine(cams, write_cues(tmp_path / "cues", grey))
    assert any("--calibrate on calibrates them to these CAMs" in line for line in said)
    doubt = [line for line in out.splitlines() if "times its former size" in line]
    assert len(doubt) == 1
    assert "try --calibrate on; c2am-describe compares" in doubt[0]


def test_cues_without_news_are_named(cams, tmp_path, refine):
    cues = write_cues(tmp_path / "cues", np.full((40, 60), 204, np.uint8))
    _, out, _ = refine(cams, cues, "--calibrate", "off")
    assert "3 of 3 images are unchanged" in out


def test_a_good_run_ends_without_doubt(cams, tmp_path, refine):
    _, out, said = refine(cams, write_cues(tmp_path / "cues", MASK))
    assert "rarely intended" not in out
    assert "almost all" not in out
    assert not any("grey" in line for line in said)
