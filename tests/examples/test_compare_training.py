"""The scores of examples/compare_training.py, and the order of its trainings."""

from __future__ import annotations

from pathlib import Path

import compare_training as module
import numpy as np
import pytest


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(0)
    values, truth = rng.integers(0, 12, 300), rng.random(300) < 0.4
    by_truth = np.bincount(values + 256 * truth, minlength=512).reshape(2, 256)
    difference = values[truth][:, None] - values[~truth][None]
    expected = (difference > 0).mean() + 0.5 * (difference == 0).mean()
    assert module.auc(by_truth) == pytest.approx(expected)
    assert np.isnan(module.auc(np.zeros((2, 256), int)))


def test_the_most_important_trainings_come_first(tmp_path: Path) -> None:
    data = {name: tmp_path / name for name in ("one", "two")}
    (data["two"] / "unlabelled").mkdir(parents=True)
    plan = module.Plan(tmp_path, data, tmp_path / "w", None, None, None)
    jobs = module.jobs_of(plan, 2, list(module.ARMS))
    assert [job.name for job in jobs[:3]] == [
        "small on one, seed 0",
        "small on two, seed 0",
        "small on one, seed 1",
    ]
    assert {job.photos for job in jobs} == {"one", "two", "two+", "all"}
    assert not any("lite0" in job.arm for job in jobs)  # no weights were given
    assert len({plan.result(job) for job in jobs}) == len(jobs)
