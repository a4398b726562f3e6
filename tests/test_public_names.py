"""The public names: each is there, and none is imported before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import c2am_plugin

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("name", c2am_plugin.__all__)
def test_every_public_name_is_there(name):
    assert getattr(c2am_plugin, name) is not None
    assert name in dir(c2am_plugin)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'refine_cam'"):
        c2am_plugin.refine_cam  # noqa: B018


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import c2am_plugin", {"numpy", "torch", "numba", "PIL", "imageio"}),
        ("from c2am_plugin import refine_cams, read_photo, get_adapter", {"torch", "torchvision"}),
    ],
)
def test_importing_waits_for_nothing_that_is_not_used(code, absent):
    code += "; import sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "c2am_plugin" in loaded
    assert not absent & set(loaded)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_examples_import_public_names_where_there_are_any(path):
    imports = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("c2am_plugin.")
    ]
    names = {each.name for node in imports for each in node.names}
    assert not names & set(c2am_plugin.__all__)
