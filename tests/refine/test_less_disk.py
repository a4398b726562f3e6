"""Half precision and labels alone: less room, the same labels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from small_files import contents

from c2am_plugin.cli.refine import refine_main
from c2am_plugin.errors import InputError
from c2am_plugin.files.labels import pseudo_label
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.registry import get_adapter

METHODS = ("psa", "sc_cam", "seam", "puzzlecam", "advcam")


def size(folder):
    return sum(map(len, contents(folder).values()))


@pytest.mark.parametrize("method", METHODS)
def test_float16_has_the_same_labels_in_half_the_room(make_set, tmp_path, method):
    cam_dir, cue_dir = make_set(method, size=(48, 64))
    for name, half in (("full", False), ("half", True)):
        refine_cams(
            cam_dir,
            cue_dir,
            tmp_path / name,
            method=method,
            labels=tmp_path / f"{name}_labels",
            float16=half,
            progress=False,
        )
    assert contents(tmp_path / "half_labels") == contents(tmp_path / "full_labels")
    assert size(tmp_path / "half") < 0.65 * size(tmp_path / "full")
    adapter = get_adapter(method)
    for path in (tmp_path / "half").iterdir():
        half, full = (
            adapter.parse(adapter.load(tmp_path / name / path.name), path.stem)
            for name in ("half", "full")
        )
        assert half.maps.dtype == np.float16
        assert np.abs(half.maps - full.maps).max() < 2**-10
        if full.strided is not None:
            np.testing.assert_array_equal(half.strided, full.strided)
            assert half.strided.dtype == full.strided.dtype
        stored = np.asarray(Image.open(tmp_path / "full_labels" / f"{path.stem}.png"))
        own = pseudo_label(half.maps, half.class_ids, adapter.background_score)
        np.testing.assert_array_equal(own, stored)


def test_labels_alone_are_the_labels_of_a_whole_run(make_set, tmp_path):
    cam_dir, cue_dir = make_set(ids=["a", "b", "c", "d"])
    (cue_dir / "c.png").unlink()
    options = {"missing": "keep", "progress": False}
    refine_cams(cam_dir, cue_dir, tmp_path / "out", labels=tmp_path / "labels", **options)
    before = set(tmp_path.iterdir())
    report = refine_cams(cam_dir, cue_dir, labels=tmp_path / "alone", labels_only=True, **options)
    assert contents(tmp_path / "alone") == contents(tmp_path / "labels")
    assert {path.name for path in set(tmp_path.iterdir()) - before} == {
        "alone",
        "alone.c2am-refine.json",
    }
    assert (report.out_dir, report.refined) == (str(tmp_path / "alone"), 3)
    again = refine_cams(cam_dir, cue_dir, labels=tmp_path / "alone", labels_only=True, **options)
    assert (again.refined, again.already_there) == (0, 4)


def test_labels_alone_may_be_followed_by_the_cams(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    refine_cams(cam_dir, cue_dir, labels=tmp_path / "l", labels_only=True, progress=False)
    before = contents(tmp_path / "l")
    report = refine_cams(cam_dir, cue_dir, tmp_path / "out", labels=tmp_path / "l", progress=False)
    assert report.refined == 4
    assert contents(tmp_path / "l") == before


@pytest.mark.parametrize("options", [[], ["--labels", "l", "-o", "out"]])
def test_labels_alone_need_their_folder_and_no_other(make_set, options, capsys):
    cam_dir, cue_dir = make_set()
    with pytest.raises(SystemExit) as stop:
        refine_main([str(cam_dir), str(cue_dir), "--labels-only", *options])
    assert stop.value.code == 2
    assert "--labels-only needs --labels" in capsys.readouterr().err
    with pytest.raises(InputError, match="`labels_only` needs `labels`"):
        refine_cams(cam_dir, cue_dir, labels_only=True)
