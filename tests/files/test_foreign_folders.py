"""Folders that somebody else filled: pipes and devices, mazes of links, names that are hostile."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
from adapter_contract import stored
from PIL import Image
from small_files import write_png

from c2am_adapters.npy import load_npy
from c2am_plugin.boxes.truths import find_truths, read_truth
from c2am_plugin.cli import boxes_main, refine_main
from c2am_plugin.errors import C2AMError, InputError, OutputError
from c2am_plugin.files.cues import read_cue
from c2am_plugin.files.folders import find_files
from c2am_plugin.files.labels import read_label
from c2am_plugin.files.lists import read_ids
from c2am_plugin.files.photos import read_photo
from c2am_plugin.refine.report import RefineReport
from c2am_plugin.registry import get_adapter
from c2am_plugin.runs.locks import lock_folder
from c2am_plugin.runs.merging import merge_reports
from c2am_plugin.runs.output_folders import read_record

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")

READERS = {
    "cam.npy": load_npy,
    "cue.npy": read_cue,
    "cue.png": read_cue,
    "label.png": read_label,
    "photo.jpg": read_photo,
    "run.json": read_record,
    "box.xml": lambda path: read_truth(find_truths(path.parent).find("box")),
    "out.c2am-refine.1-of-1.json": lambda path: merge_reports(
        path.with_name("out"), {"c2am-refine": RefineReport}
    ),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path, name, kind):
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/null")
    else:
        if name == "box.xml":
            pytest.skip("a folder is no XML file")
        path.mkdir()
    with pytest.raises(C2AMError, match="a directory, pipe or device; expected a file") as caught:
        READERS[name](path)
    assert str(path) in str(caught.value)


def test_a_run_continues_beside_a_pipe_and_a_device(make_set, tmp_path, capsys):
    cams, cues = make_set()
    os.mkfifo(cams / "pipe.npy")
    (cams / "null.npy").symlink_to("/dev/null")
    write_png(cues / "pipe.png", np.zeros((24, 32)))
    write_png(cues / "null.png", np.zeros((24, 32)))
    assert refine_main([str(cams), str(cues), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert f"{cams / 'pipe.npy'}: cannot be read (a directory, pipe or device" in said
    assert f"{cams / 'null.npy'}: cannot be read (a directory, pipe or device" in said
    assert sorted(find_files(tmp_path / "out", (".npy",))) == ["a", "b", "c", "d"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_a_file_larger_than_the_memory_is_one_line(tmp_path):
    """Whose first bytes are no .npy file's is not even read."""
    import resource

    empty, real = tmp_path / "empty.npy", tmp_path / "real.npy"
    empty.touch()
    np.save(real, np.zeros(4))
    for path in (empty, real):
        os.truncate(path, 2**36)
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**35, before[1]))
    try:
        with pytest.raises(
            InputError, match=r"empty\.npy: is of an unknown type .* not a \.npy file"
        ):
            load_npy(empty)
        with pytest.raises(InputError, match=r"real\.npy: does not fit into memory"):
            load_npy(real)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def mutual(folder, count):
    for here in range(count):
        (folder / f"d{here}").mkdir(parents=True)
        (folder / f"d{here}" / "x.npy").touch()
        for there in set(range(count)) - {here}:
            (folder / f"d{here}" / f"l{there}").symlink_to(f"../d{there}")


def test_folders_that_link_to_each_other_end(tmp_path):
    mutual(tmp_path / "two", 2)
    assert list(find_files(tmp_path / "two", (".npy",))) == [
        "d0/l1/l0/x",
        "d0/l1/x",
        "d0/x",
        "d1/l0/l1/x",
        "d1/l0/x",
        "d1/x",
    ]


def test_a_maze_of_links_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("c2am_plugin.files.folders.MOST_FAR", 100)
    mutual(tmp_path, 6)
    with pytest.raises(InputError, match="too many links to each other"):
        find_files(tmp_path, (".npy",))


def test_a_link_in_place_of_the_lock_leads_nowhere(tmp_path):
    """What it leads to would be overwritten with who holds the lock."""
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".c2am-lock").symlink_to(mine)
    with pytest.raises(OutputError, match=r"is a link.*remove it"), lock_folder(tmp_path / "out"):
        pass
    assert mine.read_text() == "mine"


