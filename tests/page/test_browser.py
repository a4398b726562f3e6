"""The page of a refinement in Chromium: its script, its width on a phone, its dark colours."""

from __future__ import annotations

import numpy as np
import pytest
from browser import Browser
from html_page import Page
from PIL import Image
from small_files import write_png

from c2am_plugin import refine_cams, show_refinement

pytestmark = pytest.mark.slow


@pytest.fixture
def page(make_set, tmp_path):
    """The path of a page of eight images with up to three classes each."""
    ids = [f"image_{name}" for name in "abcdefgh"]
    cams, cues = make_set("psa", ids=ids)
    refine_cams(cams, cues, tmp_path / "out", method="psa", calibrate="on", progress=False)
    rng = np.random.default_rng(3)
    for image_id in ids:
        write_png(tmp_path / "photos" / f"{image_id}.png", rng.integers(0, 256, (24, 32, 3)))
    folders = cams, cues, tmp_path / "out", tmp_path / "photos"
    return show_refinement(*folders, tmp_path / "page", pictures=3, progress=False).page


def test_the_script_adds_controls_and_changes_nothing_else(page, tmp_path):
    source = page.read_text(encoding="utf-8")
    before = Page(source)
    after = Page(Browser(tmp_path).dom(source).replace("<!DOCTYPE html>", "<!doctype html>"))
    count = before.tags.count("article")
    assert count == 8
    assert after.tags.count("article") == count
    assert before.tags.count("button") == 0
    assert after.tags.count("button") == 7  # one for each column
    assert "hidden" in dict(before.elements)["form"]
    assert "hidden" not in dict(after.elements)["form"]
    assert f"{count} of {count} images" in after.text


def test_images_are_filtered_by_class_and_sorted(page, tmp_path):
    browser, source = Browser(tmp_path), page.read_text(encoding="utf-8")
    choose = (
        "(() => { const f = document.forms[0]; f.elements['class'].value = '0'; "
        "f.elements['order'].value = 'most'; f.dispatchEvent(new Event('change')); "
        "return [...document.querySelectorAll('article:not([hidden])')]"
        ".map(each => each.dataset.classes.split(' ').includes('0') + ':' + each.dataset.changed)"
        ".join('|'); })()"
    )
    shown = [each.split(":") for each in browser.value(source, choose).split("|")]
    assert 0 < len(shown) < 8
    assert all(has == "true" for has, _ in shown)
    changes = [float(change) for _, change in shown]
    assert changes == sorted(changes, reverse=True)


def test_a_table_is_sorted_by_its_buttons(page, tmp_path):
    browser, source = Browser(tmp_path), page.read_text(encoding="utf-8")
    press = (
        "(() => { const b = document.querySelectorAll('table.sortable button')[3]; b.focus(); "
        "b.click(); return [document.activeElement === b, b.parentElement.ariaSort, "
        "...[...document.querySelectorAll('table.sortable tbody tr')]"
        ".map(each => each.cells[3].textContent)].join('|'); })()"
    )
    focused, order, *values = browser.value(source, press).split("|")
    assert (focused, order) == ("true", "ascending")
    assert len(values) > 3
    assert [float(each) for each in values] == sorted(float(each) for each in values)


def test_a_phone_needs_no_sideways_scrolling(page, tmp_path):
    wide = Browser(tmp_path).value(
        page.read_text(encoding="utf-8"),
        "[innerWidth, document.documentElement.scrollWidth].join()",
        width=390,
    )
    inner, content = map(int, wide.split(","))
    assert content <= inner <= 500


@pytest.mark.parametrize("dark", [False, True])
def test_it_looks_light_or_dark_as_the_reader_wants(page, tmp_path, dark):
    target = tmp_path / "shot.png"
    Browser(tmp_path).screenshot(page, target, 390, 1500, dark)
    pixels = np.asarray(Image.open(target).convert("L")).astype(float)
    assert (np.median(pixels) < 60) == dark
    assert pixels.std() > 20  # it is not empty
