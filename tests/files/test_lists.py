"""Lists as the pipelines have them, understood by the ids that exist."""

from __future__ import annotations

import unicodedata

import pytest

from c2am_plugin.errors import InputError
from c2am_plugin.files.lists import read_ids, wanted_ids

ID, OTHER = "2007_000032", "2007_000039"
LINES = {
    "plain": ID,
    "clip_es": f"{ID}.jpg 0 14",
    "l2g": f"{ID} 14 ",
    "tab": f"{ID}\t14",
    "comma": f"{ID},0|14",
    "csv": f'"{ID}.jpg", 14',
    "semicolon": f"{ID};14",
    "pair": f"JPEGImages/{ID}.jpg SegmentationClassAug/{ID}.png",
    "psa": f"/JPEGImages/{ID}.jpg /SegmentationClassAug/{ID}.png",
    "windows": f"JPEGImages\\{ID}.jpg",
    "drive": f"C:\\data\\VOC2012\\JPEGImages\\{ID}.jpg",
    "below": f"./VOC2012/JPEGImages/{ID}.jpg",
    "absolute": f"/home/me/VOC2012/JPEGImages/{ID}.jpg",
    "numpy": f"{ID}.npy",
}


def write(tmp_path, text):
    path = tmp_path / "ids.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("known", [(), (ID, OTHER)])
def test_one_image_in_any_list(tmp_path, line, known):
    assert read_ids(write(tmp_path, f"{line}\n{line}\n"), known) == [ID]


@pytest.mark.parametrize(
    ("line", "known", "expected"),
    [
        ("my photo 1.jpg", ["my photo 1"], "my photo 1"),
        ("my photo 1.jpg 3", ["my photo 1", "my"], "my"),
        ("dog, small", ["dog, small", "dog"], "dog, small"),
        ("a 1", ["a 1", "a"], "a 1"),
        ("/train/a.jpg", ["train/a"], "train/a"),
        ("/train/a.jpg", ["a"], "a"),
        ("data/val/a.png,7", ["val/a"], "val/a"),
        ("a.jpg", ["a.jpg"], "a.jpg"),
        ("aachen_000001_leftImg8bit,0|1|2", ["aachen_000001_leftImg8bit"], None),
        ("größe.jpg 4", [unicodedata.normalize("NFD", "größe")], None),
    ],
)
def test_the_ids_that_exist_decide(tmp_path, line, known, expected):
    assert read_ids(write(tmp_path, line), known) == [expected or known[0]]


def test_a_list_of_one_class_of_voc(tmp_path):
    path = write(tmp_path, f"{ID} -1\n{OTHER}  1\n2007_000061  0\n")
    assert read_ids(path) == [OTHER, "2007_000061"]
    with pytest.raises(InputError, match=r"ids\.txt: marks every image with -1"):
        read_ids(write(tmp_path, "a -1\nb -1\n"))


def test_a_heading_is_no_image(tmp_path):
    assert read_ids(write(tmp_path, "image_id,label\na,1\nb,2\n"), ["a", "b"]) == ["a", "b"]
    assert read_ids(write(tmp_path, "image\nb\n"), ["image", "b"]) == ["image", "b"]


def test_two_folders_of_one_list_are_not_one(tmp_path):
    path = write(tmp_path, "dog/1.jpg\ncat/1.jpg\n")
    assert read_ids(path, ["dog/1", "cat/1"]) == ["dog/1", "cat/1"]
    with pytest.raises(InputError, match=r"dog/1 and cat/1 both name the image 1"):
        read_ids(path, ["1", "2"])


def test_ids_of_a_call_may_be_in_another_normal_form():
    stored = unicodedata.normalize("NFD", "größe")
    assert wanted_ids(["größe", "a", "a"], [stored]) == [stored, "a"]
