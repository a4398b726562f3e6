"""C2AM's training run: what its log shows, its checkpoint, and when a training has failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import TrainingError
from ..files.folders import sample
from ..training.loop import Loop
from ..training.normalisation import normalise
from .checkpoint import save_checkpoint
from .frozen import FrozenViews, remove_features
from .gradient import StepResult
from .hints import Hints
from .polarity import Polarity, border_vote, decide
from .trainer import Trainer
from .views import HintedImages, View, collate

__all__ = ["Run", "TrainingResult"]

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


class Run(Loop):
    """C2AM's training run: what its log shows, when P is worthless, which side of P is which."""

    columns = (
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
    collate = staticmethod(collate)
    square = "resize"
    fewest = 2
    trainer: Trainer
    views: HintedImages | FrozenViews
    hints: Hints | None = None

    def photos(self, batch: View) -> Tensor:
        return batch.pixels

    def maps(self, step: StepResult) -> Tensor:
        return step.p[:, 0].cpu()

    def look(self, pixels: Tensor, index: int) -> Tensor:
        model = self.trainer.model
        return model.logits(normalise(pixels, model)).sigmoid()[0, 0]

    def conclude(self) -> TrainingResult:
        """Decide the polarity, write the last checkpoint, and return what came of the run."""
        polarity = asdict(self._polarity())
        path = self.finish(lambda path: self._save(path, polarity, finished=True))
        if self.ranks.is_first:
            remove_features(self.out)
        return TrainingResult(
            path,
            polarity["flag"],
            polarity,
            self.trainer.step,
            self.means["loss"],
            tuple(self.unreadable),
        )

    def _polarity(self) -> Polarity:
        """By the border, or with hints by CAMs (`Hints.voters`)."""
        trainer, paths = self.trainer, self.views.paths
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

    def row(self, batch: View, step: StepResult) -> dict[str, float]:
        p = step.p
        numbers = [
            step.total,
            *step.parts,
            torch.zeros_like(step.total) if step.hint is None else step.hint,
            p.mean(),
            p.flatten(1).std(1, correction=0).mean(),
            p.std(0, correction=0).mean(),
        ]
        loss, fore, negative, back, pulled, mean, within, across = torch.stack(numbers).tolist()
        return {
            "loss": loss,
            "positive_foreground": fore,
            "negative": negative,
            "positive_background": back,
            "hint": pulled,
            "p_mean": mean,
            "p_within": within,
            "p_across": across,
            "p_border": float(np.mean([border_vote(one) for one in p[:, 0].cpu().numpy()])),
        }

    def end_epoch(self) -> None:
        """Keep the network, unless it is worthless."""
        epoch, kept = self.means, self.out / "last.pt"
        if min(epoch["p_within"], epoch["p_across"]) < CONSTANT:
            raise TrainingError(
                f"P has become constant: in the epoch that ended with step {self.trainer.step} "
                f"it varied by {epoch['p_within']:.4f} within images and {epoch['p_across']:.4f} "
                "across them (0.2 is usual), so it does not separate foreground and background; "
                "take a lower `lr`, other `weights`, or images that differ more. "
                + (f"{kept} is from the previous epoch" if kept.exists() else "Nothing was kept")
            )
        super().end_epoch()
        if not self.ranks.is_first:
            return
        # Until the end the training views vote: they are available at no extra cost.
        share = epoch["p_border"]
        votes = self.order.steps_per_epoch * self.order.batch_size
        vote = Polarity(share > 0.5, "border", abs(2 * share - 1), votes)
        if self.hints is not None:
            vote = Polarity(False, "hints", 1.0, 0)  # P was pulled towards 1 in the foreground
        self._save(kept, asdict(vote), finished=False)

    def _save(self, path: Path, polarity: dict[str, Any], finished: bool) -> None:
        trainer, plan = self.trainer, self.trainer.plan
        info = {
            "recipe": self.settings["recipe"],
            "crop": plan.crop,
            "resize": plan.resize,
            "epoch": trainer.step // self.order.steps_per_epoch,
            "step": trainer.step,
            "finished": finished,
            "polarity": polarity,
            "settings": self.settings,
        }
        if self.hints is not None:
            info["hints"] = self.hints.notes()
        save_checkpoint(path, trainer.model, polarity["flag"], info)
