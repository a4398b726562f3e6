"""The page of a training run: curves, pictures by epoch, from what the run wrote."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from html_page import Page

from c2am_plugin.training.page import PICTURES, write_training_page
from c2am_plugin.training.run_log import Journal, picture_grid

COLUMNS = ("step", "epoch", "loss", "lr")


def write_run(folder, steps, per_epoch=4, picture_every=2):
    rng = np.random.default_rng(0)
    with closing(Journal(folder, COLUMNS, settings={"recipe": "<b>small</b>"})) as journal:
        for step in range(1, steps + 1):
            epoch = (step - 1) // per_epoch + 1
            journal.write({"step": step, "epoch": epoch, "loss": 1 / step, "lr": 0.1})
            if (step - 1) % picture_every == 0:
                photos = rng.integers(0, 256, (8, 3, 64, 64), dtype=np.uint8)
                journal.picture(step, picture_grid(photos, rng.random((8, 8, 8))))


@pytest.mark.slow
def test_closing_the_log_writes_the_page(tmp_path):
    write_run(tmp_path, 12)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.tags.count("svg") == 2  # loss and lr
    assert "12 steps · 3 epochs" in page.text
    assert "<b>small</b>" in page.text
    # the first picture, and the last of each epoch
    steps = [f"step {step} epoch {epoch}" for step, epoch in ((1, 1), (3, 1), (7, 2), (11, 3))]
    assert all(each in page.text for each in steps)
    assert page.tags.count("img") == 4
    labels = [attrs["aria-label"] for tag, attrs in page.elements if tag == "svg"]
    assert any(
        f"of the first epoch {(1 + 1 / 2 + 1 / 3 + 1 / 4) / 4:.4g}" in each for each in labels
    )


@pytest.mark.slow
def test_a_long_run_shows_some_pictures_and_stays_small(tmp_path):
    write_run(tmp_path, 100, per_epoch=4)
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(source)
    assert page.tags.count("img") == PICTURES
    assert "step 1 epoch 1" in page.text
    assert "step 99 epoch 25" in page.text
    assert len(source.encode()) < 5_000_000


def test_a_run_without_steps_or_pictures(tmp_path):
    write_run(tmp_path, 0)
    assert "The run wrote no pictures" in Page((tmp_path / "report.html").read_text()).text
    write_run(tmp_path / "other", 1, picture_every=1)
    assert Page((tmp_path / "other" / "report.html").read_text()).tags.count("img") == 1


def test_a_page_that_cannot_be_written_does_not_end_the_run(tmp_path, caplog):
    (tmp_path / "report.html").mkdir()
    write_run(tmp_path, 2)
    assert "report.html: cannot be written" in caplog.text
    assert (tmp_path / "log.csv").exists()


def test_rows_without_a_value_are_left_out(tmp_path):
    write_run(tmp_path, 2)
    with open(tmp_path / "log.csv", "a") as file:
        file.write("3,1,,0.1\n")
    Page(write_training_page(tmp_path, {}).read_text())


def test_the_same_photographs_stand_above_their_maps_of_each_epoch(tmp_path):
    photos = np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64), dtype=np.uint8)
    with closing(Journal(tmp_path, COLUMNS)) as journal:
        for step in (1, 2, 3, 4):
            journal.write({"step": step, "epoch": (step + 1) // 2, "loss": 1.0, "lr": 0.1})
            if step % 2 == 0:
                grid = picture_grid(photos, np.full((4, 8, 8), step / 4))
                journal.picture(step, grid, same=True)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "The same photographs by epoch" in page.text
    alts = [attrs["alt"] for tag, attrs in page.elements if tag == "img"]
    assert [alt.removesuffix(" of the run’s sample") for alt in alts] == [
        "photographs",
        "maps after epoch 1",
        "maps after epoch 2",
    ]
