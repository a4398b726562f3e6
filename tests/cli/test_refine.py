"""c2am-refine as a user meets it: exit codes, one line on stderr, what is said and where."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_files import write_png

COMMAND = Path(sys.executable).with_name("c2am-refine")


def test_a_plain_run_says_where_first_and_reports_last(refine, make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    code, out, lines = refine(cam_dir, cue_dir)
    assert code == 0
    assert lines[0] == f"c2am-refine: refined CAMs go to {tmp_path / 'cams_c2am'}"
    assert "psa" in lines[1]
    assert "sc_cam (0.15), seam (0.26)" in lines[1]
    assert "--method" in lines[1]
    assert out.startswith("refined 4 images")
    last = out.strip().splitlines()[-1]
    assert last.startswith(f"wrote refined CAMs to {tmp_path / 'cams_c2am'} (report: ")
    assert last.endswith(f"; next: c2am-bench --cams psa={cam_dir} --cues {cue_dir} "
                         "--gt TRUTH -o PAGE")  # fmt: skip
    report = Path(last.partition("(report: ")[2].partition(")")[0])
    assert json.loads(report.read_text())["report"]["refined"] == 4
    assert len(list((tmp_path / "cams_c2am").iterdir())) == 4


@pytest.mark.slow
def test_the_installed_command(make_set, tmp_path):
    if not COMMAND.exists():
        pytest.skip("the package is not installed here")
    cam_dir, cue_dir = make_set("advcam", ids=("größe", "with space", "1e5"))
    call = [COMMAND, cam_dir, cue_dir, "-o", tmp_path / "my out", "--workers", "2"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "%" not in done.stderr  # bars are for terminals
    assert done.stdout.startswith("refined 3 images")
    again = subprocess.run(call, capture_output=True, text=True, check=False)
    assert "refined 0 images" in again.stdout
    assert "3 already done" in again.stdout
    broken = subprocess.run([*call, "--strength", "2"], capture_output=True, text=True, check=False)
    assert broken.returncode == 1
    assert broken.stdout == ""
    assert "Traceback" not in broken.stderr


def test_help_is_quick_and_names_every_option(refine):
    code, out, _ = refine("--help")
    assert code == 0
    for option in ("--method", "--threshold", "--labels", "--ids", "--workers", "--overwrite",
                   "--missing", "--strength", "--flip-cues", "-o"):  # fmt: skip
        assert option in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["CAMS"],
        ["CAMS", "CUES", "--threshold", "x"],
        ["CAMS", "CUES", "--threshold", "1"],
        ["CAMS", "CUES", "--threshold", "nan"],
        ["CAMS", "CUES", "--strength", "-1"],
        ["CAMS", "CUES", "--strength", "inf"],
        ["CAMS", "CUES", "--workers", "0"],
        ["CAMS", "CUES", "--workers", "1.5"],
        ["CAMS", "CUES", "--missing", "maybe"],
        ["CAMS", "CUES", "--method", "other"],
        ["CAMS", "CUES", "--crf"],
        ["CAMS", "CUES", "--crf", "--labels", "L"],
        ["CAMS", "CUES", "--unknown"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(refine, arguments):
    code, out, lines = refine(*arguments)
    assert code == 2
    assert out == ""
    assert lines[-1].startswith("c2am-refine: error: ")
    assert not any("Traceback" in line for line in lines)


def break_folders(case, cam_dir, cue_dir):
    """Arguments of a run that cannot start, and what it says."""
    if case == "no cams":
        return [cam_dir / "none", cue_dir], "none: no such folder"
    if case == "no cues":
        return [cam_dir, cue_dir / "none"], "none: no such folder"
    if case == "nothing pairs":
        for path in cue_dir.iterdir():
            path.rename(cue_dir / f"x{path.name}")
        return [cam_dir, cue_dir], "no image has both a CAM and a cue"
    if case == "a cue is missing":
        (cue_dir / "b.png").unlink()
        return [cam_dir, cue_dir], "1 of 4 images have no cue"
    if case == "output is input":
        return [cam_dir, cue_dir, "-o", cam_dir], "is the input"
    if case == "output in input":
        return [cam_dir, cue_dir, "-o", cam_dir / "out"], "inside the input"
    if case == "no list":
        return [cam_dir, cue_dir, "--ids", cam_dir / "none.txt"], "none.txt: cannot be read"
    if case == "output is a file":
        (cam_dir.parent / "file").touch()
        return [cam_dir, cue_dir, "-o", cam_dir.parent / "file"], "file: is a file"
    if case == "all unsafe":
        for path in cam_dir.iterdir():
            np.save(path, {1: subprocess.run})
        return [cam_dir, cue_dir], "asks for subprocess.run"
    raise AssertionError(case)


@pytest.mark.parametrize(
    "case",
    ["no cams", "no cues", "nothing pairs", "a cue is missing", "output is input",
     "output in input", "no list", "output is a file", "all unsafe"],
)  # fmt: skip
def test_a_run_that_cannot_start_says_why_in_one_line(refine, make_set, case):
    cam_dir, cue_dir = make_set()
    arguments, said = break_folders(case, cam_dir, cue_dir)
    code, out, lines = refine(*arguments)
    assert code == 1
    assert out == ""
    assert said in lines[-1]
    assert all(line.startswith("c2am-refine: ") for line in lines)
    assert len(lines) <= 4
    assert not (cam_dir.parent / "cams_c2am").exists()


def test_failures_are_listed_and_the_exit_code_is_1(refine, make_set, tmp_path):
    cam_dir, cue_dir = make_set(ids=[f"{index:02d}" for index in range(12)])
    for index in range(1, 8):
        (cam_dir / f"{index:02d}.npy").write_bytes(b"")
    code, out, lines = refine(cam_dir, cue_dir)
    assert code == 1
    assert "refined 5 images" in out
    assert "7 failed" in out
    listed = [line for line in lines if "is an empty file" in line]
    assert len(listed) == 5
    assert "01.npy" in listed[0]
    assert "7 images failed; all are listed in" in lines[-1]
    report = json.loads((tmp_path / "cams_c2am.c2am-refine.json").read_text())["report"]
    assert len(report["failures"]) == 7


@pytest.mark.slow
def test_cues_of_the_wrong_polarity_are_reported_with_the_flag(refine, make_set):
    cam_dir, cue_dir = make_set()
    code, _, right = refine(cam_dir, cue_dir, "-o", cam_dir.parent / "right")
    for path in cue_dir.iterdir():
        write_png(path, 255 - np.asarray(Image.open(path)))
    code, _, lines = refine(cam_dir, cue_dir)
    assert code == 0
    (warning,) = [line for line in lines if "--flip-cues" in line]
    assert " %" in warning
    assert not any("--flip-cues" in line for line in right)
    _, _, flipped = refine(cam_dir, cue_dir, "--flip-cues", "-o", cam_dir.parent / "flipped")
    assert not any("--flip-cues" in line for line in flipped)


def test_missing_cues_are_counted_and_named(refine, make_set):
    cam_dir, cue_dir = make_set(ids="abcdefgh")
    for name in "bcdefgh":
        (cue_dir / f"{name}.png").unlink()
    code, out, lines = refine(cam_dir, cue_dir, "--missing", "keep")
    assert code == 0
    assert any(f"7 images have no cue in {cue_dir} (b, c, d, e, f and 2 more)" in x for x in lines)
    assert "7 kept unchanged" in out


def test_a_list_with_windows_line_ends_chooses_images(refine, make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    (tmp_path / "ids.txt").write_bytes(b"b\r\n\r\nd\r\n")
    code, _, _ = refine(cam_dir, cue_dir, "--ids", tmp_path / "ids.txt", "-o", tmp_path / "out")
    assert code == 0
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"b", "d"}


def test_other_settings_need_overwrite(refine, make_set, tmp_path):
    cam_dir, cue_dir = make_set()
    assert refine(cam_dir, cue_dir)[0] == 0
    code, _, lines = refine(cam_dir, cue_dir, "--threshold", "0.3")
    assert code == 1
    assert "background_score 0.2 then, 0.3 now" in lines[-1]
    assert "--overwrite" in lines[-1]
    assert refine(cam_dir, cue_dir, "--threshold", "0.3", "--overwrite")[0] == 0


@pytest.mark.slow
def test_the_dense_crf_on_the_labels(refine, make_set, tmp_path):
    pytest.importorskip("numba", reason="numba is not installed")
    cam_dir, cue_dir = make_set(ids=("a", "b"))
    for name in "ab":
        write_png(
            tmp_path / "photos" / f"{name}.png",
            np.random.default_rng(0).integers(0, 255, (24, 32, 3)),
        )
    plain, smooth = tmp_path / "plain", tmp_path / "smooth"
    refine(cam_dir, cue_dir, "-o", tmp_path / "out", "--labels", plain)
    options = ["--labels", smooth, "--crf", "--images", tmp_path / "photos"]
    assert refine(cam_dir, cue_dir, "-o", tmp_path / "out2", *options)[0] == 0
    one, other = (np.asarray(Image.open(folder / "a.png")) for folder in (plain, smooth))
    assert one.shape == other.shape
    assert (tmp_path / "out" / "a.npy").read_bytes() == (tmp_path / "out2" / "a.npy").read_bytes()
    (tmp_path / "photos" / "b.png").unlink()
    code, _, lines = refine(cam_dir, cue_dir, "-o", tmp_path / "out3", *options, "--overwrite")
    assert code == 1
    assert "1 of 2 images have no photograph (b)" in lines[-1]


def test_interrupted_is_130(make_set, monkeypatch, refine):
    cam_dir, cue_dir = make_set()
    from c2am_plugin.refine import run as module

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_images", interrupt)
    code, _, lines = refine(cam_dir, cue_dir)
    assert code == 130
    assert lines[-1] == "c2am-refine: interrupted; run the same command again to continue"
