"""The examples in docstrings are run, and every public function has one and names its arguments."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re

import pytest

import c2am_plugin

MODULES = (
    "cams",
    "crf.settings",
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
