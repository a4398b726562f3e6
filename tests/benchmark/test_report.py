"""The page and the tables: whole, self-contained, and saying what the results say."""

from __future__ import annotations

import base64
import csv
import io
import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from html_page import Page
from PIL import Image
from small_files import write_png

from c2am_plugin.bench import report
from c2am_plugin.bench.benchmark import benchmark
from c2am_plugin.bench.gains import image_ious
from c2am_plugin.bench.gallery import choose_pictures
from c2am_plugin.bench.tables import losing_rows
from c2am_plugin.bench.worst import worst_images
from c2am_plugin.files.labels import palette
from c2am_plugin.page import text
from c2am_plugin.page.pictures import HEAT, SIDE, cue_picture, heat_picture, label_picture

pytestmark = pytest.mark.slow

IDS = ("a", "b", "c", "d", "e", "f", "g", "h")
NAMES = ("background", "<b>cat & dog</b>", *(f"thing {i}" for i in range(19)))


@pytest.fixture
def made(make_set, tmp_path):
    """A benchmark of two folders with photographs, all options on, and what it wrote."""
    pytest.importorskip("numba", reason="numba is not installed")
    rng = np.random.default_rng(9)
    cams, cues = make_set("psa", ids=IDS)
    for image_id in IDS:
        write_png(tmp_path / "photos" / f"{image_id}.png", rng.integers(0, 256, (24, 32, 3)))
        truth = np.zeros((24, 32))
        truth[6:18, 8:24] = 1
        truth[:4] = 255
        write_png(tmp_path / "gt" / f"{image_id}.png", truth)
    out = tmp_path / "page <i>"
    result = benchmark(
        {"psa": cams, "seam": cams},
        cues,
        tmp_path / "gt",
        out,
        images=tmp_path / "photos",
        classes=NAMES,
        crf=True,
        guard=True,
        pictures=2,
        show=["c"],
        progress=False,
        workers=2,
    )
    return result, out


def test_page_is_one_file_and_well_formed(made):
    _, out = made
    assert {path.name for path in out.iterdir()} == {
        "report.html",
        "results.json",
        "results.csv",
        "table.md",
    }
    source = (out / "report.html").read_text(encoding="utf-8")
    page = Page(source)
    assert page.references
    assert all(each.startswith("data:image/") for each in page.references)
    assert "prefers-color-scheme: dark" in source
    assert "@media print" in source


def test_every_image_is_in_the_scatter_and_the_worst_are_explained(made):
    result, out = made
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    for pipeline in result.pipelines:
        before, after = pipeline.image_ious
        assert after - before == pytest.approx(pipeline.image_gains)
        for image_id, one, other in zip(result.image_ids, before, after, strict=True):
            assert f"{image_id}: {100 * one:.0f} → {100 * other:.0f}" in page.text
        worst = worst_images(result, pipeline)
        assert [each.image_id for each in worst] == [
            result.image_ids[i]
            for i in np.argsort(pipeline.image_gains, kind="stable")
            if pipeline.image_gains[i] < 0
        ]
        for each in worst:
            assert each.change in page.text


def test_what_changed_is_reported_for_the_class_that_falls_most():
    """Counts hit, truth, predicted. The cat loses its pixels; the dog takes over the background."""
    names = ("background", "cat", "dog")
    before = np.array([[[50, 20, 20], [60, 20, 20], [60, 20, 20]]])
    shrinks = np.array([[[50, 5, 20], [60, 20, 20], [75, 5, 20]]])
    spreads = np.array([[[20, 20, 20], [60, 20, 20], [20, 20, 60]]])
    lines = []
    for after in (shrinks, spreads):
        rows = {
            key: SimpleNamespace(counts=counts)
            for key, counts in (("cam_best", before), ("cues", after))
        }
        pipeline = SimpleNamespace(
            rows=rows, headline="cues", image_ious=(image_ious(before), image_ious(after))
        )
        result = SimpleNamespace(classes=names, image_ids=["a"])
        lines += [each.change for each in worst_images(result, pipeline)]
    assert lines == [
        "cat shrinks: 100 → 25 % of its pixels found",
        "dog spreads: 0 → 67 % of its label wrong",
    ]


def test_the_losing_classes_of_every_row_are_listed(made):
    result, out = made
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    table = (out / "table.md").read_text()
    for pipeline in result.pipelines:
        rows = losing_rows(result, pipeline)
        assert len(rows) == len(pipeline.rows) - 1  # all but what gains are measured from
        assert {
            "CAM + dense CRF",
            "CAM, best threshold + dense CRF",
            "CAM + cues, guarded + dense CRF",
        } <= {title for title, _ in rows}
        for title, line in rows:
            assert f"{pipeline.label}, {title}: {line}" in page.text
            assert f"- {pipeline.label}, {title}, classes that lose: {line}" in table


