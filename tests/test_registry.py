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
from c2am_plugin.registry import (
    adapter_names,
    detect,
    get_adapter,
    get_profile,
    layout_names,
    profiles,
)

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


# What each took and made before profiles existed (DESIGN: the stored formats).
FIRST_FIVE = {
    "psa": ("dict", 0.20, {"low_alpha": 4, "high_alpha": 32}, ("out_la_crf", "out_ha_crf")),
    "sc_cam": ("dict", 0.15, {"low_alpha": 4, "high_alpha": 32}, ("out_la_crf", "out_ha_crf")),
    "seam": ("dict", 0.26, {"low_alpha": 4, "high_alpha": 24}, ("out_crf_4.0", "out_crf_24.0")),
    "puzzlecam": ("puzzlecam", 0.20, {"fg": 0.40, "bg": 0.10}, ("",)),
    "advcam": ("irn", 0.15, {"fg": 0.35, "bg": 0.15}, ("",)),
}


@pytest.mark.parametrize("name", FIRST_FIVE)
def test_the_first_five_keep_their_numbers(name):
    adapter = get_adapter(name)
    folders = adapter.seed_folders(adapter.seed_settings)
    found = (adapter.family, adapter.background_score, dict(adapter.seed_settings), folders)
    assert found == FIRST_FIVE[name]
    assert adapter.seed_suffix == (".npy" if adapter.family == "dict" else ".png")


@pytest.mark.parametrize(
    ("name", "layout", "score", "seeds"),
    [
        ("weaktr", "psa", 0.43, {}),
        ("weaktr:coco", "psa", 0.42, {}),
        ("mctformer", "psa", None, {"low_alpha": 1, "high_alpha": 12}),
        ("recam", "advcam", 0.21, {"fg": 0.35, "bg": 0.10}),
        ("recam:coco", "advcam", 0.15, {"fg": 0.30, "bg": 0.05}),
        ("lpcam", "advcam", 0.30, {"fg": 0.45, "bg": 0.25}),
        ("amn", "advcam", 0.25, {"fg": 0.45, "bg": 0.15}),
        ("qa_clims", "advcam", 0.15, {"fg": 0.30, "bg": 0.10}),
        ("irn", "advcam", 0.15, {"fg": 0.30, "bg": 0.05}),
    ],
)
def test_profiles_have_their_pipelines_numbers(name, layout, score, seeds):
    profile, adapter = get_profile(name), get_adapter(name)
    assert (profile.layout, profile.background_score, dict(profile.seeds)) == (layout, score, seeds)
    assert (adapter.name, adapter.background_score, adapter.seed_settings) == (name, score, seeds)


def test_every_profile_names_a_layout_and_its_source():
    for profile in profiles().values():
        assert profile.layout in layout_names(), profile.name
        assert profile.source, profile.name
        assert profile.background_score is None or 0 < profile.background_score < 1


def test_seed_folders_follow_the_numbers():
    adapter = get_adapter("mctformer")
    assert adapter.seed_folders({"low_alpha": 1, "high_alpha": 12}) == ("out_crf_1", "out_crf_12")
    assert get_adapter("s2c").seed_folders({"low_alpha": 6, "high_alpha": 24}) == ("06", "24")


def test_one_adapter_per_profile_not_one_for_all():
    one, other = get_adapter("weaktr"), get_adapter("psa")
    assert (one.background_score, other.background_score) == (0.43, 0.20)


def test_auto_says_which_numbers_it_took_and_whose_differ(write):
    adapter, said = detect(write("irn"))
    assert adapter.name == "advcam"
    assert "t = 0.15 of advcam" in said
    for other in ("recam (0.21)", "recam:coco (0.15)", "lpcam (0.3)", "amn (0.25)", "irn (0.15)"):
        assert other in said
    adapter, said = detect(write("dict"))
    assert adapter.name == "psa"
    assert "mctformer (no constant t)" in said


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"'pas' is unknown.*auto, psa.*advcam"):
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
        (["none"], "do not determine.*dict, irn, puzzlecam.*`method`"),
        (["keys alone", "none"], "do not determine.*irn, puzzlecam.*`method`"),
        (["other"], "0 other.npy: contains .*; its format is unknown, known are advcam, .*psa"),
        (["dict", "irn"], "1 irn.npy: is not in dict format.*one format.*`method`"),
        (["puzzlecam", "dict"], "1 dict.npy: is not in puzzlecam format"),
        (["irn", "puzzlecam"], "1 puzzlecam.npy: is not in irn format"),
        (["irn", "none puzzlecam"], "is not in irn format"),
        (["none", "other"], "1 other.npy: is not in dict, irn, puzzlecam format"),
        (["broken"], "0 broken.npy: is truncated"),
        (["unsafe", "broken"], "0 unsafe.npy: asks for"),
    ],
)
def test_files_that_do_not_tell_or_disagree(write, kinds, message):
    with pytest.raises(InputError, match=message):
        detect(write(*kinds))


