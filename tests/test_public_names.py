"""The public names: each is there, and none is imported before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import c2am_plugin


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