def test_page_shows_every_pipeline_the_command_and_escapes_names(made):
    result, out = made
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    words = " ".join(page.words)
    assert "b" not in page.tags
    assert "i" in page.tags  # the colour chips
    assert "<b>cat & dog</b>" in words
    stored = json.loads((out / "results.json").read_text())
    assert stored["command"] in words
    assert f"c2am-plugin {stored['versions']['c2am-plugin']}" in words
    assert page.tags.count("svg") == 2 * len(result.pipelines) == 4
    for pipeline in result.pipelines:
        assert f"{100 * pipeline.rows['guard'].scores.miou:.1f}" in words
    # 1 asked for, up to 2 + 2 + 2 others, 7 pictures each, for 2 pipelines
    shown = len([each for each in page.references if each.startswith("data:image/")])
    expected = sum(len(choose_pictures(p, result.image_ids, 2, ["c"])) for p in result.pipelines)
    assert shown == 7 * expected


def test_json_csv_and_markdown_say_the_same(made):
    result, out = made
    content = (out / "results.json").read_text()
    stored = json.loads(content, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    lines = list(csv.DictReader(io.StringIO((out / "results.csv").read_text())))
    table = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (out / "table.md").read_text().splitlines()
        if line.startswith("|")
    ]
    assert len({len(row) for row in table}) == 1
    rows = [
        (pipeline, key, row) for pipeline in result.pipelines for key, row in pipeline.rows.items()
    ]
    assert len(rows) == len(lines) == len(table) - 2 == 16
    for (pipeline, key, row), line, cells in zip(rows, lines, table[2:], strict=True):
        content = stored["pipelines"][pipeline.label]["rows"][key]
        assert (line["pipeline"], line["row"], cells[0]) == (pipeline.label, key, pipeline.label)
        assert content["miou"] == pytest.approx(row.scores.miou, abs=1e-6)
        assert float(line["miou"]) == content["miou"]
        assert cells[3].strip("*") == f"{100 * row.scores.miou:.1f}"
        assert content["iou"]["thing 18"] is None
        assert line["iou thing 18"] == ""


def test_what_is_not_installed_is_reported_among_the_versions(monkeypatch):
    """numba, where nothing asks for the dense CRF; the package itself in a copy of its sources."""
    installed = {"numpy": "2.0", "scipy": "1.9", "Pillow": "10"}

    def version(name):
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(text, "version", version)
    found = text.versions()
    assert list(found) == ["python", "c2am-plugin", "numpy", "scipy", "numba", "Pillow"]
    assert {name: found[name] for name in installed} == installed
    assert found["numba"] == found["c2am-plugin"] == "not installed"


def test_gains_are_not_measured_from_what_they_are_measured_from(made):
    with pytest.raises(ValueError, match="best threshold"):
        made[0].pipelines[0].class_gains(NAMES, "cam_best")


def test_pictures_are_chosen_by_gain(made):
    result, _ = made
    pipeline = result.pipelines[0]
    gains = dict(zip(result.image_ids, pipeline.image_gains, strict=True))
    chosen = choose_pictures(pipeline, result.image_ids, 2, ["c"])
    assert chosen == choose_pictures(pipeline, result.image_ids, 2, ["c"])
    assert chosen["c"].startswith("chosen")
    best = max(gains, key=gains.get)
    assert chosen[best].startswith(("chosen", "best gain" if gains[best] > 0 else "worst"))
    assert all(gains[i] < 0 for i, why in chosen.items() if why.startswith("worst loss"))
    assert all(gains[i] > 0 for i, why in chosen.items() if why.startswith("best gain"))
    assert choose_pictures(pipeline, result.image_ids, 0) == {}
    assert set(choose_pictures(pipeline, result.image_ids, 99)) == set(result.image_ids)


def decode(uri):
    head, data = uri.split(",")
    assert head.endswith(";base64")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_labels_keep_vocs_colours():
    label = np.zeros((4, 6), np.uint8)
    label[:2, :3], label[2:, 3:] = 15, 255
    pixels = np.asarray(decode(label_picture(label)).convert("RGB"))
    assert pixels.shape == (4, 6, 3)
    assert pixels[0, 0].tolist() == palette()[15].tolist() == [192, 128, 128]
    assert pixels[3, 5].tolist() == [224, 224, 192]
    assert pixels[0, 5].tolist() == [0, 0, 0]


def test_cues_are_white_where_the_foreground_is():
    cue = np.ones((5, 6), np.float32)
    cue[:, :3] = 0
    pixels = np.asarray(decode(cue_picture(cue)))
    assert (pixels[:, :3] == 255).all()
    assert (pixels[:, 3:] == 0).all()


def test_heat_is_the_highest_cam_and_large_pictures_shrink():
    maps = np.zeros((2, 400, 800), np.float32)
    maps[1, :, 400:] = 1
    picture = decode(heat_picture(maps, None)).convert("RGB")
    assert picture.size == (SIDE, SIDE // 2)
    pixels = np.asarray(picture).astype(int)
    assert np.abs(pixels[:, : SIDE // 2 - 8] - HEAT[0]).max() < 12
    assert np.abs(pixels[:, SIDE // 2 + 8 :] - HEAT[-1]).max() < 12
    none = decode(heat_picture(np.zeros((0, 4, 4), np.float32), None)).convert("RGB")
    assert np.asarray(none).max() < 12


@pytest.mark.parametrize("name", report.NAMES)
def test_every_curve_has_a_colour_in_both_schemes(name):
    styles = (Path(text.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
    assert styles.count(f"--{name}: #") == 2
    for use in (f".key-{name} {{", f".line-{name} {{", f".dot-{name} {{"):
        assert styles.count(use) == 1
