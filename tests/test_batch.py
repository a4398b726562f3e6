"""Running many images: lists, folders, atomic files, who may write where, failures."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

import numpy as np
import pytest

from c2am_plugin import batch
from c2am_plugin.batch import (
    atomic_path,
    check_folder,
    claim_folder,
    find_files,
    first_names,
    read_ids,
    record_path,
    run_images,
    write_json,
)
from c2am_plugin.claims import claim_file
from c2am_plugin.errors import InputError, OutputError

NAMES = ["1e5", "000000000030", "2007_000032", "a.b.c", "with space", "größe", "val/0001", "a/b/c"]


def touch(folder, *names, content="x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# --- which files --------------------------------------------------------------------------------


def test_ids_are_names_without_the_suffix_whatever_they_look_like(tmp_path):
    touch(tmp_path, *(f"{name}.npy" for name in NAMES))
    touch(tmp_path, ".hidden.npy", ".git/x.npy", "notes.txt", "no_suffix", "UPPER.NPY")
    found = find_files(tmp_path, (".npy",))
    assert list(found) == sorted([*NAMES, "UPPER"])
    assert all(path.is_file() for path in found.values())


def test_linked_folders_are_followed_but_not_round_in_circles(tmp_path):
    touch(tmp_path / "far", "b.npy")
    touch(tmp_path / "here", "a.npy")
    (tmp_path / "here" / "sub").symlink_to(tmp_path / "far")
    (tmp_path / "here" / "loop").symlink_to(tmp_path / "here")
    (tmp_path / "far" / "up").symlink_to(tmp_path / "far")
    (tmp_path / "linked").symlink_to(tmp_path / "here")
    assert list(find_files(tmp_path / "here", (".npy",))) == ["a", "sub/b"]
    assert list(find_files(tmp_path / "linked", (".npy",))) == ["a", "sub/b"]


def test_two_files_of_one_id_and_no_folder_are_refused(tmp_path):
    touch(tmp_path, "a.png", "a.npy")
    with pytest.raises(InputError, match=r"a\.(npy|png) and a\.(npy|png) share the id a"):
        find_files(tmp_path, (".png", ".npy"))
    for path in (tmp_path / "none", tmp_path / "a.png"):
        with pytest.raises(InputError, match="no such folder"):
            find_files(path, (".png",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\n", ["a", "b"]),
        ("b\r\na\r\n\r\n", ["b", "a"]),
        ("\ufeffa\n\n  b  \n", ["a", "b"]),
        ("a\nb\na\n", ["a", "b"]),
        ("000000000030\n1e5\n", ["000000000030", "1e5"]),
        ("val/0001\nwith space\ngröße\na.b\n", ["val/0001", "with space", "größe", "a.b"]),
        ("a.jpg\nb.PNG\n", ["a", "b"]),
        ("/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png\n", ["2007_000032"]),
        ("/JPEGImages/2007_000032.jpg\r\n/JPEGImages/1e5.jpg\r\n", ["2007_000032", "1e5"]),
    ],
)
def test_id_lists(tmp_path, text, expected):
    path = tmp_path / "ids.txt"
    path.write_bytes(text.encode())
    assert read_ids(path) == expected


@pytest.mark.parametrize("data", [b"", b"\n \r\n", b"a\0b\n", b"\xff\xfe\x00", b"\x89PNG\r\n"])
def test_files_that_are_no_id_list(tmp_path, data):
    path = tmp_path / "ids.txt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"ids\.txt"):
        read_ids(path)
    with pytest.raises(InputError, match=r"none\.txt"):
        read_ids(tmp_path / "none.txt")


def test_first_names():
    assert first_names("cab") == "a, b, c"
    assert first_names(f"{i:02d}" for i in range(12)) == "00, 01, 02, 03, 04 and 7 more"


# --- all or nothing -----------------------------------------------------------------------------


def test_a_file_appears_whole_and_in_a_new_folder(tmp_path):
    path = tmp_path / "new" / "a.npy"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "half"
    assert files_below(tmp_path) == {"new/a.npy"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [None, "old"])
def test_an_error_in_the_middle_leaves_what_was_there(tmp_path, before, error):
    path = tmp_path / "a.npy"
    if before:
        path.write_text(before)
    with pytest.raises(error), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert files_below(tmp_path) == ({"a.npy"} if before else set())
    assert not before or path.read_text() == before


def test_a_rename_that_fails_leaves_nothing(tmp_path):
    path = tmp_path / "a.npy"
    path.mkdir()  # a file cannot be renamed onto a folder
    with pytest.raises(OSError, match="directory"), atomic_path(path) as temporary:
        temporary.write_text("x")
    assert files_below(tmp_path) == set()


def test_json_that_cannot_be_written(tmp_path):
    touch(tmp_path, "file")
    with pytest.raises(OutputError, match="file"):
        write_json(tmp_path / "file" / "a.json", {})


# --- who may write where ------------------------------------------------------------------------

A, B = {"t": 0.2}, {"t": 0.3}
FILES = ("x.npy", "sub/y.npy")


def claim(folder, settings=A, names=FILES, command="c2am-x", **options):
    return claim_folder(folder, command, settings, names, **options)


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
    with pytest.raises(OutputError, match=r"1 files.*t 0\.2 then, 0\.3 now.*--overwrite"):
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
    with pytest.raises(OutputError, match=r"no c2am-x run wrote.*x\.npy.*--overwrite"):
        claim(out)
    assert not record_path(out, "c2am-x").exists()
    assert claim(out, names=("z.npy",)) == set()
    assert files_below(out) == {"x.npy", "readme.txt", ".hidden"}
    assert claim(out, names=("x.npy",), overwrite=True) == set()
    assert files_below(out) == {"readme.txt", ".hidden"}


def test_asking_touches_nothing(tmp_path):
    out = tmp_path / "out"
    assert check_folder(out, "c2am-x", A, FILES) == set()
    assert not out.exists()
    claim(out)
    touch(out, "x.npy", ".z.npy.1.c2am-tmp")
    assert check_folder(out, "c2am-x", B, FILES, overwrite=True) == {"x.npy"}
    assert files_below(out) == {"x.npy", ".z.npy.1.c2am-tmp"}


def test_remains_of_a_killed_run_are_cleared_away(tmp_path):
    out = tmp_path / "out"
    claim(out)
    touch(out, ".x.npy.77.c2am-tmp", "sub/.y.npy.77.c2am-tmp", "mine.c2am-tmp")
    assert claim(out) == set()
    assert files_below(out) == {"mine.c2am-tmp"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"settings": 3}', "\x00"])
def test_a_damaged_record_is_named(tmp_path, text):
    (tmp_path / "out.c2am-x.json").write_text(text)
    with pytest.raises(OutputError, match=r"out\.c2am-x\.json: is not a run's settings"):
        claim(tmp_path / "out")


def test_a_file_where_the_folder_should_be(tmp_path):
    touch(tmp_path, "out")
    for folder in (tmp_path / "out", tmp_path / "out" / "sub"):
        with pytest.raises(OutputError, match="out"):
            claim(folder)


# --- running ------------------------------------------------------------------------------------


def work(name):
    if name == "known":
        raise InputError("a.npy: is not so")
    if name == "bug":
        raise ZeroDivisionError("two\nlines")
    return name.upper()


@pytest.mark.parametrize("workers", [1, 3, None])
def test_failures_are_kept_by_id_and_do_not_stop_the_run(workers, capfd):
    ids = ["c", "bug", "a", "known", "b"]
    outcome = run_images(work, ids, workers=workers, progress=False)
    assert outcome.results == {"a": "A", "b": "B", "c": "C"}
    assert list(outcome.results) == ["a", "b", "c"]
    assert outcome.failures == {
        "bug": "bug: ZeroDivisionError: two lines",
        "known": "a.npy: is not so",
    }
    assert capfd.readouterr().err == ""


def test_processes_give_the_same(monkeypatch):
    monkeypatch.setattr(batch, "PROCESSES_PAY", 0)
    outcome = run_images(work, ["a", "bug"], workers=2, prefer="processes", progress=False)
    assert outcome.results == {"a": "A"}
    assert list(outcome.failures) == ["bug"]


@dataclass
class Lookup:
    """Work that holds a value of every image, and says in which process it ran."""

    values: dict[str, int]

    def only(self, image_id):
        return Lookup({image_id: self.values[image_id]})

    def __call__(self, image_id):
        return self.values[image_id], len(self.values), os.getpid()


@pytest.mark.parametrize(("pay", "elsewhere"), [(0, True), (5, False)])
def test_processes_get_what_one_image_needs_once_they_pay(monkeypatch, pay, elsewhere):
    monkeypatch.setattr(batch, "PROCESSES_PAY", pay)
    work = Lookup({"a": 1, "b": 2, "c": 3})
    outcome = run_images(work, list("abc"), workers=2, prefer="processes", progress=False)
    assert [found[:2] for found in outcome.results.values()] == [(1, 1), (2, 1), (3, 1)]
    assert all((pid != os.getpid()) == elsewhere for *_, pid in outcome.results.values())


def test_no_image_and_no_worker():
    assert run_images(work, [], workers=2, progress=False).results == {}
    for workers in (0, -1):
        with pytest.raises(InputError, match="workers"):
            run_images(work, ["a"], workers=workers, progress=False)


def test_the_progress_bar_goes_to_stderr(capfd):
    run_images(np.array, ["a", "b"], workers=1, title="refining")
    out, err = capfd.readouterr()
    assert out == ""
    assert "refining" in err
    assert "2/2" in err
    assert os.linesep not in out


def test_a_file_is_replaced_by_the_same_run_only(tmp_path):
    path = tmp_path / "boxes.json"
    claim_file(path, "c2am-boxes", {"threshold": 0.5})
    path.write_text("first")
    claim_file(path, "c2am-boxes", {"threshold": 0.5})
    assert path.read_text() == "first"
    with pytest.raises(OutputError, match="not of a c2am-boxes run with these settings"):
        claim_file(path, "c2am-boxes", {"threshold": 0.6})
    assert path.read_text() == "first"
    claim_file(path, "c2am-boxes", {"threshold": 0.6}, overwrite=True)
    assert not path.exists()


def test_a_file_of_somebody_else_is_not_replaced(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text("theirs")
    with pytest.raises(OutputError, match="is there already"):
        claim_file(path, "c2am-boxes", {})
    assert path.read_text() == "theirs"
    with pytest.raises(OutputError, match="is a folder"):
        claim_file(tmp_path, "c2am-boxes", {}, overwrite=True)
