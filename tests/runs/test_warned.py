"""The warnings of a run in its report: all of them, each once, and none of another run."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from c2am_plugin.cli import merge_main
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.runs.warned import keeps_warnings, warnings_so_far

log = logging.getLogger("c2am_plugin.somewhere")


@keeps_warnings
def run(*messages):
    for message in messages:
        log.warning("%s", message)
    return warnings_so_far()


def test_warnings_are_kept_in_order_and_each_once():
    assert run("b", "a", "b") == ["b", "a"]
    assert run("c") == ["c"]
    assert warnings_so_far() == []


def test_information_is_not_a_warning(caplog):
    caplog.set_level(logging.INFO, "c2am_plugin")
    log.info("all is well")
    assert keeps_warnings(lambda: (log.info("fine"), warnings_so_far())[1])() == []


def test_two_runs_at_once_keep_their_own():
    both = Barrier(2, timeout=60)

    @keeps_warnings
    def one(name):
        both.wait()
        log.warning("%s", name)
        both.wait()
        return warnings_so_far()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, "xy")) == [["x"], ["y"]]


def test_a_script_without_logging_still_sees_them():
    code = (
        "import logging; from c2am_plugin.runs.warned import keeps_warnings\n"
        "keeps_warnings(lambda: logging.getLogger('c2am_plugin.a').warning('look out'))()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "look out\n"


def test_refine_stores_its_warnings(make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    report = refine_cams(
        cam_dir, cue_dir, tmp_path / "out", flip_cues=True, progress=False, workers=1
    )
    stored = json.loads((tmp_path / "out.c2am-refine.json").read_text())["report"]["warnings"]
    assert report.warnings == stored
    assert any("polarity looks wrong" in line for line in stored)


def test_merged_shards_keep_each_warning_once(make_set, tmp_path, capsys):
    cam_dir, cue_dir = make_set()
    out = tmp_path / "out"
    for shard in ("1/2", "2/2"):
        refine_cams(cam_dir, cue_dir, out, flip_cues=True, shard=shard, progress=False, workers=1)
    assert merge_main([str(out)]) == 0
    capsys.readouterr()
    stored = json.loads((tmp_path / "out.c2am-refine.json").read_text())["report"]["warnings"]
    assert len(stored) == len(set(stored)) > 0
