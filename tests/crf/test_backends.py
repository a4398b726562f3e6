"""--crf-backend: the same labels from both, and one line for one that is not installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from small_files import write_png

from c2am_plugin import (
    MissingDependency,
    benchmark,
    make_seeds,
    read_label,
    refine_cams,
)
from c2am_plugin.cli import bench_main, refine_main

IDS = ("a", "b", "c", "d")
LINE = r"^the dense CRF needs pydensecrf, which is not installed; run pip install \S+$"


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for image_id in IDS:
        pixels = rng.integers(0, 256, (6, 8, 3)).repeat(4, 0).repeat(4, 1)
        write_png(tmp_path / "photos" / f"{image_id}.png", pixels)
    return tmp_path / "photos"


@pytest.fixture
def missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    monkeypatch.delitem(sys.modules, "c2am_plugin.crf.pydensecrf_backend", raising=False)
    return {"crf_backend": "pydensecrf", "progress": False}


def truth(tmp_path):
    for image_id in IDS:
        write_png(tmp_path / "gt" / f"{image_id}.png", np.eye(24, 32, dtype=np.uint8))
    return tmp_path / "gt"


@pytest.mark.slow
def test_both_backends_write_the_same_labels(make_set, photos, tmp_path):
    pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf is not installed")
    cam_dir, cue_dir = make_set(ids=IDS)
    labels = {}
    for backend in ("numba", "pydensecrf"):
        refine_cams(
            cam_dir,
            cue_dir,
            tmp_path / f"out_{backend}",
            method="psa",
            labels=tmp_path / backend,
            images=photos,
            crf=True,
            crf_backend=backend,
            workers=1,
            progress=False,
        )
        labels[backend] = np.stack([read_label(tmp_path / backend / f"{i}.png") for i in IDS])
    assert len(np.unique(labels["numba"])) > 2
    np.testing.assert_array_equal(labels["numba"], labels["pydensecrf"])


def test_refine_without_the_package(make_set, photos, missing, tmp_path):
    cams, cues = make_set(ids=IDS)
    out, labels = tmp_path / "out", tmp_path / "labels"
    with pytest.raises(MissingDependency, match=LINE):
        refine_cams(
            cams, cues, out, method="psa", labels=labels, images=photos, crf=True, **missing
        )
    assert not out.exists()
    assert not labels.exists()


def test_seeds_without_the_package(make_set, photos, missing, tmp_path):
    cams, _ = make_set(ids=IDS)
    with pytest.raises(MissingDependency, match=LINE):
        make_seeds(cams, tmp_path / "seeds", photos, method="psa", **missing)
    assert not (tmp_path / "seeds").exists()


def test_bench_without_the_package(make_set, photos, missing, tmp_path):
    cams, cues = make_set(ids=IDS)
    with pytest.raises(MissingDependency, match=LINE):
        benchmark({"psa": cams}, cues, truth(tmp_path), tmp_path / "page", images=photos, **missing)
    assert not (tmp_path / "page").exists()


@pytest.mark.usefixtures("missing")
def test_the_commands_give_one_line(make_set, photos, tmp_path, capsys):
    cams, cues = make_set(ids=IDS)
    common = ["--images", photos, "--crf-backend", "pydensecrf", "--quiet"]
    refine = [cams, cues, "--method", "psa", "--labels", tmp_path / "labels", "--crf"]
    bench = ["--cams", f"psa={cams}", "--cues", cues, "--gt", truth(tmp_path), "-o", tmp_path / "p"]
    for main, given in ((refine_main, refine), (bench_main, bench)):
        assert main([str(each) for each in given + common]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "the dense CRF needs pydensecrf, which is not installed; run pip install" in line
