"""A training run in its folder: epochs of steps, what is written of them, and when to stop.

Knows what RUN/ contains (last.pt, resume.pt, log.csv, pictures/, report.html) and when a training
has failed.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..errors import InputError, TrainingError
from ..files.folders import first_names, sample
from ..runs.signals import interrupts
from ..training.run_log import Journal, picture_grid
from ..training.settings import UNREADABLE
from .checkpoint import save_checkpoint
from .frozen import FrozenViews, remove_features
from .gradient import StepResult
from .hints import Hints
from .polarity import Polarity, border_vote, decide
from .trainer import Trainer
from .views import HintedImages

__all__ = ["COLUMNS", "Run", "TrainingResult"]

log = logging.getLogger(__name__)

COLUMNS = (
    "step",
    "epoch",
    "loss",
    "positive_foreground",
    "negative",
    "positive_background",
    "hint",
    "lr",
    "images_per_second",
    "p_mean",
    "p_within",
    "p_across",
    "p_border",
)
# P counts as constant where its deviation within images, or across them, is below this. A P that
# has learnt nothing yet has about 0.2, as BatchNorm gives its logits the deviation 1.
CONSTANT = 0.01
POLARITY_IMAGES = 512


@dataclass(frozen=True)
class TrainingResult:
    """checkpoint: RUN/last.pt. flag: P is high on the background. polarity: how that was decided.

    steps: of the whole run. loss: mean of the last epoch, NaN where the run was finished before.
    unreadable: one message for each image left out.
    """

    checkpoint: Path
    flag: bool
    polarity: dict[str, Any]
    steps: int
    loss: float
    unreadable: tuple[str, ...]


class Run:
    """A training run in its folder: the loop around the trainer, and what it writes.

    Every rank goes through the same steps and comes to the same conclusions; the first one writes.
    """

    def __init__(
        self,
        out: Path,
        settings: dict[str, Any],
        trainer: Trainer,
        images: HintedImages | FrozenViews,
        hints: Hints | None = None,
    ) -> None:
        self.out, self.settings, self.trainer, self.images = out, settings, trainer, images
        self.hints = hints
        self.ranks = trainer.ranks
        self.steps_per_epoch = len(images) // trainer.plan.batch_size
        self.rows: list[dict[str, float]] = []  # of the running epoch
        self.loss = math.nan  # mean of the last whole epoch
        self.unreadable: dict[str, None] = {}

    def train(
        self, journal: Journal | None, batches: DataLoader, picture_every: int, bar: tqdm
    ) -> None:
        """Go through the batches; on an interrupt finish the step, keep its state and stop.

        journal: of the first rank; None on the others.
        """
        trainer = self.trainer
        last = time.perf_counter()
        with interrupts() as asked:
            for batch, errors in batches:
                self._note_unreadable(errors, len(batch.pixels))
                result = trainer.advance(batch)
                now = time.perf_counter()
                row = self._row(result, len(result.p) / (now - last))
                last = now
                self.rows.append(row)
                if journal is not None:
                    journal.write(row)
                    if picture_every and (trainer.step - 1) % picture_every == 0:
                        photos = batch.pixels[:8].numpy()
                        maps = result.p[: len(photos), 0].cpu().numpy()
                        journal.picture(trainer.step, picture_grid(photos, maps))
                if trainer.step % self.steps_per_epoch == 0:
                    self._end_epoch()
                bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
                bar.update()
                if any(self.ranks.collect(asked.is_set())):
                    self.ranks.first(lambda: trainer.save(self.out / "resume.pt"))
                    raise KeyboardInterrupt

    def finish(self) -> TrainingResult:
        """Decide the polarity, write the last checkpoint, and say what came of it."""
        trainer = self.trainer
        polarity = asdict(self._polarity())
        path = self.out / "last.pt"
        if self.ranks.is_first:
            self._save(polarity, finished=True)
            (self.out / "resume.pt").unlink(missing_ok=True)
            remove_features(self.out)
        if self.unreadable and self.ranks.is_first:
            log.warning("%d images cannot be read and were left out:", len(self.unreadable))
            for message in self.unreadable:
                log.warning("  %s", message)
        unreadable = tuple(self.unreadable)
        return TrainingResult(path, polarity["flag"], polarity, trainer.step, self.loss, unreadable)

    def _polarity(self) -> Polarity:
        """By the border, or with hints by CAMs, those that taught nothing if there are any."""
        trainer, paths = self.trainer, self.images.paths
        some: Sequence[Path] = sample(paths, POLARITY_IMAGES)
        rule, votes = "border", None
        if self.hints is not None:
            rule, voters = "hints", self.hints.voters(POLARITY_IMAGES)
            some, votes = [paths[index] for index in voters], list(voters.values())
        return decide(
            trainer.model,
            some,
            rule=rule,
            votes=votes,
            size=trainer.plan.crop,
            device=trainer.where,
            ranks=self.ranks,
        )

    def _note_unreadable(self, errors: list[str], n_good: int) -> None:
        counts = []
        for their_errors, count in self.ranks.collect((errors, n_good)):
            self.unreadable.update(dict.fromkeys(their_errors))
            counts.append(count)
        allowed = max(1, len(self.images) // UNREADABLE)
        if len(self.unreadable) > allowed or sum(counts) < 2 or not all(counts):
            raise InputError(
                f"{len(self.unreadable)} of {len(self.images)} images cannot be read, but at most "
                f"{allowed} may be left out: {first_names(self.unreadable, 3)}"
            )

    def _row(self, result: StepResult, speed: float) -> dict[str, float]:
        """The log's row for the last step."""
        trainer, p = self.trainer, result.p
        hint = result.parts.hint
        numbers = [
            result.parts.total,
            *result.parts[:3],
            torch.zeros_like(result.parts.total) if hint is None else hint,
            p.mean(),
            p.flatten(1).std(1, correction=0).mean(),
            p.std(0, correction=0).mean(),
        ]
        loss, fore, negative, back, pulled, mean, within, across = torch.stack(numbers).tolist()
        return {
            "step": trainer.step,
            "epoch": (trainer.step - 1) // self.steps_per_epoch + 1,
            "loss": loss,
            "positive_foreground": fore,
            "negative": negative,
            "positive_background": back,
            "hint": pulled,
            "lr": trainer.optimizer.param_groups[0]["lr"],
            "images_per_second": speed,
            "p_mean": mean,
            "p_within": within,
            "p_across": across,
            "p_border": float(np.mean([border_vote(one) for one in p[:, 0].cpu().numpy()])),
        }

    def _end_epoch(self) -> None:
        """Keep the network, unless it is worthless."""
        epoch = {name: float(np.mean([row[name] for row in self.rows])) for name in COLUMNS}
        self.rows.clear()
        self.loss = epoch["loss"]
        if min(epoch["p_within"], epoch["p_across"]) < CONSTANT:
            kept = self.out / "last.pt"
            raise TrainingError(
                f"P has become constant: in the epoch that ended with step {self.trainer.step} "
                f"it varied by {epoch['p_within']:.4f} within images and {epoch['p_across']:.4f} "
                "across them (0.2 is usual), so it does not separate foreground and background; "
                "take a lower `lr`, other `weights`, or images that differ more. "
                + (f"{kept} is from the previous epoch" if kept.exists() else "Nothing was kept")
            )
        if not self.ranks.is_first:
            return
        # Until the end the training views vote: they are available at no extra cost.
        share = epoch["p_border"]
        votes = self.steps_per_epoch * self.trainer.plan.batch_size
        self.trainer.save(self.out / "resume.pt")
        vote = Polarity(share > 0.5, "border", abs(2 * share - 1), votes)
        if self.hints is not None:
            vote = Polarity(False, "hints", 1.0, 0)  # P was pulled towards 1 in the foreground
        self._save(asdict(vote), False)

    def _save(self, polarity: dict[str, Any], finished: bool) -> None:
        trainer, plan = self.trainer, self.trainer.plan
        info = {
            "recipe": self.settings["recipe"],
            "crop": plan.crop,
            "resize": plan.resize,
            "epoch": trainer.step // self.steps_per_epoch,
            "step": trainer.step,
            "finished": finished,
            "polarity": polarity,
            "settings": self.settings,
        }
        if self.hints is not None:
            info["hints"] = self.hints.notes()
        save_checkpoint(self.out / "last.pt", trainer.model, polarity["flag"], info)
