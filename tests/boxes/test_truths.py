"""Ground truth boxes of VOC, CUB and COCO, predictions, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from c2am_plugin.boxes.predictions import read_predictions
from c2am_plugin.boxes.truths import find_truths, read_truth
from c2am_plugin.errors import InputError

VOC = """<annotation>
  <folder>VOC2012</folder>
  <size><width>500</width><height>375</height><depth>3</depth></size>
  <object>
    <name>dog</name><difficult>0</difficult>
    <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>500</xmax><ymax>375</ymax></bndbox>
    <part><name>head</name>
      <bndbox><xmin>10</xmin><ymin>10</ymin><xmax>20</xmax><ymax>20</ymax></bndbox></part>
  </object>
  <object>
    <name>cat</name>
    <bndbox><ymin>21</ymin><xmin>11.5</xmin><ymax>40</ymax><xmax>30</xmax></bndbox>
  </object>
  <object>
    <name>person</name><difficult>1</difficult>
    <bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>
  </object>
</annotation>"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def cub(tmp_path):
    folder = tmp_path / "CUB_200_2011"
    write(folder / "images.txt", "1 001.Albatross/A_0046_18.jpg\n2 002.Auk/B 1.jpg\n")
    write(folder / "bounding_boxes.txt", "1 60.0 27.0 325.0 304.0\n2 0.0 1.0 10.0 20.0\n")
    write(folder / "classes.txt", "1 001.Albatross\n2 002.Auk\n")
    return folder


def coco(tmp_path, **changes):
    content = {
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 40, "height": 30},
            {"id": 8, "file_name": "val/b.jpg"},
            {"id": 9, "file_name": "empty.jpg"},
        ],
        "annotations": [
            {"image_id": 7, "category_id": 18, "bbox": [1.5, 2, 10, 20]},
            {"image_id": 7, "category_id": 18, "bbox": [0, 0, 40, 30], "iscrowd": 1},
            {"image_id": 7, "category_id": 17, "bbox": [3, 4, 5, 6], "iscrowd": 0},
            {"image_id": 8, "category_id": 17, "bbox": [0, 0, 1, 1]},
        ],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
    }
    return write(tmp_path / "truth.json", json.dumps({**content, **changes}))


@pytest.mark.parametrize("where", ["", "Annotations"])
def test_voc_counts_from_one_and_includes_the_last_pixel(tmp_path, where):
    write(tmp_path / where / "2007_000032.xml", VOC)
    truths = find_truths(tmp_path)
    truth = read_truth(truths.find("2007_000032"))
    assert truths.ids == ["2007_000032"]
    assert truth.boxes.tolist() == [[0, 0, 500, 375], [10.5, 20, 30, 40]]
    assert truth.names == ("dog", "cat")
    assert truth.size == (500, 375)
    assert truths.name_of("dog") == "dog"


def test_imagenet_counts_from_zero_which_does_no_harm(tmp_path):
    write(tmp_path / "a.xml", VOC.replace("<xmin>1<", "<xmin>0<"))
    assert read_truth(find_truths(tmp_path).find("a")).boxes[0].tolist() == [0, 0, 500, 375]


def test_voc_without_objects_or_size(tmp_path):
    write(tmp_path / "a.xml", "<annotation></annotation>")
    truth = read_truth(find_truths(tmp_path).find("a"))
    assert truth.boxes.shape == (0, 4)
    assert truth.size is None


@pytest.mark.parametrize("text", [VOC[:200], ""])
def test_bad_xml(tmp_path, text):
    write(tmp_path / "a.xml", text)
    with pytest.raises(InputError, match=r"a\.xml: cannot be read as XML"):
        read_truth(find_truths(tmp_path).find("a"))


@pytest.mark.parametrize(
    "change",
    [
        ("<xmin>1<", "<xmin>left<"),
        ("<xmin>1</xmin>", ""),
        ("<xmin>1<", "<xmin>600<"),
        ("<xmin>1<", "<xmin>nan<"),
    ],
)
def test_voc_objects_without_a_box_are_left_out_and_counted(tmp_path, change):
    write(tmp_path / "a.xml", VOC.replace(*change, 1))
    truth = read_truth(find_truths(tmp_path).find("a"))
    assert truth.boxes.tolist() == [[10.5, 20, 30, 40]]
    assert (truth.names, truth.bad, truth.size) == (("cat",), 1, (500, 375))


