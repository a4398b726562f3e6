"""The scripts of `make bench` work: they measure the package as it is now."""

from __future__ import annotations

import importlib
from pathlib import Path

import bench_all
import bench_metrics
import bench_train
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


def test_a_row_without_a_ratio_stays_without():
    (row,) = bench_all.merged([[("loading", "31 images/s", "", "", "")]] * 2)
    assert (row["ratio"], row["ratios"]) == ("", [])


def test_a_share_is_no_ratio():
    with pytest.raises(ValueError, match="expected a ratio"):
        bench_all.merged([[("share", "3 ms", "30 ms", "10.0%", "")]])


def test_the_rows_of_training_have_a_ratio_or_none(monkeypatch):
    monkeypatch.setattr(bench_train, "LOADED", 4)
    monkeypatch.setattr(bench_train, "ROUNDS", 1)
    monkeypatch.setattr(bench_train, "NETWORKS", (("squeezenet1_1", 2, 32),))
    monkeypatch.setattr(bench_train, "_memory", lambda *_: ("memory", "", "", "1.00×", ""))
    rows = bench_all.merged([bench_train.rows()])
    assert any(row["ratios"] for row in rows)
    assert all(row["ratio"] for row in rows if row["reference"].endswith("(contiguous)"))
