"""Image-level labels of every kind, and one clear line for what they cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from c2am_plugin.classifier.labels import labels_of, read_class_names, read_labels
from c2am_plugin.errors import InputError
from c2am_plugin.files.labels import VOC_CLASSES, write_label


def shown(path: Path, classes: list[str] | None = None) -> dict[str, list[str]]:
    found = read_labels(path, classes)
    return {
        image_id: [found.classes[index] for index in np.flatnonzero(row)]
        for image_id, row in found.of.items()
    }


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


WANTED = {"a": ["cat"], "b": ["cat", "red panda"], "c": []}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "a,cat\nb,cat,red panda\nc\n"),
        ("l.csv", "id,class\na.jpg,cat\nb.jpg,red panda,cat\nc.jpg,\n"),
        ("l.csv", "image_id,cat,red panda\na,1,0\nb,1,1\nc,0,0\n"),
        ("l.csv", "\ufeffid,label,label,label\r\na,cat\r\nb,cat,red panda\r\nc\r\n"),
        ("l.csv", "a,cat\nb,cat\nb,red panda\nc,\n"),
        ("l.tsv", "a\tcat\nb\tcat\tred panda\nc\n"),
        ("l.txt", "JPEGImages/a.png\tcat\nJPEGImages/b.png\tred panda\tcat\nc\t\n"),
    ],
)
def test_tables(tmp_path: Path, name: str, text: str) -> None:
    assert shown(write(tmp_path / name, text)) == WANTED


def test_a_column_of_lists(tmp_path: Path) -> None:
    path = write(tmp_path / "l.tsv", "id\tclasses\na\tcow person\nb\tdiningtable\nc\t\n")
    found = read_labels(path)
    assert found.classes == VOC_CLASSES[1:]  # all names are VOC's, so the order is
    assert shown(path) == {"a": ["cow", "person"], "b": ["dining table"], "c": []}


def test_numbers_are_class_indices(tmp_path: Path) -> None:
    found = read_labels(write(tmp_path / "l.csv", "a,0\nb,2,0\n"))
    assert found.classes == ("0", "1", "2")
    assert found.of["b"].tolist() == [True, False, True]


def test_psas_file(tmp_path: Path) -> None:
    vectors = {i: np.eye(20, dtype=np.float32)[c] for i, c in (("2007_000032", 0), ("b", 14))}
    np.save(tmp_path / "cls_labels.npy", vectors, allow_pickle=True)
    assert shown(tmp_path / "cls_labels.npy") == {"2007_000032": ["aeroplane"], "b": ["person"]}


def test_the_real_file_of_that_kind(coco_voc: Path) -> None:
    found = read_labels(coco_voc / "cls_labels.npy")
    assert found.classes == VOC_CLASSES[1:]
    ids = (coco_voc / "ids.txt").read_text().split()
    assert labels_of(found, ids).any(1).all()


def test_a_folder_of_xml(tmp_path: Path) -> None:
    for name, classes in WANTED.items():
        objects = "".join(f"<object><name>{c}</name></object>" for c in classes)
        write(tmp_path / f"{name}.xml", f"<annotation><size/>{objects}</annotation>")
    assert shown(tmp_path) == WANTED


def test_cocos_json(tmp_path: Path) -> None:
    """Class indices are by category id, not by place."""
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
        "categories": [{"id": 90, "name": "zebra"}, {"id": 3, "name": "car"}],
        "annotations": [{"image_id": 8, "category_id": 90}, {"image_id": 8, "category_id": 3}],
    }
    path = write(tmp_path / "c.json", json.dumps(content))
    assert read_labels(path).classes == ("car", "zebra")
    assert shown(path) == {"a": [], "b": ["car", "zebra"]}


def test_a_folder_of_masks_gives_its_classes_and_reports_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_label(tmp_path / "a.png", np.array([[0, 1, 255]], np.uint8))
    write_label(tmp_path / "b.png", np.array([[3, 1, 0]], np.uint8))
    with caplog.at_level("INFO"):
        assert shown(tmp_path) == {"a": ["0"], "b": ["0", "2"]}
    assert "image-level labels are taken from 2 masks" in caplog.text
    assert shown(tmp_path, ["x", "y", "z"]) == {"a": ["x"], "b": ["x", "z"]}


def test_given_names_set_the_order(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "a,cat\nb,dog\n")
    assert read_labels(path, ["dog", "emu", "cat"]).of["a"].tolist() == [False, False, True]
    names = write(tmp_path / "names.txt", "background\ndog\n\ncat\n")
    assert read_class_names(names) == ["dog", "cat"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "", "is empty"),
        ("l.json", "{}", "is not COCO's JSON"),
        ("l.json", "[1", "is not COCO's JSON"),
        ("l.csv", "image,cat,dog\na,1\n", "row of a has another length"),
        ("l.csv", "a,999\n", "expected 0 to 253"),
        ("l.csv", "a\nb\n", "has 0 classes"),
        ("l.npy", "text", "not a .npy file"),
    ],
)
def test_what_is_not_a_label_file_is_reported(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_labels(write(tmp_path / name, text))
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_invalid_xml_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "a.xml", "<annotation><object></object></annotation>")
    with pytest.raises(InputError, match=r"a\.xml: is not VOC's annotation"):
        read_labels(tmp_path)
    write(tmp_path / "a.xml", '<!DOCTYPE x [<!ENTITY e "e">]><annotation/>')
    with pytest.raises(InputError, match="defines entities"):
        read_labels(tmp_path)


def test_an_empty_folder_and_no_file_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither VOC's"):
        read_labels(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        read_labels(tmp_path / "nothing.csv")


def test_a_name_that_is_not_known_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "a,cat\nb,dgo\n")
    with pytest.raises(InputError, match=r"names dgo, which the 2 known classes do not have"):
        read_labels(path, ["cat", "dog"])


def test_images_without_a_label_are_reported(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path / "l.csv", "a,cat\nb,dog\n"))
    with pytest.raises(InputError, match=r"2 of 3 images have no label \(x, y\)"):
        labels_of(labels, ["a", "x", "y"])


def test_labels_that_are_all_zero_are_reported(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path / "l.csv", "id,cat,dog\na,0,0\nb,0,0\nc,1,0\n"))
    with pytest.raises(InputError, match="no label of the 2 images names a class"):
        labels_of(labels, ["a", "b"])


def test_what_is_plausible_and_wrong_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = read_labels(write(tmp_path / "l.csv", "a,cat\nb,cat\nc,dog\n"), ["cat", "dog"])
    with caplog.at_level("INFO"):
        labels_of(labels, ["a", "b"])
    assert "labels of 1 other images are not used" in caplog.text
    assert "1 of 2 classes have no image: dog" in caplog.text
    assert "every image shows cat" in caplog.text