def test_a_size_that_is_no_number_is_not_known(tmp_path):
    write(tmp_path / "a.xml", VOC.replace("<width>500<", "<width>inf<"))
    assert read_truth(find_truths(tmp_path).find("a")).size is None


def test_xml_larger_than_any_annotation_is_not_read(tmp_path):
    with write(tmp_path / "a.xml", VOC).open("r+b") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(InputError, match=r"a\.xml: .*larger than 16 MiB"):
        read_truth(find_truths(tmp_path).find("a"))


def test_the_encoding_that_a_file_names_is_not_looked_up(tmp_path):
    """Python would import a module of that name."""
    write(tmp_path / "a.xml", '<?xml version="1.0" encoding="zlib"?>' + VOC)
    assert read_truth(find_truths(tmp_path).find("a")).size == (500, 375)


def test_entities_are_not_expanded(tmp_path):
    """Ten lines that would become gigabytes of text, and one that would read a file."""
    lines = ['<!ENTITY a0 "ha">']
    lines += [f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12)]
    bomb = f"<!DOCTYPE x [{''.join(lines)}]><annotation>&a11;</annotation>"
    outside = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>&e;</annotation>'
    for text in (bomb, outside):
        write(tmp_path / "a.xml", text)
        with pytest.raises(InputError, match="declares a document type"):
            read_truth(find_truths(tmp_path).find("a"))


@pytest.mark.parametrize("name", ["", "bounding_boxes.txt"])
def test_cub(cub, name):
    truths = find_truths(cub / name)
    assert truths.ids == ["001.Albatross/A_0046_18", "002.Auk/B 1"]
    assert read_truth(truths.find(truths.ids[0])).boxes.tolist() == [[60, 27, 385, 331]]
    assert read_truth(truths.find(truths.ids[0])).names == ("001.Albatross",)
    assert truths.name_of("1") == "001.Albatross"
    assert truths.name_of("001.Albatross") == "001.Albatross"


def test_cub_without_class_names(cub):
    (cub / "classes.txt").unlink()
    assert read_truth(find_truths(cub).find("002.Auk/B 1")).names == ("002.Auk",)


@pytest.mark.parametrize("line", ["1 60 27 325", "3 60 27 325 304"])
def test_cub_lines_of_no_image_are_left_out_and_counted(cub, line):
    with (cub / "bounding_boxes.txt").open("a") as file:
        file.write(line + "\n")
    truths = find_truths(cub)
    assert (len(truths.ids), truths.bad) == (2, 1)


@pytest.mark.parametrize("line", ["1 60 27 wide 304", "1 60 27 0 304"])
def test_cub_boxes_without_an_area_are_left_out_and_counted(cub, line):
    write(cub / "bounding_boxes.txt", line + "\n2 0 0 5 5\n")
    truth = read_truth(find_truths(cub).find("001.Albatross/A_0046_18"))
    assert (len(truth.boxes), truth.bad) == (0, 1)


def test_a_file_of_other_lines_is_not_cubs(cub):
    write(cub / "bounding_boxes.txt", "1 60 27 325\n")
    with pytest.raises(InputError, match="5 fields; no line has them, the first has 4"):
        find_truths(cub)


def test_cub_without_the_list_of_images(cub):
    (cub / "images.txt").unlink()
    with pytest.raises(InputError, match=r"images\.txt: cannot be read .*is this CUB-200-2011"):
        find_truths(cub)


def test_coco(tmp_path):
    truths = find_truths(coco(tmp_path))
    assert truths.ids == ["a", "val/b"]
    truth = read_truth(truths.find("a"))
    assert truth.boxes.tolist() == [[1.5, 2, 11.5, 22], [3, 4, 8, 10]]
    assert truth.names == ("dog", "cat")
    assert truth.size == (40, 30)
    assert read_truth(truths.find("val/b")).size is None
    assert truths.name_of("17") == "cat"


