"""Who may write where: settings that are kept, files that stay, what killed runs left behind."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack

import pytest
from small_files import files_below, touch

from c2am_plugin.errors import OutputError
from c2am_plugin.files.writing import atomic_path
from c2am_plugin.runs.locks import lock_folder
from c2am_plugin.runs.output_folders import (
    OutputFolder,
    check_folders,
    hold_file,
    hold_folders,
    record_path,
)

A, B = {"t": 0.2}, {"t": 0.3}
FILES = ("x.npy", "sub/y.npy")


def claim(folder, settings=A, names=FILES, command="c2am-x", **options):
    """What a run that ends at once finds done."""
    with hold_folders(command, names, [OutputFolder(folder, settings)], **options) as done:
        return done


def test_a_new_folder_is_claimed_with_its_settings_beside_it(tmp_path):
    out = tmp_path / "deep" / "out"
    assert claim(out) == set()
    assert out.is_dir()
    assert list(out.iterdir()) == []
    record = record_path(out, "c2am-x")
    assert record == tmp_path / "deep" / "out.c2am-x.json"
    assert json.loads(record.read_text())["settings"] == A


def test_the_same_settings_go_on_with_what_is_there(tmp_path):
    claim(tmp_path / "out")
    touch(tmp_path / "out", "sub/y.npy", "other.npy")
    assert claim(tmp_path / "out", {"t": 0.2}) == {"sub/y.npy"}


def test_other_settings_are_refused_and_said(tmp_path):
    out = tmp_path / "out"
    claim(out)
    touch(out, "x.npy")
    with pytest.raises(OutputError, match=r"1 files.*t 0\.2 then, 0\.3 now.*`overwrite=True`"):
        claim(out, B)
    assert files_below(out) == {"x.npy"}
    assert json.loads(record_path(out, "c2am-x").read_text())["settings"] == A
    assert claim(out, B, overwrite=True) == set()
    assert files_below(out) == set()
    assert json.loads(record_path(out, "c2am-x").read_text())["settings"] == B


def test_results_of_two_settings_never_stand_side_by_side(tmp_path):
    out = tmp_path / "out"
    claim(out)
    touch(out, "x.npy")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"x\.npy"):
            claim(out, B, names=("z.npy",), overwrite=overwrite)
    assert files_below(out) == {"x.npy"}


def test_files_of_somebody_else_stay(tmp_path):
    out = tmp_path / "out"
    touch(out, "x.npy", "readme.txt", ".hidden")
    with pytest.raises(OutputError, match=r"no c2am-x run wrote.*x\.npy.*`overwrite=True`"):
        claim(out)
    assert not record_path(out, "c2am-x").exists()
    assert claim(out, names=("z.npy",)) == set()
    assert files_below(out) == {"x.npy", "readme.txt", ".hidden"}
    assert claim(out, names=("x.npy",), overwrite=True) == set()
    assert files_below(out) == {"readme.txt", ".hidden"}


def test_asking_touches_nothing(tmp_path):
    out = tmp_path / "out"
    check_folders("c2am-x", FILES, [OutputFolder(out, A)])
    assert not out.exists()
    claim(out)
    touch(out, "x.npy", ".z.npy.1.c2am-tmp")
    check_folders("c2am-x", FILES, [OutputFolder(out, B)], overwrite=True)
    assert files_below(out) == {"x.npy", ".z.npy.1.c2am-tmp"}


def test_remains_of_a_killed_run_are_cleared_away(tmp_path):
    out = tmp_path / "out"
    claim(out)
    touch(out, ".x.npy.77.c2am-tmp", "sub/.y.npy.77.c2am-tmp", "mine.c2am-tmp")
    assert claim(out) == set()
    assert files_below(out) == {"mine.c2am-tmp"}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"settings": 3}', "\x00", "[" * 99999, '{"settings": [[1, 2]]}'],
)
def test_a_damaged_record_is_named(tmp_path, text):
    (tmp_path / "out.c2am-x.json").write_text(text)
    with pytest.raises(
        OutputError, match=r"out\.c2am-x\.json: does not contain the settings of a run"
    ):
        claim(tmp_path / "out")


def test_a_file_where_the_folder_should_be(tmp_path):
    touch(tmp_path, "out")
    for folder in (tmp_path / "out", tmp_path / "out" / "sub"):
        with pytest.raises(OutputError, match="out"):
            claim(folder)


# --- several folders, several runs --------------------------------------------------------------


def test_an_id_is_done_where_all_folders_have_it(tmp_path):
    claims = [
        OutputFolder(tmp_path / "cams", A, ".npy"),
        OutputFolder(tmp_path / "labels", B, ".png"),
    ]
    with hold_folders("c2am-x", "abc", claims) as done:
        assert done == set()
    touch(tmp_path, "cams/a.npy", "cams/b.npy", "labels/b.png", "labels/c.png")
    with hold_folders("c2am-x", "abc", claims) as done:
        assert done == {"b"}


@pytest.mark.parametrize("why", ["locked", "damaged"])
def test_nothing_is_touched_in_one_folder_where_another_is_refused(tmp_path, why):
    claims = [
        OutputFolder(tmp_path / "cams", A, ".npy"),
        OutputFolder(tmp_path / "labels", B, ".png"),
    ]
    with hold_folders("c2am-x", "ab", claims):
        pass
    touch(tmp_path, "cams/a.npy", "labels/a.png", "cams/.b.npy.77.c2am-tmp")
    with ExitStack() as stack:
        if why == "locked":
            stack.enter_context(lock_folder(tmp_path / "labels"))
        else:
            record_path(tmp_path / "labels", "c2am-x").write_text("damaged")
        before = files_below(tmp_path)
        with (
            pytest.raises(OutputError, match="labels"),
            hold_folders("c2am-x", "ab", claims, overwrite=True),
        ):
            pass
        assert files_below(tmp_path) == before


def test_a_folder_is_held_until_the_run_ends(tmp_path):
    claims = [OutputFolder(tmp_path / "out", A)]
    with hold_folders("c2am-x", FILES, claims):
        with pytest.raises(OutputError, match="another run is writing into it"):
            claim(tmp_path / "out")
        with pytest.raises(OutputError, match="another run is writing into it"):
            claim(tmp_path / "out", command="c2am-y")
    assert claim(tmp_path / "out") == set()
    with pytest.raises(KeyboardInterrupt), hold_folders("c2am-x", FILES, claims):
        raise KeyboardInterrupt
    assert claim(tmp_path / "out") == set()
    assert files_below(tmp_path / "out") == set()


def test_temporary_files_of_a_living_shard_stay(tmp_path):
    """Of the dead only those go that this shard would write, and those that are a day old."""
    out = tmp_path / "out"
    claims = [OutputFolder(out, A)]
    with hold_folders("c2am-x", ["a.npy"], claims, shard="1-of-2"):
        touch(out, ".b.npy.77.c2am-tmp", ".z.npy.77.c2am-tmp")
        a_day_ago = time.time() - 86401
        os.utime(out / ".z.npy.77.c2am-tmp", (a_day_ago, a_day_ago))
        with atomic_path(out / "a.npy") as temporary:
            temporary.write_text("half")
            with hold_folders("c2am-x", ["b.npy"], claims, shard="2-of-2") as done:
                assert done == set()
                left = {name for name in files_below(out) if "lock" not in name}
                assert left == {temporary.name}
    with hold_folders("c2am-x", ["a.npy", "b.npy"], claims) as done:
        assert done == {"a.npy"}


def test_without_locks_only_old_temporary_files_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("c2am_plugin.runs.locks.fcntl", None)
    out = tmp_path / "out"
    touch(out, ".x.npy.77.c2am-tmp", ".z.npy.77.c2am-tmp")
    a_day_ago = time.time() - 86401
    os.utime(out / ".z.npy.77.c2am-tmp", (a_day_ago, a_day_ago))
    claim(out)
    assert files_below(out) == {".x.npy.77.c2am-tmp"}


def test_remains_of_the_settings_themselves_are_cleared_away(tmp_path):
    claim(tmp_path / "out")
    touch(tmp_path, ".out.c2am-x.json.77.c2am-tmp", ".other.c2am-x.json.77.c2am-tmp")
    claim(tmp_path / "out")
    left = {name for name in files_below(tmp_path) if name.endswith("tmp")}
    assert left == {".other.c2am-x.json.77.c2am-tmp"}


# --- one file -----------------------------------------------------------------------------------


def test_a_file_is_replaced_by_the_same_run_only(tmp_path):
    path = tmp_path / "boxes.json"
    hold_file(path, "c2am-boxes", {"threshold": 0.5})
    path.write_text("first")
    hold_file(path, "c2am-boxes", {"threshold": 0.5})
    assert path.read_text() == "first"
    with pytest.raises(OutputError, match="not written by a c2am-boxes run with these settings"):
        hold_file(path, "c2am-boxes", {"threshold": 0.6})
    assert path.read_text() == "first"
    hold_file(path, "c2am-boxes", {"threshold": 0.6}, overwrite=True)
    assert not path.exists()


def test_a_file_of_somebody_else_is_not_replaced(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text("theirs")
    with pytest.raises(OutputError, match=": exists and was not written by"):
        hold_file(path, "c2am-boxes", {})
    assert path.read_text() == "theirs"
    with pytest.raises(OutputError, match="is a folder"):
        hold_file(tmp_path, "c2am-boxes", {}, overwrite=True)
