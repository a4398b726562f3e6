"""A training run of the classifier in its folder: epochs of steps, and what is written of them.

Knows what RUN/ contains (last.pt, resume.pt, log.csv, pictures/, report.html, classes.txt) and
when a training has failed.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..errors import InputError
from ..files.folders import first_names
from ..files.writing import atomic_path
from ..runs.signals import interrupts
from ..training.batches import BatchOrder, training_loader
from ..training.run_log import Journal, picture_grid
from ..training.settings import UNREADABLE
from .checkpoint import save_classifier
from .data import LabelledImages, collate
from .step import StepLosses
from .trainer import ClassifierTrainer

__all__ = ["COLUMNS", "ClassifierResult", "Run"]

log = logging.getLogger(__name__)

COLUMNS = (
    "step",
    "epoch",
    "loss",
    "classification",
    "rcm",
    "mam",
    "lr",
    "images_per_second",
    "label_accuracy",
    "foreground",
    "regions",
    "similarity",
    "distance",
)


@dataclass(frozen=True)
class ClassifierResult:
    """checkpoint: RUN/last.pt. steps: of the whole run. loss, label_accuracy: means of the last
    epoch, NaN where the run was finished before. unreadable: one message for each image left out.
    """

    checkpoint: Path
    steps: int
    loss: float
    label_accuracy: float
    unreadable: tuple[str, ...]


class Run:
    """The loop around the trainer. Every rank goes through the same steps; the first one writes."""

    def __init__(
        self,
        out: Path,
        settings: dict[str, Any],
        classes: tuple[str, ...],
        trainer: ClassifierTrainer,
        views: LabelledImages,
    ) -> None:
        self.out, self.settings, self.classes = out, settings, classes
        self.trainer, self.views, self.ranks = trainer, views, trainer.ranks
        plan = trainer.plan
        self.order = BatchOrder(
            len(views), plan.batch_size, plan.epochs, trainer.seed, trainer.step, self.ranks
        )
        self.rows: list[dict[str, float]] = []  # of the running epoch
        self.means = {"loss": math.nan, "label_accuracy": math.nan}  # of the last whole epoch
        self.unreadable: dict[str, None] = {}

    def go(self, workers: int | None, picture_every: int, progress: bool) -> None:
        """Make the steps that are left; on an interrupt finish one, keep its state and stop."""
        trainer = self.trainer
        with ExitStack() as stack:
            asked = stack.enter_context(interrupts())
            journal = None
            if self.ranks.is_first:
                journal = Journal(self.out, COLUMNS, trainer.step, settings=self.settings)
                stack.callback(journal.close)
            silent = not (progress and self.ranks.is_first)
            bar = stack.enter_context(
                tqdm(desc="training", initial=trainer.step, total=trainer.steps, disable=silent)
            )
            last = time.perf_counter()
            for (images, labels), errors in training_loader(
                self.views, self.order, workers, collate
            ):
                self._note_unreadable(errors, len(images))
                losses = trainer.advance(images, labels)
                now = time.perf_counter()
                row = self._row(losses, trainer.plan.batch_size / (now - last))
                last = now
                self.rows.append(row)
                if journal is not None:
                    journal.write(row)
                    if picture_every and (trainer.step - 1) % picture_every == 0:
                        photos = images[:8].numpy()
                        maps = losses.maps[: len(photos)].cpu().numpy()
                        journal.picture(trainer.step, picture_grid(photos, maps))
                if trainer.step % self.order.steps_per_epoch == 0:
                    self._end_epoch()
                bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
                bar.update()
                if any(self.ranks.collect(asked.is_set())):
                    self.ranks.first(lambda: trainer.save(self.out / "resume.pt"))
                    raise KeyboardInterrupt

    def finish(self) -> ClassifierResult:
        """Write the checkpoint and the class names, and say what came of the run."""
        path, trainer = self.out / "last.pt", self.trainer
        if self.ranks.is_first:
            with atomic_path(self.out / "classes.txt") as temporary:
                temporary.write_text("\n".join(("background", *self.classes)) + "\n", "utf-8")
            info = {"settings": self.settings, "step": trainer.step}
            save_classifier(path, trainer.model.main, self.classes, info)
            (self.out / "resume.pt").unlink(missing_ok=True)
            if self.unreadable:
                log.warning("%d images cannot be read and were left out:", len(self.unreadable))
            for message in self.unreadable:
                log.warning("  %s", message)
        loss, accuracy = self.means["loss"], self.means["label_accuracy"]
        return ClassifierResult(path, trainer.step, loss, accuracy, tuple(self.unreadable))

    def _note_unreadable(self, errors: list[str], n_good: int) -> None:
        counts = []
        for their_errors, count in self.ranks.collect((errors, n_good)):
            self.unreadable.update(dict.fromkeys(their_errors))
            counts.append(count)
        allowed = max(1, len(self.views) // UNREADABLE)
        if len(self.unreadable) > allowed or not all(counts):
            raise InputError(
                f"{len(self.unreadable)} of {len(self.views)} images cannot be read, more than "
                f"are left out silently ({allowed}): {first_names(self.unreadable, 3)}"
            )

    def _row(self, losses: StepLosses, speed: float) -> dict[str, float]:
        trainer = self.trainer
        row: dict[str, float] = {
            "step": trainer.step,
            "epoch": (trainer.step - 1) // self.order.steps_per_epoch + 1,
            "loss": float(losses.total),
            "classification": float(losses.classification),
            "lr": trainer.optimizer.param_groups[0]["lr"],
            "images_per_second": speed,
            "label_accuracy": float(losses.correct),
        }
        for name in ("rcm", "mam", "foreground", "regions", "similarity"):
            if (value := getattr(losses, name)) is not None:
                row[name] = float(value)
        if losses.foreground is not None:
            row["distance"] = trainer.distance()
        return row

    def _end_epoch(self) -> None:
        self.means = {name: float(np.mean([row[name] for row in self.rows])) for name in self.means}
        self.rows.clear()
        if self.ranks.is_first:
            self.trainer.save(self.out / "resume.pt")
