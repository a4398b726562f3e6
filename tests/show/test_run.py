"""show_refinement: what the page and its numbers say, for which layouts, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from html_page import Page
from small_files import write_png

from c2am_plugin import InputError, OutputError, get_adapter, pseudo_label, refine_cams
from c2am_plugin.cli import refine_main, show_main
from c2am_plugin.page.panels import Panel, within
from c2am_plugin.show.run import show_refinement
from c2am_plugin.show.statistics import choose

IDS = ("a", "b", "c", "d", "e", "f", "g", "h")
NAMES = ("background", "<b>cat & dog</b>", *(f"thing {i}" for i in range(19)))


@pytest.fixture
def refined(make_set, tmp_path):
    """refined(method, **options) → (cam_dir, cue_dir, refined_dir, photos), all there."""

    def make(method="psa", ids=IDS, **options):
        rng = np.random.default_rng(3)
        cams, cues = make_set(method, ids=ids)
        out = tmp_path / f"{cams.name}_c2am"
        refine_cams(cams, cues, out, method=method, progress=False, workers=1, **options)
        for image_id in ids:
            write_png(tmp_path / "photos" / f"{image_id}.png", rng.integers(0, 256, (24, 32, 3)))
        return cams, cues, out, tmp_path / "photos"

    return make


def shown(folders, tmp_path, **options):
    result = show_refinement(
        *folders, tmp_path / "page", **{"progress": False, "workers": 1, **options}
    )
    return result, Page(result.page.read_text(encoding="utf-8"))


def labels_of(cams, refined, method, image_id):
    adapter, both = get_adapter(method), []
    for folder in (cams, refined):
        read = adapter.parse(adapter.load(folder / f"{image_id}.npy"), image_id)
        both.append(pseudo_label(read.maps, read.class_ids, adapter.background_score))
    return both


@pytest.mark.slow
@pytest.mark.parametrize("method", ["psa", "puzzlecam", "advcam"])
def test_the_numbers_are_those_of_the_labels(refined, tmp_path, method):
    folders = refined(method, calibrate="on")
    result, _ = shown(folders, tmp_path)
    pairs = {image_id: labels_of(folders[0], folders[2], method, image_id) for image_id in IDS}
    changed = {image_id: (one != other).mean() for image_id, (one, other) in pairs.items()}
    assert result.changed == pytest.approx(np.mean(list(changed.values())))
    for each in result.classes:
        mine = [pair for pair in pairs.values() if (pair[0] == each.class_id + 1).any()]
        assert each.images >= len(mine)
        pixels = each.images * 24 * 32
        for side, share in enumerate((each.before, each.after)):
            count = sum((pair[side] == each.class_id + 1).sum() for pair in pairs.values())
            assert share == pytest.approx(count / pixels)
    with open(result.page.with_name("images.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["image"]: float(row["changed"]) for row in rows} == pytest.approx(changed, abs=1e-4)
    assert [row["image"] for row in rows] == sorted(IDS, key=lambda i: (-changed[i], i))
    most = [i for i, why in result.shown.items() if why == "most changed"]
    assert min(changed[i] for i in most) >= max(changed[i] for i in IDS if i not in most)


@pytest.mark.slow
def test_the_page_tells_how_the_cues_were_calibrated(refined, tmp_path):
    folders = refined(calibrate="on")
    _, page = shown(folders, tmp_path)
    settings = json.loads((tmp_path / "cams_c2am.c2am-refine.json").read_text())["settings"]
    share = round(100 * settings["calibrated"]["accuracy"])
    assert f"They side with {share} % of the pixels" in page.text
    assert "t = 0.2 is the constant of psa." in page.text
    assert page.tags.count("svg") == 1
    assert "warnings 0 none" in page.text


@pytest.mark.slow
def test_warnings_and_a_given_score_are_reported_in_words(refined, tmp_path):
    folders = refined(flip_cues=True, background_score=0.3)
    result, page = shown(folders, tmp_path)
    assert any("polarity looks wrong" in line for line in result.warnings)
    assert f"warnings {len(result.warnings)} see below" in page.text
    assert "polarity looks wrong; flip_cues=True flips it" in page.text  # as code, not in quotes
    assert "were not calibrated" in page.text
    assert "t = 0.3 was given, or found on other images; psa has 0.2" in page.text


@pytest.mark.slow
def test_pictures_by_kind_and_by_name(refined, tmp_path):
    folders = refined()
    result, page = shown(folders, tmp_path, pictures=1, show=["c", "c"])
    assert next(iter(result.shown)) == "c"
    assert sorted(result.shown.values())[:1] == ["at random"]
    assert len(result.shown) in (3, 4)
    images = [attrs["alt"] for tag, attrs in page.elements if tag == "img"]
    assert len(images) == 6 * len(result.shown)
    assert any(alt.startswith("label after of c: ") for alt in images)
    assert len(shown(folders, tmp_path, pictures=0)[0].shown) == 0
    assert set(shown(folders, tmp_path, pictures=99)[0].shown) == set(IDS)


def test_what_the_user_named_is_escaped(refined, tmp_path):
    ids = ("<i>a", "b&c", 'd"e', "f'g")
    folders = refined(ids=ids)
    result, page = shown(folders, tmp_path, classes=NAMES)
    assert set(result.shown) == set(ids)
    assert "<b>cat & dog</b>" in page.text
    assert "b" not in page.tags
    names = [attrs["data-name"] for _, attrs in page.elements if "data-name" in attrs]
    assert sorted(names) == sorted(ids)


@pytest.mark.slow
def test_labels_as_written_are_shown_beside(refined, tmp_path):
    folders = refined(labels=tmp_path / "labels")
    _, page = shown(folders, tmp_path, labels=tmp_path / "labels", pictures=1)
    assert page.text.count("label as written") == page.text.count("label before")


def test_images_without_a_cue_or_a_class(make_set, tmp_path, refined):
    cams, cues = make_set("psa")
    (cues / "a.png").unlink()
    np.save(cams / "b.npy", {})
    refine_cams(cams, cues, tmp_path / "out", method="psa", missing="keep", progress=False)
    rng = np.random.default_rng(0)
    for image_id in "abcd":
        write_png(tmp_path / "photos" / f"{image_id}.png", rng.integers(0, 256, (24, 32, 3)))
    result, page = shown((cams, cues, tmp_path / "out", tmp_path / "photos"), tmp_path)
    assert set(result.shown) == set("abcd")
    assert "cue, white = foreground of a" not in {a.get("alt") for _, a in page.elements}
    assert result.failures == {}


@pytest.mark.slow
def test_a_page_is_not_refined_again_and_not_over_somebody_elses_file(refined, tmp_path):
    folders = refined()
    first = shown(folders, tmp_path)[0].page.read_bytes()
    assert shown(folders, tmp_path)[0].page.read_bytes() == first
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.html").write_text("mine")
    with pytest.raises(OutputError, match="no c2am-show run wrote"):
        show_refinement(*folders, other, progress=False)
    assert (other / "report.html").read_text() == "mine"
    show_refinement(*folders, other, progress=False, overwrite=True)
    assert (other / "report.html").read_text() != "mine"


# --- what is refused ------------------------------------------------------------------------------


def refused(folders, tmp_path, match, **options):
    with pytest.raises(InputError, match=match) as caught:
        shown(folders, tmp_path, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "page").exists()


@pytest.mark.slow
def test_cams_of_another_folder_are_refused(refined, tmp_path):
    cams, cues, out, photos = refined()
    other = tmp_path / "other_cams"
    shutil.copytree(cams, other)
    refused((other, cues, out, photos), tmp_path, "was refined from .*cams, not from .*other_cams")
    shutil.copytree(cues, tmp_path / "other_cues")
    refused((cams, tmp_path / "other_cues", out, photos), tmp_path, "give that folder as `cue_dir`")
    cams.rename(tmp_path / "moved")  # as a data set that is on another disk now
    assert shown((tmp_path / "moved", cues, out, photos), tmp_path)[0].failures == {}


@pytest.mark.parametrize("how", ["classes", "size", "values"])
def test_refined_cams_of_other_cams_are_refused(refined, tmp_path, how):
    cams, cues, out, photos = refined()
    for path in cams.iterdir():
        content = np.load(path, allow_pickle=True).item()
        if how == "classes":
            content = {key + 1: value for key, value in content.items()}
        elif how == "size":
            content = {key: value[:-1] for key, value in content.items()}
        else:
            content = {key: value * (value > 0.9) for key, value in content.items()}
        np.save(path, content)
    refused((cams, cues, out, photos), tmp_path, "expected the refined CAMs|from other CAMs")


def test_a_folder_that_was_not_refined_is_refused(refined, tmp_path):
    cams, cues, out, photos = refined()
    refused((cams, cues, cams, photos), tmp_path, "expected the output folder of c2am-refine")
    record = tmp_path / "cams_c2am.c2am-refine.json"
    record.write_text('{"settings": {}}')
    refused((cams, cues, out, photos), tmp_path, "does not contain background_score, cam_dir")


def test_missing_photographs_and_ids(refined, tmp_path):
    cams, cues, out, photos = refined()
    refused((cams, cues, out, tmp_path / "none"), tmp_path, "none: no such folder")
    write_png(tmp_path / "others" / "z1.png", np.zeros((24, 32, 3)))
    refused((cams, cues, out, tmp_path / "others"), tmp_path, "no photograph of these CAMs: a here")
    refused((cams, cues, out, photos), tmp_path, "cannot show x: no refined CAMs", show=["x"])
    (photos / "b.png").unlink()
    refused((cams, cues, out, photos), tmp_path, "cannot show b: no photograph", show=["b"])
    result, _ = shown((cams, cues, out, photos), tmp_path, pictures=9)
    assert set(result.shown) == set(IDS) - {"b"}
    assert set(result.images) == set(IDS)


def test_no_image_in_common(refined, tmp_path):
    cams, cues, out, photos = refined()
    for path in list(out.iterdir()):
        path.rename(out / f"x{path.name}")
    refused((cams, cues, out, photos), tmp_path, "no image of .*_c2am has CAMs in")


def test_a_photograph_of_another_shape_is_listed(refined, tmp_path):
    cams, cues, out, photos = refined()
    write_png(photos / "a.png", np.zeros((32, 24, 3)))
    result, page = shown((cams, cues, out, photos), tmp_path, show=["a"])
    assert "24×32 pixels and its CAMs 32×24" in result.failures["a"]
    assert "a" not in result.shown
    assert "24×32 pixels and its CAMs 32×24" in page.text


# --- the commands ---------------------------------------------------------------------------------


def test_the_command_and_the_option_of_refine_write_the_same_page(make_set, tmp_path, capsys):
    cams, cues = make_set("psa")
    for image_id in "abcd":
        write_png(tmp_path / "photos" / f"{image_id}.png", np.full((24, 32, 3), 99))
    folders = [str(each) for each in (cams, cues)]
    pictures = ["--images", str(tmp_path / "photos"), "--classes", "voc", "--quiet"]
    page = ["--method", "psa", "--page", str(tmp_path / "one")]
    assert refine_main([*folders, *pictures, *page]) == 0
    assert f", page to {tmp_path / 'one'} (report:" in capsys.readouterr().out.splitlines()[-1]
    assert show_main([*folders, f"{cams}_c2am", *pictures, "-o", str(tmp_path / "two")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"wrote {tmp_path}/two/report.html, images.csv; next: xdg-open {tmp_path}/two/report.html"
    )
    one, two = ((tmp_path / name / "report.html").read_bytes() for name in ("one", "two"))
    assert one == two
    assert "aeroplane" in Page(one.decode()).text


def test_refine_refuses_a_page_before_it_refines(make_set, tmp_path, capsys):
    cams, cues = make_set("psa")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "report.html").write_text("mine")
    write_png(tmp_path / "photos" / "a.png", np.zeros((24, 32, 3)))
    command = [str(cams), str(cues), "--images", str(tmp_path / "photos")]
    assert refine_main([*command, "--page", str(tmp_path / "page")]) == 1
    assert "no c2am-show run wrote" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "cams_c2am").exists()


def test_refine_refuses_what_its_page_cannot_show_before_it_refines(make_set, tmp_path, capsys):
    cams, cues = make_set("psa")
    for folder, name in (("photos", "a"), ("others", "x")):
        write_png(tmp_path / folder / f"{name}.png", np.zeros((24, 32, 3)))
    (tmp_path / "one").write_text("background\n")
    (tmp_path / "list").write_text("b\n")
    refused = {
        "contains no photograph of these CAMs": ["--images", "others"],
        "contains no photograph": ["--images", "photos", "--ids", "list"],
        "cannot be read as class names": ["--images", "photos", "--classes", "none"],
        "expected 2 to 255": ["--images", "photos", "--classes", "one"],
    }
    for message, options in refused.items():
        words = [each if each.startswith("--") else str(tmp_path / each) for each in options]
        command = [str(cams), str(cues), "--page", str(tmp_path / "page"), *words]
        assert refine_main(command) == 1
        assert message in capsys.readouterr().err.splitlines()[-1]
        assert not (tmp_path / "cams_c2am").exists()
        assert not (tmp_path / "page").exists()


# --- parts ----------------------------------------------------------------------------------------


def test_a_page_stays_small():
    panels = {name: [Panel("x", "u" * 40)] for name in "abcd"}
    shown, left_out = within("abcd", panels.__getitem__, most=100)
    assert [name for name, _ in shown] == ["a", "b"]
    assert left_out == 2


@pytest.mark.slow
def test_the_choice_is_the_same_each_time(refined, tmp_path):
    result, _ = shown(refined(), tmp_path, pictures=2)
    again, _ = shown(
        (tmp_path / "cams", tmp_path / "cues", tmp_path / "cams_c2am", tmp_path / "photos"),
        tmp_path,
        pictures=2,
    )
    assert result.shown == again.shown
    assert list(result.shown.values()).count("at random") == 2
    assert choose([], 3) == {}
