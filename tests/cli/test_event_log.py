"""--log-json: every event of a command on a line of its own, from one process or from several."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_files import write_png

import c2am_plugin
from c2am_plugin.cli import boxes_main, describe_main, refine_main
from c2am_plugin.cli.event_log import EventLog
from c2am_plugin.errors import InputError
from c2am_plugin.runs.parallel import run_images

BIN = Path(sys.executable).parent


def events(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def of_kind(found, kind):
    return [each for each in found if each["event"] == kind]


def test_a_run_with_a_warning_and_a_bad_file(make_set, tmp_path, capsys):
    cams, cues = make_set()
    (cams / "b.npy").write_bytes(b"not a file")
    log = tmp_path / "log.jsonl"
    command = [str(cams), str(cues), "--method", "psa", "--flip-cues", "--quiet"]
    assert refine_main([*command, "--log-json", str(log)]) == 1
    shown = capsys.readouterr()
    found = events(log)
    assert (found[0]["event"], found[-1]["event"]) == ("start", "end")
    assert len({(each["pid"], each["host"], each["command"]) for each in found}) == 1
    start, end = found[0], found[-1]
    assert (start["command"], start["version"]) == ("c2am-refine", c2am_plugin.__version__)
    assert start["arguments"]["cam_dir"] == str(cams)
    assert start["arguments"]["flip_cues"] is True
    (failed,) = of_kind(found, "image failed")
    assert failed["id"] == "b"
    assert failed["reason"].startswith(f"{cams}/b.npy: ")
    warnings = [each["message"] for each in of_kind(found, "warning")]
    assert any("--flip-cues flips it" in message for message in warnings)  # the command's words
    assert all(message in shown.err for message in warnings)
    assert (end["status"], end["seconds"] > 0) == (1, True)
    assert end["counts"]["failed"] == 1
    assert end["counts"]["warnings"] == len(warnings)
    assert end["counts"]["stages"]["refining"] == {"done": 3, "failed": 1}
    last = shown.out.splitlines()[-1]
    assert last.startswith(f"wrote {end['written']} (report: ")
    assert last.endswith(f"; next: {end['next']}")


def test_what_stops_a_run_is_in_its_last_line(tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    assert describe_main([str(tmp_path / "none"), "--log-json", str(log)]) == 1
    shown = capsys.readouterr().err
    end = events(log)[-1]
    assert (end["event"], end["status"]) == ("end", 1)
    assert shown == f"c2am-describe: {end['error']}\n"


def test_a_crash_has_a_last_line_too(tmp_path, monkeypatch, capsys):
    write_png(tmp_path / "cues" / "a.png", np.eye(8) * 255)
    log = tmp_path / "log.jsonl"

    def crash(*args, **options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("c2am_plugin.boxes.make_boxes.make_boxes", crash)
    with pytest.raises(ZeroDivisionError):
        boxes_main([str(tmp_path / "cues"), "-o", str(tmp_path / "o.json"), "--log-json", str(log)])
    end = events(log)[-1]
    assert (end["status"], end["error"]) == (1, "ZeroDivisionError: a bug")


def test_lines_are_appended_and_half_a_line_is_left_alone(make_set, tmp_path):
    cams, cues = make_set()
    log = tmp_path / "log.jsonl"
    log.write_text('{"event": "sta')  # of a run that was killed
    command = [str(cams), str(cues), "--method", "psa", "--quiet", "--log-json", str(log)]
    assert refine_main(command) == 0
    assert refine_main(command) == 0
    half, *lines = log.read_text().splitlines()
    assert half == '{"event": "sta'
    kinds = [json.loads(line)["event"] for line in lines]
    assert [kind for kind in kinds if kind != "warning"] == ["start", "end"] * 2


@pytest.mark.slow
def test_shards_write_into_one_file(make_set, tmp_path):
    cams, cues = make_set(ids=[f"i{n}" for n in range(12)])
    log = tmp_path / "log.jsonl"
    for path in sorted(cams.iterdir())[::2]:
        path.write_bytes(b"bad")
    command = [BIN / "c2am-refine", cams, cues, "--method", "psa", "--quiet"]
    runs = [
        subprocess.Popen(
            [*command, "--shard", f"{part}/3", "-o", tmp_path / "out", "--log-json", log],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for part in (1, 2, 3)
    ]
    assert [run.wait(300) for run in runs] == [1, 1, 1]
    found = events(log)
    assert {each["shard"] for each in found} == {"1/3", "2/3", "3/3"}
    assert len(of_kind(found, "start")) == len(of_kind(found, "end")) == 3
    assert sorted(each["id"] for each in of_kind(found, "image failed")) == sorted(
        path.stem for path in sorted(cams.iterdir())[::2]
    )


def test_an_image_is_told_when_it_fails_and_once(tmp_path, caplog):
    """A second stage that meets the same bad file adds nothing."""
    log = tmp_path / "log.jsonl"
    events_of = EventLog(str(log), "c2am-refine", {}, lambda text: text, pytest.fail)
    logger = logging.getLogger("c2am_plugin")
    logger.addHandler(events_of)
    caplog.set_level("DEBUG", "c2am_plugin")

    def bad(item):
        raise InputError(f"{item.image_id}: bad")

    class Item:
        image_id = "x"

    try:
        for title in ("calibrating", "refining"):
            run_images(bad, [Item()], workers=1, title=title, progress=False)
        assert len(of_kind(events(log), "image failed")) == 1  # before the end
        events_of.end(1)
    finally:
        logger.removeHandler(events_of)
    assert events(log)[-1]["counts"]["stages"] == {
        "calibrating": {"done": 0, "failed": 1},
        "refining": {"done": 0, "failed": 1},
    }


@pytest.mark.parametrize("where", ["no/such/folder/log", "."])
def test_a_log_that_cannot_be_opened_stops_the_run_before_it_begins(
    make_set, tmp_path, capsys, where
):
    cams, cues = make_set()
    log = tmp_path / where
    assert refine_main([str(cams), str(cues), "--method", "psa", "--log-json", str(log)]) == 1
    assert capsys.readouterr().err.startswith(f"c2am-refine: {log}: cannot be written (")
    assert not (tmp_path / "cams_c2am").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is not here")
def test_a_full_disk_ends_the_log_and_not_the_run(make_set, tmp_path, capsys):
    cams, cues = make_set()
    assert refine_main([str(cams), str(cues), "--method", "psa", "--log-json", "/dev/full"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "the log ends here" in line]
    assert len(lines) == 1


@pytest.mark.kills
def test_an_interrupted_run_has_its_last_line(make_set, tmp_path):
    cams, cues = make_set(ids=[f"i{n}" for n in range(300)], size=(300, 400))
    log = tmp_path / "log.jsonl"
    run = subprocess.Popen(
        [BIN / "c2am-refine", cams, cues, "--method", "psa", "--workers", "1", "--log-json", log],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not log.exists() or not log.read_text():
        time.sleep(0.01)
    run.send_signal(signal.SIGTERM)
    _, shown = run.communicate(timeout=300)
    end = events(log)[-1]
    if run.returncode:  # it may have been done before
        assert (end["event"], end["status"]) == ("end", run.returncode)
        assert "interrupted" in end["error"]
        assert "interrupted" in shown
