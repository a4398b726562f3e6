"""The loop of every training run: epochs of steps, what is written of them, and when to stop.

Knows what RUN/ contains (last.pt, resume.pt, log.csv, pictures/, report.html) and when too many
images are unreadable; not what a network learns, nor from what.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from ..files.folders import first_names
from ..runs.signals import interrupts
from .batches import BatchOrder, Views, training_loader
from .run_log import Journal, picture_grid
from .same_photos import is_shown, same_photos, unchanged
from .settings import UNREADABLE
from .trainer import BaseTrainer

__all__ = ["Loop"]

log = logging.getLogger(__name__)

SIDE = 320  # of the squares shown, where training sees whole photographs


class Loop:
    """A training run in its folder. Every rank makes the same steps; the first one writes.

    settings     of the run; "recipe", "epochs" and "seed" among them
    batch_size   images of a step, those of all ranks together
    tensorboard  also write TensorBoard's events

    A network's own loop has `columns`, `collate` and `square`, fills in `photos`, `maps`, `look`
    and `row`, adds to `end_epoch` what it checks or keeps, and calls `finish` with what writes its
    checkpoint.
    """

    columns: tuple[str, ...]  # of the log: those of `row`, and the four that this class notes
    collate: Callable[[list[Any]], tuple[Any, list[str]]]
    square: str  # the setting with the side of the squares that training sees
    fewest = 1  # images that a step needs
    unusable = "images cannot be read"

    def __init__(
        self,
        out: Path,
        settings: dict[str, Any],
        trainer: BaseTrainer,
        views: Views,
        batch_size: int,
        tensorboard: bool = False,
    ) -> None:
        self.out, self.settings, self.trainer, self.views = out, settings, trainer, views
        self.ranks, self.tensorboard = trainer.ranks, tensorboard
        epochs, seed = settings["epochs"], settings["seed"]
        self.order = BatchOrder(len(views), batch_size, epochs, seed, trainer.step, self.ranks)
        self.steps = epochs * self.order.steps_per_epoch
        self.rows: list[dict[str, float]] = []  # of the running epoch
        self.means = dict.fromkeys(self.columns, math.nan)  # of the last whole epoch
        self.unreadable: dict[str, None] = {}

    def photos(self, batch: Any) -> Any:
        """The images of a batch: a sequence of uint8 3×H×W, or N×3×H×W."""
        raise NotImplementedError

    def maps(self, step: Any) -> Any:
        """This rank's maps of a step, float h×w in [0, 1] each, in the order of `photos`."""
        raise NotImplementedError

    def look(self, pixels: Tensor, index: int) -> Tensor:
        """The map of image number `index`, uint8 1×3×s×s on the device: float h×w in [0, 1]."""
        raise NotImplementedError

    def row(self, batch: Any, step: Any) -> dict[str, float]:
        """The log's row for a step."""
        raise NotImplementedError

    def picture(self, batch: Any, step: Any) -> np.ndarray:
        """Photographs of a batch above their maps: uint8 H×W×3."""
        photos = [photo.numpy() for photo in self.photos(batch)[:8]]
        return picture_grid(photos, [np.asarray(p) for p in self.maps(step)[: len(photos)]])

    def end_epoch(self) -> None:
        """Keep the state after an epoch whose means are in `means`. All ranks call it."""
        if self.ranks.is_first:
            self.trainer.save(self.out / "resume.pt")

    def go(self, workers: int | None, picture_every: int, progress: bool) -> None:
        """Make the steps that are left; on an interrupt finish one, keep its state and stop."""
        self._announce()
        trainer, is_first = self.trainer, self.ranks.is_first
        loader = training_loader(self.views, self.order, workers, type(self).collate)
        with ExitStack() as stack:
            asked = stack.enter_context(interrupts())
            journal = None
            if is_first:
                journal = Journal(
                    self.out, self.columns, trainer.step, self.tensorboard, self.settings
                )
                stack.callback(journal.close)
            silent = not (progress and is_first)
            bar = stack.enter_context(
                tqdm(desc="training", initial=trainer.step, total=self.steps, disable=silent)
            )
            last = time.perf_counter()
            for batch, errors in loader:
                count = self._note_unreadable(errors, len(self.photos(batch)))
                step = trainer.advance(batch)
                now = time.perf_counter()
                row = self._common(count / (now - last)) | self.row(batch, step)
                last = now
                self.rows.append(row)
                if journal is not None:
                    journal.write(row)
                    if picture_every and (trainer.step - 1) % picture_every == 0:
                        journal.picture(trainer.step, self.picture(batch, step))
                if trainer.step % self.order.steps_per_epoch == 0:
                    self._take_means()
                    # Before the state is kept: a run that is killed between makes both again.
                    if journal is not None and picture_every:
                        self._show_same_photos(journal)
                    self.end_epoch()
                bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
                bar.update()
                if any(self.ranks.collect(asked.is_set())):
                    self.ranks.first(lambda: trainer.save(self.out / "resume.pt"))
                    raise KeyboardInterrupt

    def finish(self, save: Callable[[Path], None]) -> Path:
        """`save` the checkpoint on the first rank, log what was left out, and return its path."""
        path = self.out / "last.pt"
        if self.ranks.is_first:
            save(path)
            (self.out / "resume.pt").unlink(missing_ok=True)
            if self.unreadable:
                log.warning("%d %s and were left out:", len(self.unreadable), self.unusable)
            for message in self.unreadable:
                log.warning("  %s", message)
        return path

    def _announce(self) -> None:
        trainer, order = self.trainer, self.order
        log.info(
            "recipe %s: %d images, %d epochs of %d steps, batches of %d, on %s%s%s",
            self.settings["recipe"],
            len(self.views),
            order.epochs,
            order.steps_per_epoch,
            order.batch_size,
            trainer.where.type,
            f" by {self.ranks.count} processes" if self.ranks.count > 1 else "",
            " in bfloat16" if trainer.precision else "",
        )

    def _note_unreadable(self, errors: list[str], n_good: int) -> int:
        """Number of images in the batch of all ranks. Raises InputError where too few are left."""
        counts = []
        for their_errors, count in self.ranks.collect((errors, n_good)):
            self.unreadable.update(dict.fromkeys(their_errors))
            counts.append(count)
        allowed = max(1, len(self.views) // UNREADABLE)
        if len(self.unreadable) > allowed or sum(counts) < self.fewest or not all(counts):
            raise InputError(
                f"{len(self.unreadable)} of {len(self.views)} {self.unusable}, but at most "
                f"{allowed} may be left out: {first_names(self.unreadable, 3)}"
            )
        return sum(counts)

    def _common(self, speed: float) -> dict[str, float]:
        return {
            "step": self.trainer.step,
            "epoch": (self.trainer.step - 1) // self.order.steps_per_epoch + 1,
            "lr": self.trainer.optimizer.param_groups[0]["lr"],
            "images_per_second": speed,
        }

    def _show_same_photos(self, journal: Journal) -> None:
        """Write the maps of the same photographs after this epoch, if it is one to show."""
        trainer, order = self.trainer, self.order
        if not is_shown(trainer.step // order.steps_per_epoch, order.epochs):
            return
        photos = same_photos(self.views.paths, self.settings[self.square] or SIDE)
        with unchanged(trainer.model):
            maps = [
                self.look(torch.from_numpy(photo)[None].to(trainer.where), index)
                .nan_to_num()
                .cpu()
                .numpy()
                for index, photo in photos.items()
            ]
        if maps:
            journal.picture(trainer.step, picture_grid(list(photos.values()), maps), same=True)

    def _take_means(self) -> None:
        """The means of the epoch's rows; NaN for a column that none of them has."""
        for name in self.columns:
            values = [row[name] for row in self.rows if name in row]
            self.means[name] = float(np.mean(values)) if values else math.nan
        self.rows.clear()
