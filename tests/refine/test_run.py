"""refine_cams on folders: the labels, what is skipped, refused, kept, and what is reported."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from adapter_contract import consumed, paper_label, shrunk, stored
from PIL import Image
from small_files import contents, write_png

from c2am_plugin.cams import ImageCams
from c2am_plugin.cli.refine import _refine_parser
from c2am_plugin.errors import C2AMError, InputError, OutputError
from c2am_plugin.files.cues import read_cue, resize_cue
from c2am_plugin.files.labels import read_label
from c2am_plugin.refine.run import refine_cams, refine_image
from c2am_plugin.registry import get_adapter

METHODS = ("psa", "sc_cam", "seam", "puzzlecam", "advcam")
NAMES = ("1e5", "000000000030", "a.b.c", "with space", "größe", "val/0001", "val/x/2")


def run(cam_dir, cue_dir, out=None, **options):
    return refine_cams(cam_dir, cue_dir, out, progress=False, **{"workers": 1, **options})


def record(out):
    return json.loads(out.with_name(out.name + ".c2am-refine.json").read_text())


# --- what comes out -----------------------------------------------------------------------------


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_labels_of_the_pipeline_and_the_pngs_are_the_papers(make_set, tmp_path, method, hard):
    cam_dir, cue_dir = make_set(method)
    if hard:
        for path in cue_dir.iterdir():
            write_png(path, (np.asarray(Image.open(path)) > 100) * 255)
    out, labels = tmp_path / "out", tmp_path / "labels"
    report = run(cam_dir, cue_dir, out, method=method, labels=labels)
    adapter = get_adapter(method)
    assert (report.refined, report.failures, report.background_score) == (
        4,
        {},
        adapter.background_score,
    )
    for path in sorted(cam_dir.iterdir()):
        cams = adapter.parse(adapter.load(path), path.stem)
        expected = paper_label(cams.class_ids, cams.maps, read_cue(cue_dir / f"{path.stem}.png"))
        np.testing.assert_array_equal(read_label(labels / f"{path.stem}.png"), expected)
        label = consumed(method, out / path.name, adapter.background_score)
        np.testing.assert_array_equal(label, expected)
        assert len(np.unique(expected)) > 1


@pytest.mark.parametrize("method", METHODS)
def test_auto_finds_the_format(make_set, tmp_path, method):
    cam_dir, cue_dir = make_set(method)
    chosen = "psa" if method in ("sc_cam", "seam") else method
    assert run(cam_dir, cue_dir, tmp_path / "out").method == chosen


def test_names_of_all_kinds_keep_their_folders(make_set, tmp_path):
    cam_dir, cue_dir = make_set(ids=NAMES)
    out, labels = tmp_path / "out", tmp_path / "labels"
    assert run(cam_dir, cue_dir, out, labels=labels).refined == len(NAMES)
    assert set(contents(out)) == {f"{name}.npy" for name in NAMES}
    assert set(contents(labels)) == {f"{name}.png" for name in NAMES}


def test_the_input_is_never_changed(make_set, tmp_path):
    cam_dir, cue_dir = make_set("advcam")
    before = contents(cam_dir), contents(cue_dir)
    run(cam_dir, cue_dir, tmp_path / "out", labels=tmp_path / "labels")
    assert (contents(cam_dir), contents(cue_dir)) == before


@pytest.mark.parametrize("link", [False, True])
def test_the_default_output_is_a_sibling(make_set, tmp_path, monkeypatch, link):
    cam_dir, cue_dir = make_set()
    if link:
        (tmp_path / "deep").mkdir()
        cam_dir = cam_dir.rename(tmp_path / "deep" / "real")
        (tmp_path / "cams").symlink_to(cam_dir)
    assert run(tmp_path / "cams", cue_dir).out_dir == str(tmp_path / "cams_c2am")
    monkeypatch.chdir(tmp_path)
    assert run("cams/", "cues").already_there == 4
    monkeypatch.chdir(tmp_path / "cams" if not link else cue_dir)
    if not link:
        assert run(".", "../cues").already_there == 4
        assert run("../cams", cue_dir).already_there == 4


def test_a_cue_of_t_leaves_files_that_read_the_same(make_set, tmp_path):
    cam_dir, cue_dir = make_set("puzzlecam")
    for path in cue_dir.iterdir():
        write_png(path, np.full((24, 32), 204))
    run(cam_dir, cue_dir, tmp_path / "out", calibrate="off")
    for path in sorted(cam_dir.iterdir()):
        before, after = (
            np.load(file, allow_pickle=True).item() for file in (path, tmp_path / "out" / path.name)
        )
        np.testing.assert_array_equal(before["hr_cam"], after["hr_cam"])
        np.testing.assert_array_equal(before["cam"], after["cam"])


def test_strength_threshold_and_flip_arrive(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    flipped = tmp_path / "flipped"
    for path in cue_dir.iterdir():
        write_png(flipped / path.name, 255 - np.asarray(Image.open(path)))
    plain = run(cam_dir, cue_dir, tmp_path / "plain")
    run(cam_dir, flipped, tmp_path / "again", flip_cues=True)
    for name, data in contents(tmp_path / "plain").items():
        one, other = (
            np.load(tmp_path / f / name, allow_pickle=True).item() for f in ("plain", "again")
        )
        for key in one:
            np.testing.assert_allclose(one[key], other[key], atol=1e-5)
        assert data != (cam_dir / name).read_bytes()
    run(cam_dir, cue_dir, tmp_path / "none", strength=0)
    for path in cam_dir.iterdir():
        one, other = (
            np.load(f / path.name, allow_pickle=True).item() for f in (cam_dir, tmp_path / "none")
        )
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
    high = run(cam_dir, cue_dir, tmp_path / "high", background_score=np.float32(0.5))
    assert high.background_score == 0.5
    assert contents(tmp_path / "high") != contents(tmp_path / "plain")
    assert plain.foreground_before > high.foreground_before


def test_a_cue_of_another_size_is_brought_to_both_sizes():
    rng = np.random.default_rng(0)
    maps = rng.random((2, 24, 32), np.float32)
    cams = ImageCams("a", [3, 5], maps, shrunk(maps))
    cue = rng.random((48, 64), np.float32)
    refined = refine_image(cams, cue, 0.2)
    for before, after in ((cams.maps, refined.maps), (cams.strided, refined.strided)):
        small = resize_cue(cue, before.shape[1:])
        expected = paper_label([3, 5], before, small)
        t = np.full(small.shape, 0.2, np.float32)
        np.testing.assert_array_equal(paper_label([3, 5], after, t), expected)


# --- again, and in parallel ---------------------------------------------------------------------


@pytest.mark.slow
def test_workers_do_not_change_a_byte(make_set, tmp_path):
    cam_dir, cue_dir = make_set("puzzlecam", ids=[f"{index:02d}" for index in range(9)])
    results = []
    for workers in (1, 2, 5):
        out, labels = tmp_path / f"out{workers}", tmp_path / f"labels{workers}"
        run(cam_dir, cue_dir, out, labels=labels, workers=workers)
        results.append((contents(out), contents(labels)))
    assert results[0] == results[1] == results[2]
    assert len(results[0][0]) == len(results[0][1]) == 9


def test_a_second_run_does_only_what_is_missing(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    out, labels = tmp_path / "out", tmp_path / "labels"
    run(cam_dir, cue_dir, out, labels=labels)
    whole = contents(out), contents(labels)
    (out / "a.npy").unlink()
    (labels / "b.png").unlink()
    kept = (out / "c.npy").stat()
    (out / ".d.npy.123.c2am-tmp").write_bytes(b"half")
    report = run(cam_dir, cue_dir, out, labels=labels, workers=2)
    assert (report.refined, report.already_there) == (2, 2)
    assert (contents(out), contents(labels)) == whole
    assert (out / "c.npy").stat().st_mtime_ns == kept.st_mtime_ns
    report = run(cam_dir, cue_dir, out, labels=labels)
    assert (report.refined, report.already_there) == (0, 4)
    assert "refined 0 images" in report.summary()


def test_labels_may_come_later(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    out = tmp_path / "out"
    run(cam_dir, cue_dir, out)
    before = contents(out)
    assert run(cam_dir, cue_dir, out, labels=tmp_path / "labels").refined == 4
    assert contents(out) == before


@pytest.mark.parametrize(
    "change",
    [{"strength": 0.5}, {"background_score": 0.3}, {"flip_cues": True}, {"method": "seam"}],
)
def test_other_settings_are_refused_and_overwrite_replaces(make_set, tmp_path, change):
    cam_dir, cue_dir = make_set()
    out = tmp_path / "out"
    run(cam_dir, cue_dir, out)
    before = contents(out)
    with pytest.raises(OutputError, match=rf"{next(iter(change))}.*`overwrite=True`"):
        run(cam_dir, cue_dir, out, **change)
    assert contents(out) == before
    assert run(cam_dir, cue_dir, out, overwrite=True, **change).refined == 4
    assert contents(out) != before
    assert set(contents(out)) == set(before)


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_is_removed_where_the_labels_are_refused(make_set, tmp_path, overwrite):
    """The labels folder holds a label of other settings that this run would not replace."""
    cam_dir, cue_dir = make_set()
    out, labels = tmp_path / "out", tmp_path / "labels"
    run(cam_dir, cue_dir, out, labels=labels)
    shutil.copy(labels / "a.png", labels / "other.png")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"labels|out"):
        run(cam_dir, cue_dir, out, labels=labels, strength=0.5, overwrite=overwrite)
    assert contents(tmp_path) == before


def test_files_of_somebody_else_are_safe(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.npy").write_bytes(b"precious")
    (out / "notes.txt").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"a\.npy"):
        run(cam_dir, cue_dir, out)
    assert contents(out) == {"a.npy": b"precious", "notes.txt": b"precious"}
    run(cam_dir, cue_dir, out, overwrite=True)
    assert contents(out)["notes.txt"] == b"precious"
    assert len(contents(out)["a.npy"]) > 100


def test_two_folders_may_be_refined_at_once(make_set, tmp_path):
    sets = [make_set(name=f"cams{index}", seed=index) for index in range(3)]
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(run, cam_dir, cue_dir) for cam_dir, cue_dir in sets]
    assert [job.result().refined for job in jobs] == [4, 4, 4]


# --- what is missing ----------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["keep", "skip"])
def test_images_without_a_cue(make_set, tmp_path, missing):
    cam_dir, cue_dir = make_set("advcam")
    (cue_dir / "b.png").unlink()
    with pytest.raises(InputError, match=r"1 of 4 images have no cue .*\(b\)"):
        run(cam_dir, cue_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    out, labels = tmp_path / "out", tmp_path / "labels"
    report = run(cam_dir, cue_dir, out, missing=missing, labels=labels)
    assert report.refined == 3
    assert (report.kept_unchanged, report.left_out) == ((1, 0) if missing == "keep" else (0, 1))
    assert (out / "b.npy").exists() == (missing == "keep")
    if missing == "keep":
        assert (out / "b.npy").read_bytes() == (cam_dir / "b.npy").read_bytes()
        expected = consumed("advcam", cam_dir / "b.npy", 0.15)
        np.testing.assert_array_equal(read_label(labels / "b.png"), expected)


def test_images_without_a_class_are_all_background(make_set, tmp_path):
    cam_dir, cue_dir = make_set("puzzlecam")
    np.save(cam_dir / "a.npy", {})
    np.save(cam_dir / "b.npy", {"keys": np.array([0])})
    out, labels = tmp_path / "out", tmp_path / "labels"
    report = run(cam_dir, cue_dir, out, labels=labels)
    assert (report.refined, report.without_class, report.failures) == (4, 2, {})
    for name in "ab":
        assert not read_label(labels / f"{name}.png").any()
        assert read_label(labels / f"{name}.png").shape == (24, 32)
        before, after = (
            np.load(f / f"{name}.npy", allow_pickle=True).item() for f in (cam_dir, out)
        )
        assert before.keys() == after.keys()


def test_no_class_and_no_cue_leaves_the_size_of_the_label_unknown(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    np.save(cam_dir / "a.npy", {})
    (cue_dir / "a.png").unlink()
    report = run(cam_dir, cue_dir, tmp_path / "out", missing="keep", labels=tmp_path / "labels")
    assert list(report.failures) == ["a"]
    assert "unknown" in report.failures["a"]
    assert run(cam_dir, cue_dir, tmp_path / "out2", missing="keep").failures == {}


# --- what goes wrong ----------------------------------------------------------------------------


def spoil(cam_dir, cue_dir, name, how):
    if how == "text":
        (cam_dir / f"{name}.npy").write_text("not an array")
    elif how == "cut":
        data = (cam_dir / f"{name}.npy").read_bytes()
        (cam_dir / f"{name}.npy").write_bytes(data[: len(data) // 2])
    elif how == "code":
        np.save(cam_dir / f"{name}.npy", {1: os.system})
    elif how == "nan":
        maps = np.full((1, 24, 32), np.nan, np.float32)
        np.save(cam_dir / f"{name}.npy", stored("psa", [1], maps, shrunk(maps)))
    elif how == "cue":
        (cue_dir / f"{name}.png").write_bytes(b"\x89PNG no")
    elif how == "shape":
        write_png(cue_dir / f"{name}.png", np.zeros((32, 24)))


SPOILT = {
    "text": "a text file",
    "cut": "truncated",
    "code": "asks for posix.system",
    "nan": "768 NaN",
    "cue": "cannot be read as a cue",
    "shape": r"24×32 .*32×24",
}


@pytest.mark.parametrize("name", ["a", "d"])
@pytest.mark.parametrize("how", SPOILT)
def test_a_bad_file_is_listed_and_does_not_stop_the_run(make_set, tmp_path, how, name):
    cam_dir, cue_dir = make_set()
    good = tmp_path / "good"
    run(cam_dir, cue_dir, good)
    spoil(cam_dir, cue_dir, name, how)
    report = run(cam_dir, cue_dir, tmp_path / "out", workers=2)
    assert report.refined == 3
    assert list(report.failures) == [name]
    message = report.failures[name]
    assert re.search(SPOILT[how], message)
    folder = cue_dir if how in ("cue", "shape") else cam_dir
    assert message.startswith(str(folder / name))
    assert len(message.splitlines()) == 1
    expected = {key: data for key, data in contents(good).items() if key != f"{name}.npy"}
    assert contents(tmp_path / "out") == expected
    assert record(tmp_path / "out")["report"]["failures"] == report.failures


def test_a_mended_file_is_done_by_the_next_run(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    data = (cam_dir / "a.npy").read_bytes()
    spoil(cam_dir, cue_dir, "a", "cut")
    assert list(run(cam_dir, cue_dir, tmp_path / "out").failures) == ["a"]
    (cam_dir / "a.npy").write_bytes(data)
    report = run(cam_dir, cue_dir, tmp_path / "out")
    assert (report.refined, report.already_there, report.failures) == (1, 3, {})


def test_a_file_that_cannot_be_written_leaves_nothing_half(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    out = tmp_path / "out"
    (out / "b.npy").mkdir(parents=True)  # no file can be renamed onto it
    report = run(cam_dir, cue_dir, out)
    assert list(report.failures) == ["b"]
    assert len(report.failures["b"].splitlines()) == 1
    assert set(contents(out)) == {"a.npy", "c.npy", "d.npy"}


def test_clip_accepts_what_is_refused_else(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    spoil(cam_dir, cue_dir, "a", "nan")
    report = run(cam_dir, cue_dir, tmp_path / "out", clip=True)
    assert (report.refined, report.failures) == (4, {})
    for path in (tmp_path / "out").iterdir():
        for layer in np.load(path, allow_pickle=True).item().values():
            assert np.all((layer >= 0) & (layer <= 1))


def test_a_folder_of_crf_dumps_is_refused_with_the_one_that_is_wanted(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    for path in cam_dir.iterdir():
        layers = np.random.default_rng(0).random((3, 24, 32)).astype(np.float32)
        np.save(path, dict(enumerate(layers / layers.sum(axis=0))))
    with pytest.raises(InputError, match=r"CRF dump.*--out_cam"):
        run(cam_dir, cue_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mixed_formats_and_a_wrong_method_are_refused(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    maps = np.ones((1, 24, 32), np.float32)
    np.save(cam_dir / "c.npy", stored("advcam", [3], maps, shrunk(maps)))
    with pytest.raises(InputError, match=r"c\.npy: is not in dict format"):
        run(cam_dir, cue_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert list(run(cam_dir, cue_dir, tmp_path / "out", method="psa").failures) == ["c"]
    with pytest.raises(InputError, match="expected puzzlecam's keys"):
        run(cam_dir, cue_dir, tmp_path / "out2", method="puzzlecam")
    with pytest.raises(InputError, match="'other' is unknown"):
        run(cam_dir, cue_dir, tmp_path / "out3", method="other")


def test_outputs_among_the_inputs_are_refused(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    (tmp_path / "link").symlink_to(cam_dir)
    before = contents(tmp_path)
    for out in (cam_dir, cue_dir, cam_dir / "sub", tmp_path / "link", cam_dir / ".." / "cams"):
        with pytest.raises(InputError, match="input"):
            run(cam_dir, cue_dir, out, overwrite=True)
        with pytest.raises(InputError, match="input"):
            run(cam_dir, cue_dir, tmp_path / "out", labels=out, overwrite=True)
    with pytest.raises(InputError, match="separate folders"):
        run(cam_dir, cue_dir, tmp_path / "out", labels=tmp_path / "out")
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "options",
    [
        {"missing": "no"},
        {"background_score": 0},
        {"background_score": 1.5},
        {"strength": -1},
        {"strength": float("nan")},
        {"calibrate": "yes"},
        {"workers": 0},
        {"workers": -2},
        {"crf": True},
        {"ids": "none.txt"},
        {"ids": []},
    ],
    ids=str,
)
def test_bad_options_are_refused(make_set, tmp_path, options):
    cam_dir, cue_dir = make_set()
    with pytest.raises(InputError):
        run(cam_dir, cue_dir, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists() or not contents(tmp_path / "out")


def test_cues_that_fit_no_cam_stop_a_calibrated_run_before_it_writes(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    for path in cue_dir.iterdir():
        with Image.open(path) as image:
            turned = image.transpose(Image.Transpose.ROTATE_90)
        turned.save(path)
    with pytest.raises(InputError, match="the cue has 24×32 pixels and the CAM 32×24"):
        refine_cams(cam_dir, cue_dir, tmp_path / "out", calibrate="on", progress=False)
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    (tmp_path / "out").write_text("mine")
    for out in (tmp_path / "out", tmp_path / "out" / "sub"):
        with pytest.raises(C2AMError, match="out"):
            run(cam_dir, cue_dir, out)
    assert (tmp_path / "out").read_text() == "mine"


# --- what is said -------------------------------------------------------------------------------


def test_the_report_counts_and_is_stored_with_the_settings(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    write_png(cue_dir / "a.png", np.zeros((24, 32)))
    write_png(cue_dir / "b.png", np.full((24, 32), 255))
    report = run(cam_dir, cue_dir, tmp_path / "out")
    assert report.cues_all_background == ["a"]
    assert report.cues_all_foreground == ["b"]
    before = [consumed("psa", cam_dir / f"{name}.npy", 0.2) > 0 for name in "abcd"]
    after = [consumed("psa", tmp_path / "out" / f"{name}.npy", 0.2) > 0 for name in "abcd"]
    assert report.foreground_before == pytest.approx(np.mean(before))
    assert report.foreground_after == pytest.approx(np.mean(after))
    assert not after[0].any()
    stored_report = record(tmp_path / "out")
    assert stored_report["report"]["refined"] == 4
    assert stored_report["report"]["images_per_second"] > 0
    assert stored_report["settings"]["background_score"] == 0.2
    assert stored_report["settings"]["strength"] == 1
    assert f"{report.foreground_after:.1%}" in report.summary()


def test_the_function_and_the_command_have_the_same_options_and_defaults():
    parameters = inspect.signature(refine_cams).parameters
    defaults = vars(_refine_parser().parse_args(["CAMS", "CUES"]))
    for name in ("quiet", "log_json", "page", "classes"):  # the command's, and show_refinement's
        del defaults[name]
    assert set(parameters) - set(defaults) == {"progress", "threshold"}
    assert set(defaults) <= set(parameters)
    for name in set(defaults) - {"cam_dir", "cue_dir"}:
        assert parameters[name].default == defaults[name], name
        assert type(parameters[name].default) is type(defaults[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("method", ["psa", "puzzlecam", "advcam"])
def test_refining_never_imports_torch(make_set, tmp_path, method):
    cam_dir, cue_dir = make_set(method)
    code = f"""