@pytest.mark.parametrize("height", [0, -1, None])
def test_a_coco_size_that_is_none_is_not_taken(tmp_path, height):
    images = [{"id": 7, "file_name": "a.jpg", "width": 40, "height": height}]
    images.append({"id": 8, "file_name": "val/b.jpg"})
    assert read_truth(find_truths(coco(tmp_path, images=images)).find("a")).size is None


def test_coco_without_categories(tmp_path):
    assert read_truth(find_truths(coco(tmp_path, categories=[])).find("a")).names == ("18", "17")


@pytest.mark.parametrize(
    "changes",
    [
        {"images": 3},
        {"annotations": None},
    ],
)
def test_bad_coco(tmp_path, changes):
    with pytest.raises(InputError, match=r"truth\.json: is not a COCO JSON"):
        find_truths(coco(tmp_path, **changes))


@pytest.mark.parametrize(
    "bbox",
    [
        [29.5, 38.3, 1.03, 0.0],
        [1, 1, 0, 5],
        [0, 0, 1],
        None,
        [],
        ["a", 0, 1, 1],
        [0, 0, 10**400, 1],
    ],
)
def test_coco_objects_without_a_box_are_left_out_and_counted(tmp_path, bbox):
    """train2017 has two boxes of height 0; other files have masks alone."""
    good, bad = ({"image_id": 7, "category_id": 17, "bbox": box} for box in ([3, 4, 5, 6], bbox))
    truth = read_truth(find_truths(coco(tmp_path, annotations=[good, bad])).find("a"))
    assert (truth.boxes.tolist(), truth.names, truth.bad) == ([[3, 4, 8, 10]], ("cat",), 1)


def test_coco_annotations_of_images_that_are_not_listed_are_counted(tmp_path):
    annotations = [{"image_id": i, "category_id": 17, "bbox": [3, 4, 5, 6]} for i in (7, 70, "x")]
    truths = find_truths(coco(tmp_path, annotations=annotations))
    assert (truths.ids, truths.bad) == (["a"], 2)


def test_what_is_no_ground_truth(tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "boxes.csv", "1")
    write(tmp_path / "list.json", "[1, 2]")
    write(tmp_path / "deep.json", "[" * 100_000)
    with pytest.raises(InputError, match="no such file or folder; expected a folder of VOC"):
        find_truths(tmp_path / "nowhere")
    with pytest.raises(InputError, match="contains no ground truth boxes"):
        find_truths(tmp_path / "empty")
    with pytest.raises(InputError, match="contains no ground truth boxes"):
        find_truths(tmp_path / "boxes.csv")
    with pytest.raises(InputError, match="is not a COCO JSON"):
        find_truths(tmp_path / "list.json")
    with pytest.raises(InputError, match=r"is not a COCO JSON \(RecursionError"):
        find_truths(tmp_path / "deep.json")


def test_predictions(tmp_path, cub):
    path = write(
        tmp_path / "classes.csv",
        "image_id,top1,top2\n001.Albatross/A_0046_18.jpg,1, 002.Auk\n\n002.Auk/B 1,2,\n",
    )
    assert read_predictions(path, find_truths(cub)) == {
        "001.Albatross/A_0046_18": ["001.Albatross", "002.Auk"],
        "002.Auk/B 1": ["002.Auk"],
    }


def test_predictions_of_ids_with_dots(tmp_path):
    truths = find_truths(
        coco(
            tmp_path,
            images=[{"id": 7, "file_name": "a.b.jpg"}],
            annotations=[{"image_id": 7, "category_id": 17, "bbox": [0, 0, 1, 1]}],
        )
    )
    path = write(tmp_path / "classes.csv", "a.b,cat\n")
    assert read_predictions(path, truths) == {"a.b": ["cat"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [("id,class\n", "no prediction"), ("a\n", "has no class"), ("", "no pre")],
)
def test_bad_predictions(tmp_path, text, message):
    path = write(tmp_path / "classes.csv", text)
    with pytest.raises(InputError, match=message):
        read_predictions(path, find_truths(coco(tmp_path)))
    with pytest.raises(InputError, match="cannot be read as a CSV"):
        read_predictions(tmp_path / "nowhere.csv", find_truths(coco(tmp_path)))


def test_boxes_are_float64(tmp_path, cub):
    assert read_truth(find_truths(cub).find("002.Auk/B 1")).boxes.dtype == np.float64
