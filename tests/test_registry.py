"""Adapters by name, by content, and from somebody else's package."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from third_party import PLUGIN

from c2am_plugin import registry
from c2am_plugin.errors import InputError
from c2am_plugin.registry import adapter_names, detect, get_adapter

MAP = np.full((1, 8, 8), 0.5, np.float32)
SMALL = torch.tensor(MAP[:, ::4, ::4])
CONTENT = {
    "dict": {0: MAP[0]},
    "puzzlecam": {"keys": np.array([0, 1]), "cam": SMALL, "hr_cam": MAP},
    "irn": {"keys": torch.tensor([0]), "cam": SMALL, "high_res": MAP},
    "none": {},
    "none puzzlecam": {"keys": np.array([0]), "cam": SMALL[:0], "hr_cam": MAP[:0]},
    "none irn": {"keys": torch.zeros(0, dtype=torch.int64)},
    "keys alone": {"keys": [0]},
    "other": {"logits": MAP},
}


@pytest.fixture
def write(tmp_path):
    def files(*kinds):
        paths = []
        for index, kind in enumerate(kinds):
            paths.append(tmp_path / f"{index} {kind}.npy")
            if kind == "broken":
                paths[-1].write_bytes(b"\x93NUMPY cut short")
            elif kind == "unsafe":
                np.save(paths[-1], {1: pytest.raises})
            else:
                np.save(paths[-1], CONTENT[kind])
        return paths

    return files


def test_the_five_are_found_by_name():
    assert {"psa", "sc_cam", "seam", "puzzlecam", "advcam"} <= set(adapter_names())
    assert len(adapter_names()) == len(set(adapter_names()))
    for name in adapter_names():
        assert get_adapter(name).name == name


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"'pas' is unknown.*auto.*advcam.*psa"):
        get_adapter("pas")


@pytest.mark.parametrize(
    ("kinds", "family"),
    [
        (["dict"], "dict"),
        (["puzzlecam"], "puzzlecam"),
        (["irn"], "irn"),
        (["none", "none", "irn"], "irn"),
        (["none", "none puzzlecam"], "puzzlecam"),
        (["none irn", "none"], "irn"),
        (["keys alone", "puzzlecam"], "puzzlecam"),
        (["keys alone", "irn"], "irn"),
        (["none", "dict", "none"], "dict"),
        (["broken", "irn"], "irn"),
        (["dict", "broken", "unsafe"], "dict"),
    ],
)
def test_files_tell_their_format(write, kinds, family):
    adapter, said = detect(write(*kinds))
    assert adapter.family == family
    assert adapter.name in said


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (["none"], "no file says.*dict, irn, puzzlecam.*--method"),
        (["keys alone", "none"], "no file says.*irn, puzzlecam.*--method"),
        (["other"], "0 other.npy: its format is none of advcam, psa"),
        (["dict", "irn"], "1 irn.npy: is not in dict format.*one format.*--method"),
        (["puzzlecam", "dict"], "1 dict.npy: is not in puzzlecam format"),
        (["irn", "puzzlecam"], "1 puzzlecam.npy: is not in irn format"),
        (["irn", "none puzzlecam"], "is not in irn format"),
        (["none", "other"], "1 other.npy: is not in dict, irn, puzzlecam format"),
        (["broken"], "0 broken.npy: is cut short"),
        (["unsafe", "broken"], "0 unsafe.npy: asks for"),
    ],
)
def test_files_that_do_not_tell_or_disagree(write, kinds, message):
    with pytest.raises(InputError, match=message):
        detect(write(*kinds))


def test_without_the_packages_entry_points_the_message_says_so(write, monkeypatch):
    """As in a copy of the sources that nobody has installed."""
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    with pytest.raises(InputError, match="no adapter is registered; install the package with pip"):
        detect(write("dict"))


def test_a_third_party_adds_a_pipeline_with_one_file_and_one_entry_point(tmp_path, make_set):
    """A package that is only on the path refines its own format through the command."""
    (tmp_path / "site" / "mine-1.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "mine.py").write_text(PLUGIN)
    info = tmp_path / "site" / "mine-1.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[c2am_plugin.adapters]\nmine = mine:NpzAdapter\n")
    cam_dir, cue_dir = make_set(ids=("a", "b"))
    for path in cam_dir.iterdir():
        np.save(path, np.stack(list(np.load(path, allow_pickle=True).item().values())))
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path / "site")!r})
from c2am_plugin.cli import refine_main
sys.exit(refine_main([{str(cam_dir)!r}, {str(cue_dir)!r}, "-o", {str(tmp_path / "out")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mine format, t = 0.4" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.npy", "b.npy"}
    assert not np.array_equal(np.load(tmp_path / "out" / "a.npy"), np.load(cam_dir / "a.npy"))
