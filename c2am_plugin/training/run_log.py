"""The log of a training run: a CSV file, TensorBoard events, pictures of the maps.

Knows numbers and pixels, not where they come from.
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import MissingDependency, OutputError
from ..files.writing import atomic_path

__all__ = ["Journal", "picture_grid", "pictures"]

log = logging.getLogger("c2am_plugin")


class Journal:
    """The rows and pictures of one run, written immediately.

    folder       gets log.csv, pictures/ and, if requested, tensorboard/
    columns      of the log; the first is "step", counted from 1
    first_step   number of finished steps: their rows and pictures stay, later ones are removed
    tensorboard  also write scalars and pictures for TensorBoard; raises MissingDependency if it is
                 not installed
    settings     of the run, for the page that `close` writes
    """

    def __init__(
        self,
        folder: Path,
        columns: tuple[str, ...],
        first_step: int = 0,
        tensorboard: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.columns, self.settings = folder, columns, settings or {}
        self._board = _open_board(folder / "tensorboard", first_step) if tensorboard else None
        log = folder / "log.csv"
        kept = _earlier_rows(log, first_step)
        with (
            atomic_path(log) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            rows = csv.DictWriter(file, columns)
            rows.writeheader()
            rows.writerows({name: row.get(name, "") for name in columns} for row in kept)
        self._file = log.open("a", newline="", encoding="utf-8")
        self._rows = csv.DictWriter(self._file, columns)
        for step, picture in pictures(folder) + pictures(folder, same=True):
            if step > first_step:
                picture.unlink()

    def write(self, row: Mapping[str, float]) -> None:
        """Add one row and flush it."""
        self._rows.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        self._file.flush()
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, row["step"])

    def picture(self, step: int, grid: np.ndarray, same: bool = False) -> None:
        """Write a picture, uint8 H×W×3, as pictures/step_NNNNNN.png; same: the same photographs
        each time, as pictures/same_NNNNNN.png."""
        name = f"{'same' if same else 'step'}_{step:06d}.png"
        with atomic_path(self.folder / "pictures" / name) as temporary:
            Image.fromarray(grid).save(temporary, format="PNG")
        if self._board is not None:
            tag = "maps of the same photographs" if same else "maps"
            self._board.add_image(tag, grid, step, dataformats="HWC")

    def close(self) -> None:
        """Close the log, and write the page of what is there, also of a run that failed."""
        from .page import write_training_page

        self._file.close()
        if self._board is not None:
            self._board.close()
        try:
            write_training_page(self.folder, self.settings)
        except OutputError as error:  # a page is not worth a run
            log.warning("%s", error)


def pictures(folder: Path, same: bool = False) -> list[tuple[int, Path]]:
    """(step, file) of the pictures of a run, by step."""
    found = []
    for path in (folder / "pictures").glob("*.png"):
        if match := re.fullmatch("same_([0-9]+)" if same else "step_([0-9]+)", path.stem):
            found.append((int(match[1]), path))
    return sorted(found)


def _open_board(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependency(
            "`tensorboard` needs the package tensorboard, which is not installed; run pip install "
            "tensorboard, or omit it: log.csv contains the same numbers"
        ) from error
    return SummaryWriter(str(folder), purge_step=first_step + 1)


def _earlier_rows(path: Path, last_step: int) -> list[dict[str, str]]:
    """The rows of a log up to a step. A row truncated by a crash is left out."""
    if last_step == 0 or not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if (row["step"] or "").isdigit() and int(row["step"]) <= last_step]


def picture_grid(
    images: Sequence[np.ndarray] | np.ndarray,
    p: Sequence[np.ndarray] | np.ndarray,
    columns: int = 8,
    side: int = 128,
) -> np.ndarray:
    """Photographs above their maps: uint8 H×W×3.

    images: N arrays uint8 3×H×W RGB. p: N arrays float h×w in [0, 1], shown from blue (0) to red
    (1) over the photograph. columns: pairs per row of the grid. side: of a square, in pixels.
    """
    rows = []
    for start in range(0, len(images), columns):
        pairs = [
            _pair(image, one, side)
            for image, one in zip(
                images[start : start + columns], p[start : start + columns], strict=True
            )
        ]
        pairs += [np.zeros_like(pairs[0])] * (columns - len(pairs) if start else 0)
        rows.append(np.concatenate(pairs, axis=1))
    return np.concatenate(rows)


def _pair(image: np.ndarray, p: np.ndarray, side: int) -> np.ndarray:
    """uint8 2·side×side×3: the photograph, and below it the photograph under its map."""
    photo = Image.fromarray(image.transpose(1, 2, 0)).resize((side, side))
    level = Image.fromarray((p * 255).round().astype(np.uint8)).resize((side, side))
    red = np.asarray(level, np.float32)
    heat = np.stack([red, np.zeros_like(red), 255 - red], axis=2)
    shown = np.asarray(photo)
    return np.concatenate([shown, (0.5 * shown + 0.5 * heat).astype(np.uint8)])
