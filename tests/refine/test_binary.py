"""Folders of binary CAMs, and of other scales: recognised, refined, written in their own scale."""

from __future__ import annotations

import numpy as np
import pytest
from small_files import write_png

from c2am_plugin.bench.evaluate import evaluate_cams
from c2am_plugin.errors import InputError
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.registry import choose_adapter

T = 0.15
SIZE = (40, 60)


def scene(seed):
    """(object, a CAM cut at t that covers it and much around it): bool H×W each."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(y - rng.uniform(15, 25), x - rng.uniform(20, 40))
    return distance < 9, distance < 15


def a_folder(tmp_path, peak, cue_of, count=8):
    for index in range(count):
        thing, cam = scene(index)
        (tmp_path / "cams").mkdir(exist_ok=True)
        content = {3: np.where(cam, np.float32(peak), np.float32(0))}
        np.save(tmp_path / "cams" / f"{index}.npy", content)
        write_png(tmp_path / "gt" / f"{index}.png", thing * 4)
        cue = np.rint(255 * cue_of(thing, np.random.default_rng(index)))
        write_png(tmp_path / "cues" / f"{index}.png", cue)


def soft(thing, rng):
    return np.clip(0.3 + 0.4 * thing + rng.normal(0, 0.05, SIZE), 0, 1)


def noise(thing, rng):
    return rng.random(SIZE)


def hard(thing, rng):
    return thing.astype(float)


def run(tmp_path, **options):
    return refine_cams(
        tmp_path / "cams", tmp_path / "cues", method="sc_cam", progress=False, **options
    )


def loaded(folder, index=0):
    return np.load(folder / f"{index}.npy", allow_pickle=True).item()


def miou(tmp_path, folder, **options):
    (found,) = evaluate_cams(
        tmp_path / folder, tmp_path / "gt", method="sc_cam", thresholds=[T], progress=False
    )
    return found.miou


@pytest.mark.parametrize("peak", [1, 255])
def test_soft_cues_improve_binary_cams_and_the_scale_stays(tmp_path, peak, caplog):
    a_folder(tmp_path, peak, soft)
    run(tmp_path)
    assert "before they are saved" in caplog.text
    assert miou(tmp_path, "cams_c2am") > miou(tmp_path, "cams") + 0.1
    after = loaded(tmp_path / "cams_c2am")
    assert [type(key) for key in after] == [int]
    assert after[3].dtype == np.float32
    assert after[3].max() <= peak
    if peak == 255:
        assert set(np.unique(after[3])) == {0, 255}
        # The pipeline's own comparison with t, and one with 255·t, see the same label.
        np.testing.assert_array_equal(after[3] > T, after[3] > 255 * T)


@pytest.mark.parametrize("peak", [1, 255])
def test_useless_cues_change_no_byte(tmp_path, peak):
    a_folder(tmp_path, peak, noise)
    run(tmp_path)
    for index in range(8):
        before, after = (loaded(tmp_path / name, index)[3] for name in ("cams", "cams_c2am"))
        changed = np.count_nonzero((before > 0) != (after > T))
        assert changed == 0


@pytest.mark.parametrize("peak", [1, 255])
def test_hard_cues_give_the_papers_labels(tmp_path, peak):
    a_folder(tmp_path, peak, hard)
    run(tmp_path)
    for index in range(8):
        thing, cam = scene(index)
        np.testing.assert_array_equal(loaded(tmp_path / "cams_c2am", index)[3] > T, cam & thing)


def test_other_scales_are_refused_and_read_where_they_are_given(tmp_path):
    a_folder(tmp_path, 1, soft)
    for index in range(8):
        content = {3: (loaded(tmp_path / "cams", index)[3] * 70 + index).astype(np.float32)}
        np.save(tmp_path / "cams" / f"{index}.npy", content)
    with pytest.raises(InputError, match=r"above 1.*scale"):
        run(tmp_path)
    run(tmp_path, scale_by=100)
    after = loaded(tmp_path / "cams_c2am", 5)[3]
    assert after.dtype == np.float32
    assert 1 < after.max() <= 100
    with pytest.raises(InputError, match="scale_by is -1"):
        run(tmp_path, scale_by=-1, overwrite=True)


def test_softmax_maps_of_two_classes_are_distinguished_from_crf_dumps(tmp_path, caplog):
    layer = np.random.default_rng(0).random((6, 8)).astype("f4")
    for folder in ("cams", "out_la_crf"):
        (tmp_path / folder).mkdir()
        for index in range(4):
            np.save(tmp_path / folder / f"{index}.npy", {0: layer, 1: 1 - layer})
    paths = {name: sorted((tmp_path / name).iterdir()) for name in ("cams", "out_la_crf")}
    for method, folder, accepted in (
        ("psa", "cams", True),
        ("auto", "cams", False),
        ("psa", "out_la_crf", False),
    ):
        adapter = choose_adapter(method, paths[folder])
        content = adapter.load(paths[folder][0])
        if accepted:
            assert adapter.parse(content, "a").class_ids.tolist() == [0, 1]
        else:
            with pytest.raises(InputError, match="CRF dump"):
                adapter.parse(content, "a")
    assert "every file has key 0" in caplog.text
    # Files without key 0 in the same folder: class 0 is a class.
    np.save(tmp_path / "cams" / "other.npy", {5: layer})
    adapter = choose_adapter("auto", sorted((tmp_path / "cams").iterdir()))
    assert adapter.parse(adapter.load(paths["cams"][0]), "a").class_ids.tolist() == [0, 1]


def test_maps_under_an_unknown_key_are_refused_with_the_layout_that_fits(tmp_path):
    maps = np.ones((1, 6, 8), "f4")
    np.save(tmp_path / "a.npy", {"keys": np.array([0]), "attn": maps})
    for method in ("advcam", "puzzlecam"):
        with pytest.raises(InputError, match="attn"):
            choose_adapter(method, [tmp_path / "a.npy"])
    np.save(tmp_path / "a.npy", {"keys": np.array([0, 4]), "hr_cam": maps})
    with pytest.raises(InputError, match=r"hr_cam.*fits `method=puzzlecam`"):
        choose_adapter("advcam", [tmp_path / "a.npy"])
