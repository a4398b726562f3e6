"""make_boxes and c2am-boxes: from folders of cues and maps to files of boxes and their scores."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from small_files import write_png

import c2am_plugin
from c2am_plugin.boxes.make_boxes import make_boxes
from c2am_plugin.cams import ImageCams
from c2am_plugin.cli import boxes_main
from c2am_plugin.errors import InputError, OutputError
from c2am_plugin.files.cues import write_cue
from c2am_plugin.registry import get_adapter

# {id: rectangles of a cue 20×40, the larger first}
DRAWN = {
    "000000000030": [(3, 4, 13, 14), (30, 2, 33, 5)],
    "000000000042": [(0, 0, 40, 20)],
    "000000000049": [],
    "000000000061": [(39, 19, 40, 20)],
}


def cue(rectangles, height=20, width=40):
    pixels = np.zeros((height, width), np.uint8)
    for x0, y0, x1, y1 in rectangles:
        pixels[y0:y1, x0:x1] = 255
    return pixels


@pytest.fixture
def cues(tmp_path):
    for image_id, rectangles in DRAWN.items():
        write_png(tmp_path / "cues" / f"{image_id}.png", cue(rectangles))
    return tmp_path / "cues"


@pytest.fixture
def photos(tmp_path):
    """Photographs twice as wide and three times as high."""
    for image_id in DRAWN:
        write_png(tmp_path / "photos" / f"{image_id}.jpg", np.zeros((60, 80, 3)))
    return tmp_path / "photos"


def write_truth(path, boxes, size=(40, 20)):
    """COCO's JSON of {id: x0 y0 x1 y1}."""
    images = [
        {"id": n, "file_name": f"{image_id}.jpg", "width": size[0], "height": size[1]}
        for n, image_id in enumerate(boxes)
    ]
    annotations = [
        {"image_id": n, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for n, (x0, y0, x1, y1) in enumerate(boxes.values())
    ]
    categories = [{"id": 1, "name": "cat"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def text_of(path):
    return path.read_text().splitlines()


# --- what is written ------------------------------------------------------------------------------


def test_text(cues, tmp_path):
    report = make_boxes(cues, tmp_path / "boxes.txt", progress=False)
    assert text_of(tmp_path / "boxes.txt") == [
        "000000000030 3 4 13 14",
        "000000000042 0 0 40 20",
        "000000000061 39 19 40 20",
    ]
    assert (report.images, report.boxes, report.empty) == (4, 3, ["000000000049"])


def test_all_components(cues, tmp_path):
    make_boxes(cues, tmp_path / "boxes.txt", all_components=True, progress=False)
    assert text_of(tmp_path / "boxes.txt")[:2] == [
        "000000000030 3 4 13 14",
        "000000000030 30 2 33 5",
    ]


def test_coco(cues, tmp_path):
    make_boxes(cues, tmp_path / "boxes.json", progress=False)
    content = json.loads((tmp_path / "boxes.json").read_text())
    assert [image["id"] for image in content["images"]] == [30, 42, 49, 61]
    first = {"id": 30, "file_name": "000000000030", "width": 40, "height": 20}
    assert content["images"][0] == first
    assert [each["image_id"] for each in content["annotations"]] == [30, 42, 61]
    box = {"bbox": [3, 4, 10, 10], "area": 100, "iscrowd": 0, "score": 1.0, "category_id": 1}
    assert content["annotations"][0] == {"id": 1, "image_id": 30, **box}
    assert content["categories"] == [{"id": 1, "name": "object"}]


@pytest.mark.slow
def test_what_is_written_is_read_as_ground_truth(cues, photos, tmp_path):
    """The boxes as their own truth: all right, but for the image that has none."""
    make_boxes(cues, tmp_path / "boxes.json", images=photos, progress=False)
    report = make_boxes(cues, images=photos, gt=tmp_path / "boxes.json", progress=False)
    assert report.localisation.boxes.gt_known == 1
    assert report.localisation.images == 3
    assert report.unscored == 1


def test_ids_that_are_no_numbers_are_numbered(tmp_path):
    for name in ("val/b", "a"):
        write_png(tmp_path / "cues" / f"{name}.png", cue([(0, 0, 4, 4)]))
    make_boxes(tmp_path / "cues", tmp_path / "boxes.json", progress=False)
    images = json.loads((tmp_path / "boxes.json").read_text())["images"]
    assert [(each["id"], each["file_name"]) for each in images] == [(1, "a"), (2, "val/b")]


def test_boxes_are_brought_to_the_photographs(cues, photos, tmp_path):
    make_boxes(cues, tmp_path / "boxes.txt", images=photos, progress=False)
    assert text_of(tmp_path / "boxes.txt") == [
        "000000000030 6 12 26 42",
        "000000000042 0 0 80 60",
        "000000000061 78 57 80 60",
    ]
    make_boxes(cues, tmp_path / "boxes.json", images=photos, progress=False)
    image = json.loads((tmp_path / "boxes.json").read_text())["images"][0]
    assert image == {"id": 30, "file_name": "000000000030.jpg", "width": 80, "height": 60}


def test_psol_takes_shares_by_path_and_wants_every_image(cues, photos, tmp_path):
    make_boxes(cues, tmp_path / "boxes.json", form="psol", images=photos, progress=False)
    content = json.loads((tmp_path / "boxes.json").read_text())
    assert content[os.path.join(photos, "000000000030.jpg")] == [3 / 40, 0.2, 0.25, 0.5]
    assert content[os.path.join(photos, "000000000049.jpg")] == [0, 0, 1, 1]
    assert len(content) == 4


def test_listed_images_alone(cues, tmp_path):
    (tmp_path / "ids.txt").write_text("000000000061\n000000000030.jpg\n")
    make_boxes(cues, tmp_path / "boxes.txt", ids=tmp_path / "ids.txt", progress=False)
    assert text_of(tmp_path / "boxes.txt") == ["000000000030 3 4 13 14", "000000000061 39 19 40 20"]


# --- what is read ---------------------------------------------------------------------------------


def test_a_soft_cue_is_cut_at_mid_grey(tmp_path):
    pixels = np.full((6, 6), 127)
    pixels[2:4, 2:5] = 128
    write_png(tmp_path / "cues" / "a.png", pixels)
    make_boxes(tmp_path / "cues", tmp_path / "boxes.txt", progress=False)
    assert text_of(tmp_path / "boxes.txt") == ["a 2 2 5 4"]
    make_boxes(tmp_path / "cues", tmp_path / "low.txt", boundary=0.4, progress=False)
    assert text_of(tmp_path / "low.txt") == ["a 0 0 6 6"]


def test_flipped_and_stretched(tmp_path):
    pixels = np.full((6, 6), 200)
    pixels[2:4, 2:5] = 100
    write_png(tmp_path / "cues" / "a.png", pixels)
    make_boxes(
        tmp_path / "cues", tmp_path / "boxes.txt", flip_cues=True, normalise=True, progress=False
    )
    assert text_of(tmp_path / "boxes.txt") == ["a 2 2 5 4"]


def test_a_flat_cue_stretched_is_empty(tmp_path):
    write_png(tmp_path / "cues" / "a.png", np.full((6, 6), 200))
    assert make_boxes(tmp_path / "cues", normalise=True, progress=False).empty == ["a"]
    assert make_boxes(tmp_path / "cues", progress=False).empty == []


def test_stored_maps_and_plain_arrays(tmp_path):
    """A map as c2am-cues --maps stores it is cut at 0.3, a float cue at 0.5."""
    values = np.zeros((8, 12), np.float32)
    values[1:4, 2:9], values[2, 3:5] = 0.4, 0.9
    (tmp_path / "maps").mkdir()
    (tmp_path / "plain").mkdir()
    get_adapter("puzzlecam").dump(
        ImageCams("a", np.array([0]), values[None]), tmp_path / "maps" / "a.npy"
    )
    np.save(tmp_path / "plain" / "a.npy", values)
    for folder, expected in (("maps", "a 2 1 9 4"), ("plain", "a 3 2 5 3")):
        make_boxes(tmp_path / folder, tmp_path / f"{folder}.txt", progress=False)
        assert text_of(tmp_path / f"{folder}.txt") == [expected]


def test_of_several_classes_the_highest_counts(tmp_path):
    maps = np.zeros((2, 8, 12), np.float32)
    maps[0, 1:3, 1:3], maps[1, 2:6, 2:6] = 1, 1
    path = tmp_path / "maps" / "a.npy"
    path.parent.mkdir()
    get_adapter("puzzlecam").dump(ImageCams("a", np.array([4, 7]), maps), path)
    make_boxes(path.parent, tmp_path / "boxes.txt", progress=False)
    assert text_of(tmp_path / "boxes.txt") == ["a 1 1 6 6"]


def test_cams_of_another_format_are_refused(tmp_path):
    path = tmp_path / "maps" / "a.npy"
    path.parent.mkdir()
    get_adapter("psa").dump(ImageCams("a", np.array([4]), np.ones((1, 4, 4), np.float32)), path)
    with pytest.raises(InputError, match=r"a\.npy: contains keys \[4\].*; expected a map of c2am"):
        make_boxes(path.parent, progress=False)
    get_adapter("puzzlecam").dump(
        ImageCams("a", np.zeros(0, np.int64), np.zeros((0, 4, 4), np.float32)), path
    )
    with pytest.raises(InputError, match=r"a\.npy: contains no map"):
        make_boxes(path.parent, progress=False)


def test_no_pickle_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "maps" / "a.npy", np.array(Evil(), object))
    with pytest.raises(InputError, match="asks for"):
        make_boxes(tmp_path / "maps", progress=False)
    assert not (tmp_path / "ran").exists()


def test_a_bad_file_does_not_stop_the_others(cues, tmp_path):
    (cues / "000000000042.png").write_bytes(b"not a png")
    report = make_boxes(cues, tmp_path / "boxes.txt", progress=False)
    assert list(report.failures) == ["000000000042"]
    assert len(text_of(tmp_path / "boxes.txt")) == 2
    stored = json.loads((tmp_path / "boxes.txt.c2am-boxes.json").read_text())
    assert stored["report"]["failures"] == report.failures


# --- scores ---------------------------------------------------------------------------------------


def test_scores(cues, tmp_path):
    """Right, wrong, none; the fourth image has no ground truth. The centre is 10 5 30 15."""
    boxes = {"000000000030": (3, 4, 13, 14), "000000000042": (10, 5, 30, 15)}
    truth = write_truth(tmp_path / "truth.json", {**boxes, "000000000049": (0, 0, 5, 5)})
    (tmp_path / "classes.csv").write_text("000000000030,dog,cat\n000000000042,1\n")
    report = make_boxes(cues, gt=truth, predictions=tmp_path / "classes.csv", progress=False)
    found = report.localisation
    assert (found.images, report.unscored, found.unpredicted) == (3, 1, 1)
    assert found.boxes.gt_known == found.boxes.top5 == pytest.approx(1 / 3)
    assert found.boxes.top1 == 0
    assert found.centre.gt_known == found.centre.top1 == pytest.approx(1 / 3)
    assert "GT-known, IoU ≥ 0.5               33.3        33.3" in report.summary()
    assert "top-5 localisation                33.3" in report.summary()


def test_scores_are_those_of_the_photographs_pixels(cues, photos, tmp_path):
    truth = write_truth(tmp_path / "truth.json", {"000000000030": (6, 12, 26, 42)}, (80, 60))
    found = make_boxes(cues, images=photos, gt=truth, progress=False).localisation
    assert found.boxes.gt_known == found.boxes.max_box_acc_v2 == 1


@pytest.mark.parametrize("said", [True, False])
def test_maps_of_another_size_than_the_ground_truth_are_reported(cues, tmp_path, said):
    """By the size that the annotation notes, or by a box that lies outside."""
    size = (80, 60) if said else (0, 0)
    box = (6, 12, 26, 42)
    truth = write_truth(tmp_path / "truth.json", {"000000000030": box}, size)
    with pytest.raises(InputError, match=r"assumed to be 40×20 pixels.* with `images`"):
        make_boxes(cues, ids=["000000000030"], gt=truth, progress=False)


def test_no_score_without_a_common_image(cues, tmp_path):
    truth = write_truth(tmp_path / "truth.json", {"other": (0, 0, 5, 5)})
    with pytest.raises(InputError, match=r"for none of the 4 images; its ids look like other"):
        make_boxes(cues, gt=truth, progress=False)
    truth = write_truth(tmp_path / "truth.json", {"000000000030": (0, 0, 5, 5)})
    (tmp_path / "classes.csv").write_text("other,cat\n")
    with pytest.raises(InputError, match="contains none of the images to be scored"):
        make_boxes(cues, gt=truth, predictions=tmp_path / "classes.csv", progress=False)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boundary": 1.0}, r"boundary 1: expected a number in \[0, 1\)"),
        ({"boundary": float("nan")}, "boundary nan"),
        ({"form": "xml"}, "format 'xml' is unknown"),
        ({"form": "psol"}, "give `images`"),
        ({"predictions": "classes.csv"}, "give `gt`"),
        ({"ids": ["000000000030", "b"]}, r"1 of 2 images have no map \(b\)"),
        ({"gt": "nowhere"}, "no such file or folder"),
    ],
)
def test_refused_before_anything_is_written(cues, tmp_path, options, message):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        make_boxes(cues, tmp_path / "boxes.json", progress=False, **options)
    assert sorted(tmp_path.iterdir()) == before


