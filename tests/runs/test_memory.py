"""Memory that is kept by the process, where its C library can be told so."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from c2am_plugin.runs.memory import keep_freed_memory


@pytest.fixture
def library(monkeypatch):
    """Puts something in the place of the C library, and calls anew."""

    def use(found):
        monkeypatch.setattr(ctypes, "CDLL", found)
        keep_freed_memory.__wrapped__()

    return use


def test_glibc_is_told_to_keep_everything_in_one_arena(library):
    told = []
    library(lambda name: SimpleNamespace(mallopt=lambda *pair: told.append(pair)))
    assert told == [(-4, 0), (-1, 2**31 - 1), (-8, 1)]


@pytest.mark.parametrize("error", [TypeError, OSError])
def test_other_systems_are_left_alone(library, error):
    """Windows has no library of no name (TypeError); musl and macOS have no mallopt."""

    def none(name):
        raise error("no library")

    library(none)
    library(lambda name: SimpleNamespace())
