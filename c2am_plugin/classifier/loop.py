"""The classifier's training run: what its log shows, its checkpoint and classes.txt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..files.writing import atomic_path
from ..training.loop import Loop
from ..training.normalisation import normalise
from .checkpoint import save_classifier
from .data import LabelledImages, collate
from .regions import norm
from .step import StepLosses
from .trainer import ClassifierTrainer

__all__ = ["ClassifierResult", "Run"]


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


class Run(Loop):
    """The classifier's training run: what its log shows, and its checkpoint and class names."""

    columns = (
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
    collate = staticmethod(collate)
    square = "crop"
    trainer: ClassifierTrainer
    views: LabelledImages

    def photos(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return batch[0]

    def maps(self, step: StepLosses) -> Tensor:
        return step.maps.cpu()

    def look(self, pixels: Tensor, index: int) -> Tensor:
        main = self.trainer.model.main
        scores = main.scores(main.features(normalise(pixels, main)))
        labels = torch.from_numpy(self.views.labels[index : index + 1]).to(scores.device)
        return norm(scores, labels.bool())[0].amax(0)

    def row(self, batch: tuple[Tensor, Tensor], step: StepLosses) -> dict[str, float]:
        row = {
            "loss": float(step.total),
            "classification": float(step.classification),
            "label_accuracy": float(step.correct),
        }
        for name in ("rcm", "mam", "foreground", "regions", "similarity"):
            if (value := getattr(step, name)) is not None:
                row[name] = float(value)
        if step.foreground is not None:
            row["distance"] = self.trainer.distance()
        return row

    def conclude(self) -> ClassifierResult:
        """Write the checkpoint and the class names, and return what came of the run."""
        path, step = self.finish(self._save), self.trainer.step
        loss, accuracy = self.means["loss"], self.means["label_accuracy"]
        return ClassifierResult(path, step, loss, accuracy, tuple(self.unreadable))

    def _save(self, path: Path) -> None:
        classes = tuple(self.settings["classes"])
        with atomic_path(self.out / "classes.txt") as temporary:
            temporary.write_text("\n".join(("background", *classes)) + "\n", "utf-8")
        info = {"settings": self.settings, "step": self.trainer.step}
        save_classifier(path, self.trainer.model.main, classes, info)
