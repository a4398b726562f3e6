"""What every training keeps to, as a suite that the test classes of the commands inherit."""

from __future__ import annotations

import csv
import itertools
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from c2am_plugin.errors import InputError, OutputError

Start = Callable[..., Any]


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def same_state(one: Path, other: Path) -> bool:
    a, b = (torch.load(path, weights_only=True)["state_dict"] for path in (one, other))
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) for k in a)


def interrupt_after(run: Path, n_rows: int) -> None:
    """Press Ctrl-C as soon as the log has so many rows."""
    while not (run / "log.csv").exists() or len(rows(run)) < n_rows:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)


class TrainingContract:
    """The test module has two fixtures: start(run, **settings), a run of 3 epochs of 2 steps, and
    `finished`, the folder of an uninterrupted one.

    rate: that of `start`. resume: settings of a call that goes on.
    """

    rate: float
    resume: ClassVar[dict[str, Any]] = {}

    @pytest.mark.parametrize(("n_rows", "workers"), [(1, 0), (3, 2)])
    def test_an_interrupted_run_ends_with_the_same_weights(
        self, start: Start, finished: Path, tmp_path: Path, n_rows: int, workers: int
    ) -> None:
        run = tmp_path / "run"
        handlers = signal.getsignal(signal.SIGINT)
        threading.Thread(target=interrupt_after, args=(run, n_rows), daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            start(run, workers=workers)
        assert signal.getsignal(signal.SIGINT) is handlers
        assert (run / "resume.pt").exists()
        assert len(rows(run)) < 6
        torch.rand(3)
        start(run, **self.resume)
        assert same_state(run / "last.pt", finished / "last.pt")
        assert [row["step"] for row in rows(run)] == list("123456")
        assert [row["loss"] for row in rows(run)] == [row["loss"] for row in rows(finished)]
        assert not (run / "resume.pt").exists()

    def test_a_run_that_was_killed_continues_from_its_last_epoch(
        self, start: Start, finished: Path, tmp_path: Path
    ) -> None:
        """What a kill leaves is what lies there at some moment after the first epoch."""
        run, left = tmp_path / "run", tmp_path / "left"

        def copy() -> None:
            while not (run / "resume.pt").exists():
                time.sleep(0.001)
            left.mkdir()
            for name in ("resume.pt", "log.csv"):
                shutil.copy(run / name, left / name)

        killer = threading.Thread(target=copy, daemon=True)
        killer.start()
        start(run)
        killer.join()
        for record in tmp_path.glob("run.*.json"):
            shutil.copy(record, tmp_path / record.name.replace("run", "left", 1))
        assert start(left).steps == 6
        assert same_state(left / "last.pt", finished / "last.pt")
        assert [row["step"] for row in rows(left)] == list("123456")

    def test_the_same_photographs_are_shown_by_epoch_at_no_cost(
        self, start: Start, finished: Path, tmp_path: Path
    ) -> None:
        """Looking changes neither weights nor statistics nor what is drawn at random."""
        start(tmp_path / "bare", picture_every=0)
        assert not (tmp_path / "bare" / "pictures").exists()
        assert same_state(tmp_path / "bare" / "last.pt", finished / "last.pt")
        shown = sorted((finished / "pictures").glob("same_*.png"))
        assert [path.name for path in shown] == [f"same_{step:06d}.png" for step in (2, 4, 6)]
        grids = [np.asarray(Image.open(path)) for path in shown]
        assert {grid.shape for grid in grids} == {(2 * 128, 4 * 128, 3)}
        for one, other in itertools.pairwise(grids):
            assert (one[:128] == other[:128]).all()
            assert (one[128:] != other[128:]).any()

    def test_a_finished_run_is_left_as_it_is(self, start: Start, finished: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
        result = start(finished)
        assert (result.checkpoint, result.steps) == (finished / "last.pt", 6)
        assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before

    def test_another_run_is_not_overwritten_unless_asked(
        self, start: Start, tmp_path: Path
    ) -> None:
        run, other = tmp_path / "run", 2 * self.rate
        start(run)
        before = (run / "last.pt").read_bytes()
        with pytest.raises(OutputError, match=rf"lr {self.rate} then, {other} now.*`overwrite"):
            start(run, lr=other)
        with pytest.raises(InputError):  # a mistake costs nothing either
            start(run, weights="no such weights", overwrite=True)
        assert (run / "last.pt").read_bytes() == before
        start(run, lr=other, overwrite=True)
        assert len(rows(run)) == 6
        assert torch.load(run / "last.pt", weights_only=True)["info"]["settings"]["lr"] == other

    def test_the_seed_decides(self, start: Start, finished: Path, tmp_path: Path) -> None:
        before = torch.get_rng_state()
        start(tmp_path / "same")
        assert torch.equal(torch.get_rng_state(), before)  # the caller's randomness is his own
        start(tmp_path / "other", seed=1)
        assert same_state(tmp_path / "same" / "last.pt", finished / "last.pt")
        assert not same_state(tmp_path / "other" / "last.pt", finished / "last.pt")