import sys
from c2am_plugin.refine.run import refine_cams
report = refine_cams({str(cam_dir)!r}, {str(cue_dir)!r}, labels={str(tmp_path / "l")!r}, workers=1)
assert report.refined == 4
assert report.method == {method!r}
print([name for name in ("torch", "torchvision", "scipy", "numba") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_real_cams_and_cues(coco_voc, tmp_path):
    """Ten real photographs in every format: one set of labels."""
    ids = (coco_voc / "ids.txt").read_text().split()[::5]
    for image_id in ids:
        twin = np.load(coco_voc / "cams" / f"{image_id}.npz")
        maps = twin["cam"].astype(np.float32)
        for method in METHODS:
            path = tmp_path / method / f"{image_id}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, stored(method, twin["keys"], maps, shrunk(maps)))
    for cues in ("cues_crf", "cues_soft"):
        for method in METHODS:
            out = tmp_path / f"{method}_{cues}"
            options = {"labels": tmp_path / f"{out.name}_labels", "method": method, "ids": ids}
            assert run(tmp_path / method, coco_voc / cues, out, **options).failures == {}
            for image_id in ids:
                twin = np.load(coco_voc / "cams" / f"{image_id}.npz")
                cue = read_cue(coco_voc / cues / f"{image_id}.png")
                expected = paper_label(twin["keys"], twin["cam"].astype(np.float32), cue)
                label = read_label(options["labels"] / f"{image_id}.png")
                np.testing.assert_array_equal(label, expected)
                t = get_adapter(method).background_score
                again = consumed(method, out / f"{image_id}.npy", t)
                np.testing.assert_array_equal(again, expected)


# --- the machine misbehaves ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_disk_fails_image_by_image_and_leaves_nothing_half(make_set, tmp_path):
    """A limit on the size of files stands for the full disk; b alone has more than one class."""
    cam_dir, cue_dir = make_set(ids=("a", "b"))
    code = f"""
import resource
from c2am_plugin.refine.run import refine_cams
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
report = refine_cams({str(cam_dir)!r}, {str(cue_dir)!r}, {str(tmp_path / "out")!r}, progress=False)
assert list(report.failures) == ["b"], report
assert "File too large" in report.failures["b"]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(contents(tmp_path / "out")) == {"a.npy"}
    report = run(cam_dir, cue_dir, tmp_path / "out")
    assert (report.refined, report.already_there) == (1, 1)


def test_a_file_that_vanishes_is_listed(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    (cam_dir / "c.npy").unlink()
    (cam_dir / "c.npy").symlink_to(tmp_path / "gone")
    report = run(cam_dir, cue_dir, tmp_path / "out")
    assert list(report.failures) == ["c"]
    assert "c.npy: cannot be read (No such file" in report.failures["c"]


def test_one_image_and_none(make_set, tmp_path):
    cam_dir, cue_dir = make_set(ids=("a",))
    assert run(cam_dir, cue_dir, tmp_path / "out").refined == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: contains no CAM file"):
        run(tmp_path / "empty", cue_dir, tmp_path / "out2")
