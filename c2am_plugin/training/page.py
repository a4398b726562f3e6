"""The page of a training run: its curves, and its maps over photographs by epoch.

Reads what the run wrote, log.csv and pictures/; knows nothing of the network.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..files.folders import sample
from ..page.charts import Chart, Series, chart
from ..page.panels import MOST_BYTES, Panel, within
from ..page.pictures import grid_picture
from ..page.render import write_page
from .run_log import pictures

__all__ = ["PAGE", "write_training_page"]

PAGE = "report.html"
# Pictures on the page; a run of many epochs shows some of them, the first and the last included.
PICTURES = 12
NOT_CURVES = ("step", "epoch")


def write_training_page(folder: Path, settings: Mapping[str, Any]) -> Path:
    """Write `folder`/report.html from what is there now, and return its path.

    settings: of the run, shown as they are. Raises OutputError where it cannot be written.
    """
    columns = _read_log(folder / "log.csv")
    epochs = columns["epoch"]
    by_step = dict(zip(columns["step"].astype(int), epochs.astype(int), strict=True))
    same = _same_panels(pictures(folder, same=True), by_step)
    room = MOST_BYTES - sum(len(panel.uri) for panel in same)
    shown, left_out = within(_choose(pictures(folder), by_step), _panels, room)
    names = [name for name in columns if name not in NOT_CURVES]
    write_page(
        folder / PAGE,
        "training.html",
        folder=folder,
        steps=len(epochs),
        charts={name: _curve(name, columns) for name in names},
        names=names,
        epochs=[(epoch, _means(columns, names, epoch)) for epoch in np.unique(epochs).astype(int)],
        same=same,
        pictures=[(step, by_step.get(step), panels) for (step, _), panels in shown],
        left_out=left_out,
        settings=settings,
    )
    return folder / PAGE


def _read_log(path: Path) -> dict[str, np.ndarray]:
    """Each column as float64 [steps]; NaN where a row has no value. "epoch" is always there."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if (row["step"] or "").isdigit()]
        names = reader.fieldnames or []
    columns = {"epoch": np.ones(len(rows))}
    for name in names:
        columns[name] = np.array([float(row[name] or "nan") for row in rows], np.float64)
    return columns


def _choose(pictures: list[tuple[int, Path]], epochs: Mapping[int, int]) -> list[tuple[int, Path]]:
    """The first picture and the last of each epoch, at most `PICTURES` spread over the run."""
    last = {epochs.get(step): (step, path) for step, path in pictures}
    chosen = sorted({*pictures[:1], *last.values()})
    if len(chosen) <= PICTURES:
        return chosen
    return [*sample(chosen[:-1], PICTURES - 1), chosen[-1]]


def _panels(picture: tuple[int, Path]) -> list[Panel]:
    with Image.open(picture[1]) as image:
        return [Panel("photographs above their maps", grid_picture(image.convert("RGB")))]


def _same_panels(found: list[tuple[int, Path]], epochs: Mapping[int, int]) -> list[Panel]:
    """The photographs once, and below them their maps after each epoch."""
    panels: list[Panel] = []
    for step, path in found:
        with Image.open(path) as image:
            grid = image.convert("RGB")
        middle = grid.height // 2
        if not panels:
            panels.append(Panel("photographs", grid_picture(grid.crop((0, 0, grid.width, middle)))))
        maps = grid.crop((0, middle, *grid.size))
        panels.append(Panel(f"maps after epoch {epochs.get(step, '?')}", grid_picture(maps)))
    return panels


def _means(columns: Mapping[str, np.ndarray], names: list[str], epoch: int) -> list[str]:
    """The mean of each column over the steps of an epoch, as text."""
    mine = columns["epoch"] == epoch
    values = [columns[name][mine] for name in names]
    known = [value[~np.isnan(value)] for value in values]
    return [f"{value.mean():.4g}" if value.size else "–" for value in known]


def _curve(name: str, columns: Mapping[str, np.ndarray]) -> Chart:
    """A column over the steps, and its mean over each epoch."""
    steps, values, epochs = columns["step"], columns[name], columns["epoch"]
    ends, means = [], []
    for epoch in np.unique(epochs):
        mine = (epochs == epoch) & ~np.isnan(values)
        if mine.any():
            ends.append(steps[mine][-1])
            means.append(values[mine].mean())
    label = f"{name} over {len(steps)} steps"
    if means:
        label += f": mean of the first epoch {means[0]:.4g}, of the last {means[-1]:.4g}"
    series = [Series("cam", steps, values)]
    if len(means) > 1:
        series.append(Series("cues", ends, means))
    return chart(series, label, "step")
