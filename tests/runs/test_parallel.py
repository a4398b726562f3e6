"""Running many images: lists, folders, atomic files, failures."""

from __future__ import annotations

import os

import joblib
import numpy as np
import pytest
from items import OnNames, named
from small_files import files_below, touch

from c2am_plugin.errors import InputError, OutputError
from c2am_plugin.files.folders import find_files, first_names
from c2am_plugin.files.lists import read_ids
from c2am_plugin.files.writing import atomic_path, write_json
from c2am_plugin.runs import parallel
from c2am_plugin.runs.parallel import run_images

NAMES = ["1e5", "000000000030", "2007_000032", "a.b.c", "with space", "größe", "val/0001", "a/b/c"]


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


def test_a_folder_that_may_not_be_read_is_reported(tmp_path, monkeypatch):
    """Its files would be missing without a word."""
    touch(tmp_path, "a.npy", "closed/b.npy")
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # a mode of 000 does not stop root
    with pytest.raises(InputError, match=r"closed: cannot be listed \(Permission denied\)"):
        find_files(tmp_path, (".npy",))


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


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n \r\n",
        b"a\0b\n",
        b"\x1b[2J\n",
        b"/\n",
        b"../a\n",
        b"a/../../b\n",
        b"\xff\xfe\x00",
        b"\x89PNG\r\n",
    ],
)
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
    said = r"a\.npy: cannot be written \(Is a directory\)"
    with pytest.raises(OutputError, match=said), atomic_path(path) as temporary:
        temporary.write_text("x")
    assert files_below(tmp_path) == set()


def test_json_that_cannot_be_written(tmp_path):
    touch(tmp_path, "file")
    with pytest.raises(OutputError, match="file"):
        write_json(tmp_path / "file" / "a.json", {})


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
    outcome = run_images(OnNames(work), named(ids), workers=workers, progress=False)
    assert outcome.results == {"a": "A", "b": "B", "c": "C"}
    assert list(outcome.results) == ["a", "b", "c"]
    assert outcome.failures == {
        "bug": "bug: ZeroDivisionError: two lines",
        "known": "known: a.npy: is not so",
    }
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_processes_give_the_same(monkeypatch):
    monkeypatch.setattr(parallel, "MIN_IMAGES_FOR_PROCESSES", 0)
    outcome = run_images(
        OnNames(work), named(["a", "bug"]), workers=2, prefer="processes", progress=False
    )
    assert outcome.results == {"a": "A"}
    assert list(outcome.failures) == ["bug"]


@pytest.mark.parametrize(("pay", "elsewhere"), [(0, True), (5, False)])
def test_images_go_to_processes_once_these_pay(monkeypatch, pay, elsewhere):
    monkeypatch.setattr(parallel, "MIN_IMAGES_FOR_PROCESSES", pay)
    work = OnNames(lambda name: (name.upper(), os.getpid()))
    outcome = run_images(work, named("abc"), workers=2, prefer="processes", progress=False)
    assert [found for found, _ in outcome.results.values()] == ["A", "B", "C"]
    assert all((pid != os.getpid()) == elsewhere for _, pid in outcome.results.values())


def run_three():
    return run_images(OnNames(work), named("abc"), workers=1, progress=False).results


def test_a_run_within_somebody_elses_worker_process():
    found = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(run_three)() for _ in range(3))
    assert found == [{"a": "A", "b": "B", "c": "C"}] * 3


def test_no_image_and_no_worker():
    assert run_images(work, [], workers=2, progress=False).results == {}
    for workers in (0, -1):
        with pytest.raises(InputError, match="workers"):
            run_images(work, named("a"), workers=workers, progress=False)


def test_the_progress_bar_goes_to_stderr(capfd):
    run_images(OnNames(np.array), named("ab"), workers=1, title="refining")
    out, err = capfd.readouterr()
    assert out == ""
    assert "refining" in err
    assert "2/2" in err
    assert os.linesep not in out
