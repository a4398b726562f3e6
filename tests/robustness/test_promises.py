"""Same input and settings, same bytes: whatever the workers, their kind, and Python's hash seed."""

from __future__ import annotations

import os
import subprocess
import sys

import joblib
import pytest
from small_files import files, results
from small_training import small_train, write_photos

from c2am_plugin.network.make_cues import make_cues
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.runs.parallel import MIN_IMAGES_FOR_PROCESSES

pytestmark = pytest.mark.slow


def refined(cams, cues, folder, **options):
    options = {"calibrate": "on", "labels": folder / "labels", "progress": False, **options}
    report = refine_cams(cams, cues, folder / "out", **options)
    assert not report.failures
    return results(folder)


def test_refine_writes_the_same_bytes_with_any_workers(make_set, tmp_path):
    cams, cues = make_set("puzzlecam", ids=[f"{i:03d}" for i in range(12)])
    expected = refined(cams, cues, tmp_path / "1", workers=1)
    for workers in (2, 4):
        assert refined(cams, cues, tmp_path / str(workers), workers=workers) == expected
    for backend in ("loky", "multiprocessing", "threading"):
        with joblib.parallel_config(backend):
            assert refined(cams, cues, tmp_path / backend, workers=2) == expected


def test_refine_writes_the_same_bytes_in_separate_processes(make_set, tmp_path):
    cams, cues = make_set(
        "advcam", ids=[f"{i:03d}" for i in range(MIN_IMAGES_FOR_PROCESSES)], size=(8, 12)
    )
    expected = refined(cams, cues, tmp_path / "1", workers=1)
    assert refined(cams, cues, tmp_path / "2", workers=2) == expected


def test_refine_writes_the_same_bytes_with_any_hash_seed_and_order(make_set, tmp_path):
    cams, cues = make_set("psa", ids=("b", "a", "1e5", "größe"))
    expected = refined(cams, cues, tmp_path / "here", ids=["größe", "b", "a", "1e5"])
    for seed in ("0", "1"):
        folder = tmp_path / seed
        options = ["--calibrate", "on", "--labels", folder / "labels", "-o", folder / "out"]
        code = "import sys; from c2am_plugin.cli import refine_main; sys.exit(refine_main())"
        call = [sys.executable, "-c", code, cams, cues, *options]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run(list(map(str, call)), check=True, capture_output=True, env=environment)
        assert results(folder) == expected


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("promised")
    photos = write_photos(folder / "photos", 8)
    small_train(photos, folder / "run", epochs=1)
    return photos, folder / "run" / "last.pt"


def test_training_writes_the_same_bytes_with_any_workers(trained, tmp_path):
    photos, checkpoint = trained
    for workers in (0, 2):
        small_train(photos, tmp_path / str(workers), epochs=1, workers=workers)
        assert (tmp_path / str(workers) / "last.pt").read_bytes() == checkpoint.read_bytes()


@pytest.mark.parametrize("soft", [True, False])
def test_cues_are_the_same_bytes_with_any_workers(trained, tmp_path, soft):
    photos, checkpoint = trained
    found = []
    for workers in (1, 2, 4):
        folder = tmp_path / str(workers)
        make_cues(
            photos,
            checkpoint,
            folder / "cues",
            maps=folder / "maps",
            scales=(48, 64),
            soft=soft,
            workers=workers,
            device="cpu",
            progress=False,
        )
        found.append({name: data for name, data in files(folder).items() if "json" not in name})
    assert len(found[0]) == 16
    assert found[0] == found[1] == found[2]
