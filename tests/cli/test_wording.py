"""What the library calls an argument, each command calls by its own option."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

import pytest

import c2am_plugin
from c2am_plugin.cli.boxes import _boxes_parser
from c2am_plugin.cli.cues import _cues_parser
from c2am_plugin.cli.refine import _refine_parser
from c2am_plugin.cli.train import _train_parser
from c2am_plugin.cli.wording import as_options
from c2am_plugin.errors import InputError

PACKAGE = Path(c2am_plugin.__file__).parent
# What these print is a command line to copy.
PRINT_COMMANDS = {"bench/tables.py", "describe/report.py", "show/report.py"}


@pytest.mark.parametrize(
    ("parser", "message", "expected"),
    [
        (_refine_parser, "`crf` needs `images`", "--crf needs --images"),
        (_refine_parser, 'try `missing="keep"`', "try --missing keep"),
        (_refine_parser, "neither `out_dir` nor `cam_dir`", "neither --out nor CAM_DIR"),
        (_refine_parser, "set `flip_cues=True`", "set --flip-cues"),
        (_boxes_parser, '`form="psol"`, `all_components`', "--format psol, --all"),
        (_cues_parser, "`soft=False`", "--no-soft"),
        (_train_parser, "`micro_batch=3`, `amp=False`", "--micro-batch 3, --no-amp"),
        (_train_parser, "`polarity`, `a file`, ``", "`polarity`, `a file`, ``"),
    ],
)
def test_arguments_become_options(parser, message, expected):
    assert as_options(parser(), message) == expected


def test_an_argument_of_no_option_keeps_its_name():
    assert as_options(argparse.ArgumentParser("c2am-x"), "`labels`") == "`labels`"


@pytest.mark.slow
def test_the_library_names_no_option():
    option = re.compile(r"(?<![\w-])--[a-z]")
    named = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("cli/") or name in PRINT_COMMANDS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and "\n" not in text and option.search(text):
                named.append(f"{name}:{node.lineno} {text}")
    assert not named, named


def test_bad_input_is_a_value_error_too():
    assert issubclass(InputError, ValueError)
