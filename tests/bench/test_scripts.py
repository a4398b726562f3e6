"""The scripts of `make bench` work: they measure the package as it is now."""

from __future__ import annotations

import importlib

import bench_all
import bench_metrics
import pytest


@pytest.mark.parametrize("name", [*bench_all.SCRIPTS, "bench_boxes", "bench_scale"])
def test_a_script_can_be_loaded(name):
    assert importlib.import_module(name)


def test_the_metrics_are_equal_in_both_ways():
    rows = bench_metrics.rows(2)
    assert len(rows) == 2
    assert {row[-1] for row in rows} == {"equal"}
