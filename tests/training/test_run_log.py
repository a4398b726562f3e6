"""The log of a training run: rows, pictures, and the same for TensorBoard."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from c2am_plugin.training.run_log import Journal

GRID = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture
def board(monkeypatch):
    """What TensorBoard's writer is told, in order; the package itself need not be there."""
    told = []

    class Writer:
        def __init__(self, folder, purge_step):
            told.append(("opened", Path(folder).name, purge_step))

        def add_scalar(self, name, value, step):
            told.append((name, value, step))

        def add_image(self, name, grid, step, dataformats):
            told.append((name, grid.shape, step, dataformats))

        def close(self):
            told.append("closed")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return told


def test_tensorboard_gets_every_number_and_picture_of_the_log(tmp_path, board):
    with closing(Journal(tmp_path, ("step", "loss"), tensorboard=True)) as journal:
        journal.write({"step": 1, "loss": 0.5})
        journal.picture(1, GRID)
    with closing(Journal(tmp_path, ("step", "loss"), first_step=1, tensorboard=True)) as journal:
        journal.write({"step": 2, "loss": 0.25})
    assert board == [
        ("opened", "tensorboard", 1),
        ("step", 1, 1),
        ("loss", 0.5, 1),
        ("maps", (4, 6, 3), 1, "HWC"),
        "closed",
        ("opened", "tensorboard", 2),
        ("step", 2, 2),
        ("loss", 0.25, 2),
        "closed",
    ]
    assert (tmp_path / "log.csv").read_text().split() == ["step,loss", "1,0.5", "2,0.25"]


def test_going_on_drops_what_came_after_the_step(tmp_path):
    """A run that was killed had gone further than what it kept."""
    with closing(Journal(tmp_path, ("step", "loss"))) as journal:
        for step in (1, 2, 3):
            journal.write({"step": step, "loss": 1 / step})
            journal.picture(step, GRID + np.uint8(step))
            journal.picture(step, GRID, same=True)
    (tmp_path / "pictures" / "step_by_step.png").touch()  # someone's own
    with (tmp_path / "log.csv").open("a") as file:
        file.write("4,0.")  # cut short
    with closing(Journal(tmp_path, ("step", "loss", "speed"), first_step=2)) as journal:
        journal.write({"step": 3, "loss": 9.0, "speed": 7})
    lines = (tmp_path / "log.csv").read_text().split()
    assert lines == ["step,loss,speed", "1,1,", "2,0.5,", "3,9,7"]
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in pictures] == [
        "same_000001.png",
        "same_000002.png",
        "step_000001.png",
        "step_000002.png",
        "step_by_step.png",
    ]
    with Image.open(pictures[3]) as image:
        np.testing.assert_array_equal(np.asarray(image), GRID + np.uint8(2))
