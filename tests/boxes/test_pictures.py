"""Boxes on the photographs of the benchmark's page."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from small_files import write_png

from c2am_plugin.bench.benchmark import benchmark
from c2am_plugin.bench.gallery import class_boxes
from c2am_plugin.page.pictures import SIDE, photo_picture


def pixels_of(uri):
    picture = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    return np.asarray(picture.convert("RGB")).astype(int)


def span(pixels):
    """x0 y0 x1 y1 of what is not the grey of the photograph, JPEG's ringing aside."""
    drawn = np.abs(pixels - 128).max(axis=-1) > 40
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def test_a_box_is_drawn_where_it_is():
    photo = np.full((120, 160, 3), 128, np.uint8)
    plain = pixels_of(photo_picture(photo))
    drawn = pixels_of(photo_picture(photo, {"#ff0000": np.array([[20, 30, 100, 90]])}))
    assert np.abs(plain - 128).max() < 5
    assert np.abs(span(drawn) - (20, 30, 100, 90)).max() <= 1
    assert (drawn[31:33, 40:80, 0] - drawn[31:33, 40:80, 2]).mean() > 30  # its colour is red
    assert np.abs(drawn[45:75, 40:80] - 128).max() < 12  # inside and outside nothing is drawn
    assert np.abs(drawn[100:, :] - 128).max() < 12


def test_boxes_shrink_with_the_photograph():
    photo = np.full((400, 2 * SIDE, 3), 128, np.uint8)
    box = np.array([[SIDE, 0, 2 * SIDE, 400]])
    drawn = pixels_of(photo_picture(photo, {"#ff0000": box}))
    assert drawn.shape == (200, SIDE, 3)
    assert np.abs(span(drawn) - (SIDE // 2, 0, SIDE, 200)).max() <= 1


@pytest.mark.parametrize("box", [[0, 0, 1, 1], [159, 119, 160, 120], [0, 0, 160, 120]])
def test_boxes_of_one_pixel_and_at_the_borders(box):
    photo = np.full((120, 160, 3), 128, np.uint8)
    drawn = pixels_of(photo_picture(photo, {"#ff0000": np.array([box])}))
    assert drawn.shape == (120, 160, 3)
    assert np.abs(drawn - 128).max() > 50


def test_the_largest_component_of_each_class():
    truth = np.zeros((20, 30), np.uint8)
    truth[2:8, 2:8], truth[12:14, 2:4] = 3, 3
    truth[10:20, 20:30], truth[0, :] = 5, 255
    assert class_boxes(truth).tolist() == [[2, 2, 8, 8], [20, 10, 30, 20]]
    assert class_boxes(np.zeros((4, 4), np.uint8)).shape == (0, 4)


def test_the_page_says_how_far_they_overlap(make_set, tmp_path):
    cams, _ = make_set("psa", ids=("a", "b"))
    cues = tmp_path / "hard"
    for image_id in "ab":
        saliency = np.zeros((24, 32))
        saliency[6:18, 8:16] = 255 if image_id == "a" else 0  # half of the object, or nothing
        write_png(cues / f"{image_id}.png", saliency)
        write_png(tmp_path / "photos" / f"{image_id}.png", np.full((24, 32, 3), 90))
        truth = np.zeros((24, 32))
        truth[6:18, 8:24] = 1
        write_png(tmp_path / "gt" / f"{image_id}.png", truth)
    page = tmp_path / "page"
    images = tmp_path / "photos"
    benchmark({"psa": cams}, cues, tmp_path / "gt", page, images=images, progress=False, workers=1)
    text = (page / "report.html").read_text(encoding="utf-8")
    assert text.count("box of the cue 50</span>") == 1
    assert text.count("box of the cue</span>") == 1
    without = tmp_path / "without"
    benchmark({"psa": cams}, cues, tmp_path / "gt", without, progress=False, workers=1)
    assert "box of the cue" not in (without / "report.html").read_text(encoding="utf-8")
