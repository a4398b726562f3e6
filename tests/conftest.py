"""Data for the tests: small CAM files and cues made on the spot, and the stored real ones."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from adapter_contract import shrunk, stored
from small_files import smooth_maps, write_png

from c2am_plugin.cli import refine_main

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard():
    """Shells let what they start in the background ignore SIGINT, and so does what that starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shared_data():
    if not DATA.is_dir():
        pytest.skip("the stored test data (../shared/data) is not here")
    return DATA.resolve()


@pytest.fixture(scope="session")
def golden(shared_data):
    return shared_data / "golden"


@pytest.fixture(scope="session")
def coco_voc(shared_data):
    return shared_data / "coco-voc"


@pytest.fixture
def refine(capfd):
    """refine(*arguments) → (exit code, stdout, stderr lines without the progress bars)."""

    def call(*arguments):
        try:
            code = refine_main([str(each) for each in arguments])
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        lines = [line.split("\r")[-1] for line in err.splitlines()]
        return code, out, [line for line in lines if line and "image/s]" not in line]

    return call


@pytest.fixture
def make_set(tmp_path):
    """make_set(method, ids) → (cam_dir, cue_dir): small files as the pipeline writes them, and cues
    that mostly agree with them. Class counts go 1, 2, 3, 1 …; class 0 is among them."""

    def make(method="psa", ids=("a", "b", "c", "d"), size=(24, 32), seed=0, name="cams"):
        rng = np.random.default_rng(seed)
        cam_dir, cue_dir = tmp_path / name, tmp_path / "cues"
        for index, image_id in enumerate(ids):
            class_ids = np.sort(rng.choice(20, index % 3 + 1, replace=False))
            class_ids[0] = class_ids[0] if index % 2 else 0
            maps = smooth_maps(rng, len(class_ids), *size)
            path = cam_dir / f"{image_id}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, stored(method, class_ids, maps, shrunk(maps)))
            noise = rng.normal(0, 0.1, size)
            saliency = np.clip(maps.max(axis=0) * 1.2 - 0.1 + noise, 0, 1)
            write_png(cue_dir / f"{image_id}.png", np.rint(saliency * 255))
        return cam_dir, cue_dir

    return make