def test_a_link_in_place_of_the_lock_is_reported(make_set, tmp_path, capsys):
    cams, cues = make_set()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".c2am-lock").symlink_to(tmp_path / "mine.txt")
    assert refine_main([str(cams), str(cues), "-o", str(tmp_path / "out")]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{tmp_path / 'out' / '.c2am-lock'}: is a link" in last
    assert not (tmp_path / "mine.txt").exists()


def test_messages_command_no_terminal_and_are_one_line(tmp_path, capsys):
    cams, cues = tmp_path / "cams", tmp_path / "cues"
    name = "red\x1b[31m\nand more"
    np.save(cams_file(cams / f"{name}.npy"), np.zeros(3))
    np.save(cams / "good.npy", stored("psa", np.array([3]), np.full((1, 24, 32), 0.5, "f4"), None))
    for each in (name, "good"):
        write_png(cues / f"{each}.png", np.zeros((24, 32)))
    call = [str(cams), str(cues), "--method", "psa", "-o", str(tmp_path / "out")]
    assert refine_main(call) == 1
    said = capsys.readouterr().err
    assert r"red\x1b[31m and more.npy: contains ndarray" in said
    assert all(line.isprintable() for line in said.splitlines())
    assert "\x1b[31m" not in said


def cams_file(path):
    path.parent.mkdir()
    return path


def test_a_record_that_was_tampered_with_fills_no_screen(make_set, tmp_path, capsys):
    cams, cues = make_set()
    call = [str(cams), str(cues), "-o", str(tmp_path / "out")]
    assert refine_main(call) == 0
    record = tmp_path / "out.c2am-refine.json"
    settings = json.loads(record.read_text())["settings"] | {"method": "\x1b[2J" * 10**5}
    settings |= {f"unknown {n}": n for n in range(10**4)}
    record.write_text(json.dumps({"settings": settings}))
    capsys.readouterr()
    assert refine_main(call) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "method " in last
    assert "and 9995 more then, not known now" in last
    assert len(last) < 2500
    assert "\x1b" not in last


def test_long_and_strange_ids_of_a_list_fill_no_screen(make_set, tmp_path, capsys):
    cams, cues = make_set()
    ids = tmp_path / "ids.txt"
    ids.write_text("a" * 10**6)
    assert refine_main([str(cams), str(cues), "--ids", str(ids)]) == 1
    assert len(capsys.readouterr().err.splitlines()[-1]) < 1000


def test_a_list_in_another_encoding_says_what_to_do(tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("000000000030\n", encoding="utf-16")
    with pytest.raises(InputError, match=r"ids\.txt: is not UTF-8 text .* save the list as UTF-8"):
        read_ids(ids)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names are bytes on Linux alone")
def test_a_name_that_is_no_utf8_is_written_as_it_is(tmp_path):
    name = b"caf\xe9"
    pixels = np.zeros((24, 32))
    pixels[4:8, 4:8] = 255
    write_png(tmp_path / "cues" / "x.png", pixels)
    os.rename(tmp_path / "cues" / "x.png", os.fsencode(tmp_path / "cues") + b"/" + name + b".png")
    assert boxes_main([str(tmp_path / "cues"), "-o", str(tmp_path / "boxes.txt")]) == 0
    assert (tmp_path / "boxes.txt").read_bytes() == name + b" 4 4 8 8\n"


@pytest.mark.parametrize("clip", [False, True])
def test_a_cam_that_is_one_number_is_refused(clip):
    maps, number = np.full((1, 24, 32), 0.5, np.float32), np.array(0.5, np.float32)
    content = {"keys": np.array([3]), "cam": number, "high_res": maps}
    with pytest.raises(InputError, match=r"strided is \(\)"):
        get_adapter("advcam").parse(content, "id", clip=clip)


def test_a_cmyk_picture_is_its_colours_and_not_its_ink(tmp_path):
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None], 16, axis=0)
    picture = Image.merge("RGB", [Image.fromarray(grey)] * 3)
    path = tmp_path / "cue.png"
    picture.convert("CMYK").save(path, format="TIFF")
    np.testing.assert_allclose(1 - read_cue(path), grey / 255, atol=1e-6)


def test_a_photograph_of_floating_pixels_is_refused(tmp_path):
    """Pillow would cut what lies in [0, 1] off to black."""
    path = tmp_path / "photo.tiff"
    Image.fromarray(np.full((24, 32), 0.5, np.float32)).save(path)
    with pytest.raises(InputError, match=r"photo\.tiff: has floating pixels; expected"):
        read_photo(path)
