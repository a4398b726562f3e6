"""What the commands import before there is anything to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from c2am_plugin import cli

pytestmark = pytest.mark.slow

HEAVY = {"numpy", "scipy", "torch", "torchvision", "numba", "PIL", "imageio", "joblib", "tqdm"}
CODE = """
import contextlib, sys
from c2am_plugin import cli
for words in (["--help"], ["--version"], ["--no-such-option"]):
    with contextlib.suppress(SystemExit):
        getattr(cli, sys.argv[1])(words)
print(*sys.modules)
"""


def test_help_and_usage_errors_answer_without_waiting_for_numpy_or_torch():
    for name in cli.__all__:
        words = [sys.executable, "-c", CODE, name]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert "usage: c2am-" in done.stdout
        assert "--no-such-option" in done.stderr or "required" in done.stderr
        assert not HEAVY & set(done.stdout.splitlines()[-1].split()), name