def test_missing_photographs_and_empty_folders(cues, photos, tmp_path):
    (photos / "000000000042.jpg").unlink()
    with pytest.raises(InputError, match=r"1 of 4 images have no photograph \(000000000042\)"):
        make_boxes(cues, images=photos, progress=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="contains no cue"):
        make_boxes(tmp_path / "empty", progress=False)


def test_a_file_is_not_replaced_without_being_told(cues, tmp_path):
    out = tmp_path / "boxes.txt"
    make_boxes(cues, out, progress=False)
    before = out.read_text()
    make_boxes(cues, out, progress=False)
    with pytest.raises(OutputError, match="another name, or replace it with `overwrite=True`"):
        make_boxes(cues, out, all_components=True, progress=False)
    assert out.read_text() == before
    make_boxes(cues, out, all_components=True, overwrite=True, progress=False)
    assert len(text_of(out)) == 4


def test_a_file_that_cannot_be_written_is_reported(cues, tmp_path):
    (tmp_path / "boxes.txt").mkdir()
    (tmp_path / "file").write_text("no folder")
    for out in (tmp_path / "boxes.txt", tmp_path / "file" / "boxes.txt"):
        with pytest.raises(OutputError, match=str(out.name)):
            make_boxes(cues, out, overwrite=True, progress=False)
    assert not list((tmp_path / "boxes.txt").iterdir())
    assert (tmp_path / "file").read_text() == "no folder"


