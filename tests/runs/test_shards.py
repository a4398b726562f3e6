"""Runs in N parts: disjoint, complete, the bytes of one run, and one report of all."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from small_files import contents

from c2am_plugin.cli.merge import merge_main
from c2am_plugin.cli.refine import refine_main
from c2am_plugin.errors import InputError
from c2am_plugin.refine.report import RefineReport
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.runs.merging import merge_reports
from c2am_plugin.runs.output_folders import record_path
from c2am_plugin.runs.shards import Shard

KINDS = {"c2am-refine": RefineReport}
IDS = [f"{index:02}" for index in range(11)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 11, 20])
def test_shards_are_disjoint_and_complete(count):
    parts = [Shard(index, count).of(IDS) for index in range(1, count + 1)]
    assert sorted(image_id for part in parts for image_id in part) == IDS
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2", ""])
def test_what_is_no_shard_is_wrong_usage(text, make_set, capsys):
    cam_dir, cue_dir = make_set()
    with pytest.raises(InputError, match="expected I/N"):
        refine_cams(cam_dir, cue_dir, shard=text)
    with pytest.raises(SystemExit) as stop:
        refine_main([str(cam_dir), str(cue_dir), f"--shard={text}"])
    assert stop.value.code == 2
    assert "expected I/N" in capsys.readouterr().err


def refine(cam_dir, cue_dir, out, **options):
    labels = out.with_name(out.name + "_labels")
    return refine_cams(
        cam_dir, cue_dir, out, labels=labels, calibrate="on", progress=False, **options
    )


@pytest.fixture
def whole(make_set, tmp_path):
    """(cam_dir, cue_dir, report) of one run without shards; one of the files is broken."""
    cam_dir, cue_dir = make_set("advcam", ids=IDS)
    (cam_dir / "04.npy").write_bytes(b"broken")
    return cam_dir, cue_dir, refine(cam_dir, cue_dir, tmp_path / "whole")


@pytest.mark.slow
def test_four_shards_do_what_one_run_does(whole, tmp_path, capsys):
    cam_dir, cue_dir, report = whole
    out = tmp_path / "parts"
    for index in (3, 1, 4, 2):
        refine(cam_dir, cue_dir, out, shard=f"{index}/4")
    assert contents(out) == contents(tmp_path / "whole")
    labels = (tmp_path / f"{name}_labels" for name in ("parts", "whole"))
    assert contents(next(labels)) == contents(next(labels))
    assert merge_main([str(out)]) == 1  # one image failed
    captured = capsys.readouterr()
    assert "refined 10 images" in captured.out
    assert "04.npy" in captured.err
    stored = json.loads(record_path(out, "c2am-refine").read_text())["report"]
    for name, value in asdict(report).items():
        if name not in ("out_dir", "seconds", "images_per_second"):
            assert stored[name] == pytest.approx(value), name


@pytest.mark.slow
def test_a_shard_resumes_and_knows_nothing_of_the_others(whole, tmp_path):
    cam_dir, cue_dir, _ = whole
    out = tmp_path / "parts"
    first = refine(cam_dir, cue_dir, out, shard="1/3")
    (out / "00.npy").unlink()
    again = refine(cam_dir, cue_dir, out, shard="1/3")
    assert (first.refined, first.already_there) == (4, 0)
    assert (again.refined, again.already_there) == (1, 3)
    assert len(contents(out)) == 4


@pytest.mark.slow
def test_shards_that_had_nothing_left_to_do_are_merged(whole, tmp_path):
    """They looked at no pixel, so there is no mean over pixels."""
    cam_dir, cue_dir, _ = whole
    (cam_dir / "04.npy").unlink()
    out = tmp_path / "parts"
    for index in (1, 2, 1, 2):
        refine(cam_dir, cue_dir, out, shard=f"{index}/2")
    [(_, merged)] = merge_reports(out, KINDS)
    assert (merged.refined, merged.already_there) == (0, 10)
    assert merged.foreground_before == 0


def test_the_commands_make_and_merge_shards(make_set, tmp_path, capsys):
    cam_dir, cue_dir = make_set(ids=IDS[:4])
    for index in (1, 2):
        words = [str(cam_dir), str(cue_dir), "-o", str(tmp_path / "out"), "--shard", f"{index}/2"]
        assert refine_main(words) == 0
    assert merge_main([str(tmp_path / "out")]) == 0
    assert "refined 4 images" in capsys.readouterr().out


@pytest.mark.slow
def test_a_missing_shard_is_reported(whole, tmp_path):
    cam_dir, cue_dir, _ = whole
    out = tmp_path / "parts"
    refine(cam_dir, cue_dir, out, shard="1/3")
    refine(cam_dir, cue_dir, out, shard="3/3")
    with pytest.raises(InputError, match="shard 2/3 has not finished"):
        merge_reports(out, KINDS)
    refine(cam_dir, cue_dir, out, shard="1/2")
    with pytest.raises(InputError, match="with 2 and with 3 shards"):
        merge_reports(out, KINDS)


@pytest.mark.parametrize("shard", [None, "1/1"])
def test_a_run_that_was_not_split_keeps_its_report(make_set, tmp_path, capsys, shard):
    """A job array of one runs shard 1/1, and merges as any other."""
    cam_dir, cue_dir = make_set(ids=IDS[:4])
    report = refine(cam_dir, cue_dir, tmp_path / "out", shard=shard)
    stored = record_path(tmp_path / "out", "c2am-refine").read_text()
    ((command, merged),) = merge_reports(tmp_path / "out", KINDS)
    assert command == "c2am-refine"
    for name, value in asdict(report).items():
        assert getattr(merged, name) == pytest.approx(value), name
    assert merge_main([str(tmp_path / "out")]) == 0
    assert "refined 4 images" in capsys.readouterr().out
    assert record_path(tmp_path / "out", "c2am-refine").read_text() == stored


def test_more_shards_than_images(make_set, tmp_path, capsys):
    cam_dir, cue_dir = make_set(ids=IDS[:2])
    for index in (1, 2, 3):
        refine(cam_dir, cue_dir, tmp_path / "out", shard=f"{index}/3")
    assert merge_main([str(tmp_path / "out")]) == 0
    assert "refined 2 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere/out", "no such folder"),
        ("out", "its parent folder contains no report of a run"),
        ("file/out", "no such folder"),
    ],
)
def test_where_no_run_was_there_is_nothing_to_merge(tmp_path, capsys, name, message):
    (tmp_path / "file").write_text("")
    assert merge_main([str(tmp_path / name)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"c2am-merge: {tmp_path / name}: {message}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"settings": {}}', "[" * 100_000, "\udcff"]
)
def test_a_damaged_report_is_reported(whole, tmp_path, content):
    cam_dir, cue_dir, _ = whole
    for index in (1, 2):
        refine(cam_dir, cue_dir, tmp_path / "parts", shard=f"{index}/2")
    path = record_path(tmp_path / "parts", "c2am-refine", "2-of-2")
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"2-of-2\.json: is not the report of a finished run"):
        merge_reports(tmp_path / "parts", KINDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{"of_another_version": 1}, {"refined": "many"}, {"failures": 3}]
)
def test_reports_that_do_not_fit_together_are_reported(whole, tmp_path, change, capsys):
    cam_dir, cue_dir, _ = whole
    for index in (1, 2):
        refine(cam_dir, cue_dir, tmp_path / "parts", shard=f"{index}/2")
    path = record_path(tmp_path / "parts", "c2am-refine", "2-of-2")
    content = json.loads(path.read_text())
    content["report"] |= change
    path.write_text(json.dumps(content))
    assert merge_main([str(tmp_path / "parts")]) == 1
    assert "the reports of its shards do not match" in capsys.readouterr().err


@pytest.mark.slow
def test_shards_of_other_settings_are_not_merged(whole, tmp_path):
    cam_dir, cue_dir, _ = whole
    for index in (1, 2):
        refine(cam_dir, cue_dir, tmp_path / "parts", shard=f"{index}/2")
    path = record_path(tmp_path / "parts", "c2am-refine", "2-of-2")
    content = json.loads(path.read_text())
    content["settings"]["strength"] = 0.5
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="ran with different settings"):
        merge_reports(tmp_path / "parts", KINDS)
