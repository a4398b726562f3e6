"""The examples in docstrings are run, and every public function has one and names its arguments."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import typing

import pytest

import c2am_plugin

MODULES = (
    "cams",
    "crf.settings",
    "errors",
    "files.class_lists",
    "files.folders",
    "files.labels",
    "files.names",
    "files.value_ranges",
    "network.loss",
    "network.recipes",
    "refine.formula",
    "refine.image",
    "registry",
    "runs.shards",
)
PUBLIC = [getattr(c2am_plugin, name) for name in c2am_plugin.__all__ if name != "__version__"]
FUNCTIONS = [each for each in PUBLIC if inspect.isfunction(each)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name):
    found = doctest.testmod(importlib.import_module(f"c2am_plugin.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_public_functions_explain_each_argument_and_show_a_call(function):
    text = inspect.getdoc(function)
    assert set(inspect.signature(function).parameters) <= set(re.findall(r"\w+", text))
    assert ">>> " in text
    assert "Raises" in text


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_what_an_example_uses_of_a_result_is_there(function):
    """Also in examples that are skipped because they need files."""
    text = "\n".join(each.source for each in doctest.DocTestParser().get_examples(function.__doc__))
    made = {}  # variable: the public function whose result it is
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            made[node.targets[0].id] = _called(node.value)
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Attribute):
            continue
        name = made.get(node.value.id) if isinstance(node.value, ast.Name) else _called(node.value)
        if name in c2am_plugin.__all__:
            result = typing.get_type_hints(getattr(c2am_plugin, name))["return"]
            known = {*dir(result), *typing.get_type_hints(result)}
            assert node.attr in known, f"{name}(…).{node.attr}"


def _called(node):
    is_name = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return node.func.id if is_name else None