def test_without_the_packages_entry_points_the_message_names_the_remedy(write, monkeypatch):
    """As in a copy of the sources that nobody has installed."""
    monkeypatch.setattr(registry, "_installed", lambda path: [])
    with pytest.raises(InputError, match="no adapter is registered; install the package with pip"):
        detect(write("dict"))


@pytest.fixture
def package(tmp_path):
    """package(code, entry_points) → a command that refines with a package that is on the path."""
    site = tmp_path / "site"

    def make(code, entries):
        (site / "mine-1.dist-info").mkdir(parents=True)
        (site / "mine.py").write_text(code)
        info = site / "mine-1.dist-info"
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
        (info / "entry_points.txt").write_text(entries)

        def run(*arguments):
            command = f"""
import sys; sys.path.insert(0, {str(site)!r})
from c2am_plugin.cli import refine_main
sys.exit(refine_main({[str(each) for each in arguments]!r}))
"""
            return subprocess.run(
                [sys.executable, "-c", command], capture_output=True, text=True, check=False
            )

        return run

    return make


@pytest.mark.slow
@pytest.mark.parametrize("attribute", ["background_score", "threshold"])
def test_a_third_party_adds_a_layout_with_one_file_and_one_entry_point(
    tmp_path, make_set, package, attribute
):
    """A package that is only on the path refines its own format; t has a second name."""
    code = PLUGIN.replace("background_score", attribute)
    run = package(code, "[c2am_plugin.adapters]\nmine = mine:NpzAdapter\n")
    cam_dir, cue_dir = make_set(ids=("a", "b"))
    for path in cam_dir.iterdir():
        np.save(path, np.stack(list(np.load(path, allow_pickle=True).item().values())))
    done = run(cam_dir, cue_dir, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "mine format, t = 0.4" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.npy", "b.npy"}
    assert not np.array_equal(np.load(tmp_path / "out" / "a.npy"), np.load(cam_dir / "a.npy"))


PROFILE = """
from c2am_plugin.cams import Profile
ONE = Profile("mine", "psa", 0.37, {"low_alpha": 2, "high_alpha": 9}, source="here")
SOME = [ONE, Profile("mine:coco", "psa", 0.31, source="here")]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "name", "t"), [("ONE", "mine", 0.37), ("SOME", "mine:coco", 0.31)]
)
def test_a_third_party_adds_a_profile_with_one_entry_point_and_no_class(
    tmp_path, make_set, package, value, name, t
):
    run = package(PROFILE, f"[c2am_plugin.profiles]\nmine = mine:{value}\n")
    cam_dir, cue_dir = make_set(ids=("a", "b"))
    done = run(cam_dir, cue_dir, "-o", tmp_path / "out", "--method", name)
    assert done.returncode == 0, done.stderr
    assert f"foreground at t = {t}" in done.stdout
    done = run(cam_dir, cue_dir, "-o", tmp_path / "auto")
    assert "using t = 0.2 of psa" in done.stderr
    assert f"{name} ({t})" in done.stderr


@pytest.mark.slow
def test_a_profile_of_an_unknown_layout_is_named(tmp_path, make_set, package):
    code = PROFILE.replace('"psa"', '"paint"')
    run = package(code, "[c2am_plugin.profiles]\nmine = mine:ONE\n")
    done = run(*make_set(ids=("a",)), "--method", "mine")
    assert done.returncode == 1
    assert "method mine: its layout 'paint' is unknown; known are" in done.stderr


def test_a_profile_without_a_constant_asks_for_a_number(tmp_path, make_set, refine):
    cam_dir, cue_dir = make_set()
    code, _, lines = refine(cam_dir, cue_dir, "--method", "mctformer", "-o", tmp_path / "out")
    assert code == 1
    assert len([line for line in lines if "no constant" in line]) == 1
    assert not (tmp_path / "out").exists()
    code, out, _ = refine(
        cam_dir, cue_dir, "--method", "mctformer", "-o", tmp_path / "out", "--background-score", 0.3
    )
    assert code == 0
    assert "foreground at t = 0.3" in out
