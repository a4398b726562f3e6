"""VOC and COCO roots in place of folders of photographs, labels and lists."""

from __future__ import annotations

import numpy as np
import pytest
from small_files import touch, write_png

from c2am_plugin.errors import InputError
from c2am_plugin.files.photos import check_outside, find_images, find_photos
from c2am_plugin.files.roots import find_list, label_files, photo_files

LISTS = "ImageSets/Segmentation"


@pytest.mark.parametrize("root", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_a_voc_root_is_its_photographs(tmp_path, root):
    write_png(tmp_path / root / "JPEGImages" / "a.png", np.zeros((4, 6, 3)))
    write_png(tmp_path / root / "SegmentationObject" / "a.png", np.zeros((4, 6)))
    write_png(tmp_path / root / "SegmentationClass" / "a.png", np.ones((4, 6)))
    assert list(find_photos(tmp_path, ["a"])) == ["a"]
    assert label_files(tmp_path)["a"].parent.name == "SegmentationClass"
    write_png(tmp_path / root / "SegmentationClassAug" / "a.png", np.ones((4, 6)))
    assert label_files(tmp_path)["a"].parent.name == "SegmentationClassAug"


@pytest.mark.parametrize("root", ["", "images"])
def test_a_coco_root_is_the_photographs_of_its_parts(tmp_path, root):
    for part, name in (("train2014", "COCO_train2014_01"), ("val2014", "COCO_val2014_02")):
        write_png(tmp_path / root / part / f"{name}.png", np.zeros((4, 6, 3)))
    assert sorted(photo_files(tmp_path)) == ["COCO_train2014_01", "COCO_val2014_02"]
    assert list(find_images(tmp_path)) == ["COCO_train2014_01", "COCO_val2014_02"]
    with pytest.raises(InputError, match="is inside the input"):
        check_outside(tmp_path, tmp_path / root / "val2014" / "out")
    check_outside(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("ids", ["train_aug", "train_aug.txt", f"{LISTS}/train_aug.txt"])
@pytest.mark.parametrize("given", ["", "JPEGImages"])
def test_a_list_by_name(tmp_path, ids, given):
    touch(tmp_path, "JPEGImages/a.jpg", "JPEGImages/b.jpg")
    touch(
        tmp_path / LISTS, "train_aug.txt", content="/JPEGImages/b.jpg /SegmentationClassAug/b.png"
    )
    if "/" in ids:
        ids = tmp_path / ids
    assert list(find_images(tmp_path / given, ids)) == ["b"]


def test_a_list_that_is_missing_says_which_are_there(tmp_path):
    touch(tmp_path, "JPEGImages/a.jpg")
    touch(tmp_path / LISTS, "train.txt", "val.txt", content="a")
    said = rf"train_aug\.txt: no such file, and no such list in .*{LISTS}: train, val; .*SBD"
    with pytest.raises(InputError, match=said):
        find_images(tmp_path, "train_aug.txt")
    with pytest.raises(InputError, match=r"mine: no such file, and .*: train, val$"):
        find_list("mine", [None, tmp_path])
    with pytest.raises(InputError, match=r"nowhere\.txt: cannot be read as a list"):
        find_list("nowhere.txt", [tmp_path / "elsewhere"])


def test_a_photograph_that_is_missing_shows_what_is_there(tmp_path):
    write_png(tmp_path / "VOC" / "JPEGImages" / "b.png", np.zeros((4, 6, 3)))
    said = r"JPEGImages: 1 of 1 images have no photograph \(a\); it has ids such as b"
    with pytest.raises(InputError, match=said):
        find_photos(tmp_path / "VOC", ["a"])
