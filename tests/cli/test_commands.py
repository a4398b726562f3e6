"""What all commands have in common: their options, help, exit codes, and what they print last."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from small_files import write_png

import c2am_plugin
from c2am_plugin import cli
from c2am_plugin.cli import bench, boxes, convert, cues, describe, refine, saliency, show, train

BIN = Path(sys.executable).parent
PARSERS = {
    "bench": bench._bench_parser,
    "boxes": boxes._boxes_parser,
    "convert": convert._convert_parser,
    "cues": cues._cues_parser,
    "describe": describe._describe_parser,
    "refine": refine._refine_parser,
    "saliency": saliency._saliency_parser,
    "show": show._show_parser,
    "train": train._train_parser,
}
NEEDED = {
    "bench": ["--cams", "psa=C", "--cues", "C", "--gt", "G", "-o", "O"],
    "boxes": ["C", "-o", "O"],
    "convert": ["C", "--to", "irn", "-o", "O"],
    "cues": ["I", "--checkpoint", "F", "-o", "O"],
    "describe": ["C"],
    "refine": ["C", "C"],
    "saliency": ["I", "C", "-o", "O"],
    "show": ["C", "C", "R", "--images", "I", "-o", "O"],
    "train": ["I", "-o", "O"],
}
WRONG = {
    "--workers": "-1",
    "--strength": "-1",
    "--calibrate": "maybe",
    "--method": "other",
    "--shard": "3/2",
    "--boundary": "1.5",
    "--threshold": "x",
    "--crf-backend": "cuda",
    "--scales": "-1",
    "--batch-size": "0",
    "--epochs": "0",
    "--lr": "0",
    "--recipe": "large",
    "--seed": "-1",
    "--band": "0",
    "--picture-every": "x",
}


def called(command, *arguments):
    try:
        return getattr(cli, f"{command}_main")([str(each) for each in arguments])
    except SystemExit as stop:
        return stop.code


def options_of(command):
    return {text: each for each in PARSERS[command]()._actions for text in each.option_strings}


@pytest.mark.parametrize("command", [*PARSERS, "merge"])
def test_version_is_the_packages(command, capsys):
    assert called(command, "--version") == 0
    assert capsys.readouterr().out == f"c2am-{command} {c2am_plugin.__version__}\n"


@pytest.mark.parametrize("command", PARSERS)
def test_every_option_is_explained_and_a_group_fits_a_screen(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    parser = PARSERS[command]()
    for action in parser._actions:
        assert action.help, action.dest
    assert {"--quiet", "--version", "--help"} <= set(options_of(command))
    _, *groups = parser.format_help().split("\n\n")
    titles = [group.splitlines()[0] for group in groups if group.splitlines()[0].endswith(":")]
    assert titles[0] == "options:"
    assert titles[-1] == "running:"
    assert max(len(group.splitlines()) for group in groups) <= 24


@pytest.mark.parametrize(
    ("command", "option"),
    [(command, option) for command in PARSERS for option in WRONG if option in options_of(command)],
)
def test_the_same_wrong_value_is_the_same_exit_code(command, option, capsys):
    assert called(command, *NEEDED[command], option, WRONG[option]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert option in shown.err.splitlines()[-1]


@pytest.mark.parametrize("command", PARSERS)
def test_a_folder_that_is_not_there_is_bad_input_in_one_line(
    command, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert called(command, *NEEDED[command], "--quiet") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"c2am-{command}: ")
    assert shown.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("cues", ["--boundary", "agree"]),
        ("cues", ["--cams", "X"]),
        ("cues", ["--boundary", "agree", "--cams", "X", "--shard", "1/2"]),
        ("bench", ["--crf"]),
        ("bench", ["--cams", "psa=D"]),
        ("bench", ["--cams", "other=D"]),
        ("bench", ["--cams", "auto=D"]),
        ("bench", ["--cams", "psa"]),
        ("boxes", ["--predictions", "P"]),
        ("refine", ["--page", "P"]),
        ("refine", ["--page", "P", "--images", "I", "--shard", "1/2"]),
        ("refine", ["--page", "P", "--images", "I", "--labels", "L", "--labels-only"]),
        ("refine", ["--classes", "voc"]),
        ("saliency", ["--checkpoint", "F"]),
        ("train", ["--sync-bn", "--micro-batch", "2"]),
    ],
)
def test_options_that_do_not_fit_each_other_are_wrong_usage(command, arguments, capsys):
    assert called(command, *NEEDED[command], *arguments) == 2
    assert capsys.readouterr().out == ""


def test_both_names_of_an_option_mean_the_same():
    for command, second in (("cues", "boundary"), ("boxes", "boundary")):
        one, two = (
            vars(PARSERS[command]().parse_args([*NEEDED[command], name, "0.4"]))
            for name in ("--boundary", "--threshold")
        )
        assert one == two
        assert one[second] == 0.4
    one, two = (
        vars(PARSERS["refine"]().parse_args(["C", "C", name, "0.4"]))
        for name in ("--background-score", "--threshold")
    )
    assert one == two


def test_describe_has_a_command_and_its_older_spellings(make_set, capsys):
    _, cue_dir = make_set()
    assert called("describe", cue_dir) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith("use ")
    for older in (["--describe", cue_dir], [f"--describe={cue_dir}"]):
        assert called("cues", *older) == 0
        assert capsys.readouterr().out == said


def test_quiet_shows_warnings_and_the_result_only(make_set, refine):
    cam_dir, cue_dir = make_set()
    code, out, lines = refine(cam_dir, cue_dir, "--quiet", "--flip-cues")
    assert code == 0
    polarity, greys = lines  # the two warnings that such cues deserve
    assert "polarity looks wrong" in polarity
    assert "--calibrate on" in greys
    assert out.splitlines()[-1].startswith("wrote refined CAMs to ")
    assert len(refine(cam_dir, cue_dir, "--flip-cues", "--overwrite")[2]) > 2  # loud again


@pytest.mark.slow
def test_the_bar_is_for_terminals(make_set, tmp_path):
    cam_dir, cue_dir = make_set()

    def run(*arguments):
        own, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = [BIN / "c2am-refine", cam_dir, cue_dir, "-o", tmp_path / "out", "--overwrite"]
        done = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, stderr=other)
        os.close(other)
        seen = b""
        try:
            while part := os.read(own, 4096):
                seen += part
        except OSError:  # the end of a terminal
            pass
        os.close(own)
        assert done.returncode == 0, seen
        return seen.decode()

    assert "refining: 100%" in run()
    assert "%" not in run("--quiet")


@pytest.mark.parametrize("name", ["boxes.json", "with space.json"])
def test_the_last_line_names_what_was_written_and_what_comes_next(tmp_path, capsys, name):
    write_png(tmp_path / "my cues" / "a.png", np.eye(8) * 255)
    out = tmp_path / name
    assert called("boxes", tmp_path / "my cues", "-o", out) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"wrote boxes to {out} (report: {out}.c2am-boxes.json); next: ")
    assert f"c2am-boxes '{tmp_path}/my cues' -o" in last