# --- the command ----------------------------------------------------------------------------------


def test_the_command(cues, tmp_path, capsys):
    out = tmp_path / "boxes.json"
    truth = write_truth(tmp_path / "truth.json", {"000000000030": (3, 4, 13, 14)})
    assert boxes_main([str(cues), "-o", str(out), "--gt", str(truth), "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "found 3 boxes in 4 images" in said
    assert "1 without a box; 3 without ground truth" in said
    assert f"wrote boxes to {out}" in said
    assert json.loads(out.read_text())["annotations"]


def test_the_command_says_what_failed(cues, tmp_path, capsys):
    (cues / "000000000042.png").write_bytes(b"not a png")
    assert boxes_main([str(cues), "-o", str(tmp_path / "boxes.json")]) == 1
    said = capsys.readouterr().err
    assert "000000000042.png: cannot be read as a cue image" in said
    assert "Traceback" not in said
    assert boxes_main([str(tmp_path / "nowhere"), "-o", str(tmp_path / "other.json")]) == 1
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_interrupted_it_starts_over(cues, tmp_path, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    call = [str(cues), "-o", str(tmp_path / "boxes.json")]
    with monkeypatch.context() as patched:
        patched.setattr("c2am_plugin.boxes.make_boxes.run_images", interrupt)
        assert boxes_main(call) == 130
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said == "c2am-boxes: interrupted; run the same command again to start over"
    assert boxes_main(call) == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--threshold", "1"],
        ["--boundary", "high"],
        ["--predictions", "a.csv"],
        ["--format", "psol"],
        ["--workers", "0"],
    ],
)
def test_wrong_usage(cues, tmp_path, options, capsys):
    with pytest.raises(SystemExit) as caught:
        boxes_main([str(cues), "-o", str(tmp_path / "boxes.json"), *options])
    assert caught.value.code == 2


def test_it_is_public():
    assert c2am_plugin.make_boxes is make_boxes


@pytest.mark.slow
def test_real_cues_beat_the_centre_box(coco_voc, tmp_path):
    """The stored CRF cues against the largest component of each mask."""
    from bench_boxes import write_truth as from_masks

    truth = tmp_path / "truth.json"
    assert from_masks(coco_voc / "SegmentationClass", truth, "largest") == 50
    report = make_boxes(coco_voc / "cues_crf", gt=truth, progress=False)
    found = report.localisation
    assert found.images == 50
    assert found.boxes.gt_known > 2 * found.centre.gt_known > 0
    assert found.boxes.gt_known <= found.boxes.max_box_acc


def write_coco(path, boxes, image_ids=(1, 1)):
    annotations = [
        {"id": k, "image_id": image_id, "category_id": 1, "bbox": box}
        for k, (box, image_id) in enumerate(zip(boxes, image_ids, strict=True))
    ]
    images = [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 20}]
    content = {"images": images, "annotations": annotations}
    path.write_text(json.dumps({**content, "categories": [{"id": 1, "name": "x"}]}))
    return path


def test_single_bad_boxes_do_not_end_a_run(tmp_path):
    saliency = np.zeros((20, 40), bool)
    saliency[5:15, 10:30] = True
    (tmp_path / "cues").mkdir()
    write_cue(tmp_path / "cues/a.png", saliency)
    gt = write_coco(tmp_path / "gt.json", [[10, 5, 20, 10], [1, 1, 5, 0]])
    report = make_boxes(tmp_path / "cues", gt=gt, progress=False)
    assert report.localisation.boxes.gt_known == 1
    assert report.bad_truths == 1
    assert "1 ground truth records left out (without an area" in report.summary()
    write_coco(gt, [[1, 1, 0, 5], [1, 1, 5, 0]])
    with pytest.raises(InputError, match=r"gt\.json: none of its boxes can be used .* \(2 have"):
        make_boxes(tmp_path / "cues", tmp_path / "out.json", gt=gt, progress=False)
    write_coco(gt, [[1, 1, 5, 5], [1, 1, 5, 5]], (8, 9))
    with pytest.raises(InputError, match=r"the 1 images \(2 records belong to an unlisted"):
        make_boxes(tmp_path / "cues", gt=gt, progress=False)
