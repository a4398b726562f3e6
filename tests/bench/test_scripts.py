"""The scripts of `make bench` work: they measure the package as it is now."""

from __future__ import annotations

import importlib
from pathlib import Path

import bench_all
import bench_metrics
import pytest

FOLDER = Path(bench_all.__file__).parent


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("[!t_]*.py")))
def test_a_script_can_be_loaded(name):
    assert importlib.import_module(name)


def test_every_script_of_the_table_has_rows():
    assert all(callable(importlib.import_module(name).rows) for name in bench_all.SCRIPTS)


def test_the_metrics_are_equal_in_both_ways():
    rows = bench_metrics.rows(2)
    assert len(rows) == 2
    assert {row[-1] for row in rows} == {"equal"}
