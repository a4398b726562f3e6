"""`train_saliency`: photographs and cues in, a checkpoint out.

Knows the settings of a run, its folder and when training has failed. The numbers of a recipe are in
`recipes`, the optimizer in `trainer`, the images in `data`.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError, TrainingError
from ..files.folders import first_names
from ..files.photos import check_outside, find_images
from ..network.maps import RELEASED_SIDE, SCALES, squares
from ..runs.arguments import check_least
from ..runs.output_folders import OutputFolder, hold_folders
from ..runs.signals import interrupts
from ..training.batches import BatchOrder, training_loader
from ..training.devices import pick_device
from ..training.recipes import choose_recipe
from ..training.run_log import Journal, picture_grid
from ..training.settings import FILES, UNREADABLE
from ..training.weights import default_weights, initial_weights, read_torch_file
from .checkpoint import save_saliency
from .data import Example, MaskedImages, collate, find_cues
from .net import PoolNet
from .recipes import Recipe, make_recipe
from .trainer import SaliencyTrainer, Step

__all__ = ["COLUMNS", "SaliencyResult", "train_saliency"]

log = logging.getLogger(__name__)

COMMAND = "c2am-saliency"
# The squares that predictions are made at, over the side of training.
SIDES = (0.75, 1.0, 1.375)
# The network counts as constant if its saliency varies within images by less than this.
CONSTANT = 0.001
COLUMNS = ("step", "epoch", "loss", "lr", "images_per_second", "foreground", "spread", "agreement")


@dataclass(frozen=True)
class SaliencyResult:
    """checkpoint: RUN/last.pt. steps: of the whole run. loss: nats per pixel, mean of the last
    epoch; NaN if the run had already finished. unreadable: one message for each pair left out.
    """

    checkpoint: Path
    steps: int
    loss: float
    unreadable: tuple[str, ...]


def train_saliency(
    images: str | Path,
    cues: str | Path,
    run: str | Path,
    *,
    second: str | Path | None = None,
    ids: str | Path | None = None,
    flip_cues: bool = False,
    stretch_cues: bool = False,
    backbone: str = "resnet50",
    weights: str | None = None,
    recipe: Recipe | str = "auto",
    seed: int = 0,
    overwrite: bool = False,
    workers: int | None = None,
    device: str | None = None,
    picture_every: int = 50,
    progress: bool = True,
    **numbers: float | None,
) -> SaliencyResult:
    """Train PoolNet on cues as pseudo masks: `run`/last.pt, log.csv, pictures/, report.html.

    images         folder of photographs, or a VOC root (with JPEGImages/)
    cues           folder with `<id>.png` for each image, 255 = foreground; the network learns to
                   predict the values of soft cues
    run            folder of the run; last.pt is the checkpoint for `predict_saliency`
    second         other cues of the same images; nothing is learnt where the two contradict each
                   other (differ by more than 0.7)
    ids            list file of image ids, in a VOC root also a list's name; default every image
    flip_cues      the cues have the other polarity, high = background
    stretch_cues   cues of any shape are stretched to the shape of their photographs
    backbone       name of a torchvision classifier, or timm:NAME, a model of the package timm
    weights        of the backbone: "random", a torchvision name, "pretrained" for timm's, or a
                   file, also a checkpoint of `train_c2am` (`training.weights.initial_weights`);
                   default IMAGENET1K_V1, timm's pretrained
    recipe         "paper" (appendix A.2), or "small" for a few hundred images; a
                   `saliency.recipes.Recipe`; "auto": small with fewer than 2,000 images
    seed           of weights and order, an integer from 0
    overwrite      replace a run with other settings
    workers        processes that read images, 0 to read in this process; default one per core
    device         "cpu", "cuda", "cuda:1"; default a GPU if there is one
    picture_every  steps between two pictures of the predictions; 0 for none
    progress       show a progress bar on stderr
    numbers        replace any number of the recipe: `epochs=3, side=256`

    Calling again continues an interrupted run and leaves a finished one unchanged. The same
    settings on the same machine give the same weights, interrupted or not. Raises InputError for
    invalid settings, images or cues, OutputError if `run` contains another run, TrainingError if
    training fails.

    >>> from c2am_plugin import predict_saliency, train_saliency
    >>> result = train_saliency("JPEGImages", "cues", "run", recipe="small")  # doctest: +SKIP
    >>> predict_saliency("JPEGImages", result.checkpoint, "better_cues")  # doctest: +SKIP
    """
    run = Path(run)
    check_least(0, seed=seed, workers=workers, picture_every=picture_every)
    check_outside(images, run)
    found = find_images(images, ids)
    masks, forms = find_cues(cues, second, found, flip=flip_cues, stretch=stretch_cues)
    weights = str(weights or default_weights(backbone))
    recipe = choose_recipe(recipe, len(found))
    plan = make_recipe(recipe, **numbers)
    plan = replace(plan, accumulate=min(plan.accumulate, len(found)))
    where = pick_device(device)
    settings = {
        "recipe": recipe if isinstance(recipe, str) else "own",
        **asdict(plan),
        "backbone": backbone,
        "weights": weights,
        "cues": str(Path(cues).resolve()),
        "second": str(Path(second).resolve()) if second else None,
        "flip_cues": flip_cues,
        "stretch_cues": stretch_cues,
        "seed": seed,
        "images": len(found),
        "ids": hashlib.sha256("\n".join(found).encode()).hexdigest()[:16],
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = PoolNet(backbone, plan.output_stride, plan.width)
        # Before the folder is locked: a mistake must not destroy an existing run.
        report = initial_weights(model, weights)
        output = OutputFolder(run, settings)
        with hold_folders(COMMAND, FILES, [output], overwrite=overwrite) as there:
            if "last.pt" in there and "resume.pt" not in there:
                log.info("%s: training with these settings has already finished", run)
                steps = read_torch_file(run / "last.pt")["info"]["step"]
                return SaliencyResult(run / "last.pt", steps, math.nan, ())
            trainer = SaliencyTrainer(model, plan, where)
            if "resume.pt" in there:
                trainer.load(run / "resume.pt")
                log.info("%s: continuing after step %d", run, trainer.step)
            else:
                log.info("initial weights: %s", report)
            views = MaskedImages(list(found.values()), masks, plan.side, seed, forms)
            loop = _Loop(run, settings, trainer, views)
            loop.go(workers, picture_every, progress)
            return loop.finish()


class _Loop:
    """The epochs of a run, and the files they write."""

    def __init__(
        self, run: Path, settings: dict[str, Any], trainer: SaliencyTrainer, views: MaskedImages
    ) -> None:
        self.run, self.settings, self.trainer, self.views = run, settings, trainer, views
        plan = trainer.plan
        self.order = BatchOrder(
            len(views), plan.accumulate, plan.epochs, views.seed, first_step=trainer.step
        )
        self.steps = trainer.step + len(self.order)
        self.rows: list[dict[str, float]] = []  # of the current epoch
        self.loss = math.nan  # mean of the last complete epoch
        self.unusable: dict[str, None] = {}

    def go(self, workers: int | None, picture_every: int, progress: bool) -> None:
        """Train on all batches; on an interrupt finish the step, save the state and stop."""
        trainer = self.trainer
        log.info(
            "recipe %s: %d images, %d epochs of %d steps, on %s",
            self.settings["recipe"],
            len(self.views),
            trainer.plan.epochs,
            self.order.steps_per_epoch,
            trainer.where,
        )
        last = time.perf_counter()
        with (
            interrupts() as asked,
            closing(Journal(self.run, COLUMNS, trainer.step, settings=self.settings)) as journal,
            tqdm(
                desc="training", initial=trainer.step, total=self.steps, disable=not progress
            ) as bar,
        ):
            for examples, errors in training_loader(self.views, self.order, workers, collate):
                self._note_unusable(errors, len(examples))
                step = trainer.advance(examples)
                now = time.perf_counter()
                row = self._row(examples, step, len(examples) / (now - last))
                last = now
                self.rows.append(row)
                journal.write(row)
                if picture_every and (trainer.step - 1) % picture_every == 0:
                    journal.picture(trainer.step, _picture(examples[:8], step.saliency[:8]))
                if trainer.step % self.order.steps_per_epoch == 0:
                    self._end_epoch()
                bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
                bar.update()
                if asked.is_set():
                    trainer.save(self.run / "resume.pt")
                    raise KeyboardInterrupt

    def finish(self) -> SaliencyResult:
        """Write the checkpoint and return the result of the run."""
        trainer = self.trainer
        path = self.run / "last.pt"
        side = trainer.plan.side
        info = {
            "scales": _scales(side),
            "step": trainer.step,
            "settings": self.settings,
        }
        save_saliency(path, trainer.model, info)
        (self.run / "resume.pt").unlink(missing_ok=True)
        if self.unusable:
            log.warning("%d images or cues cannot be used and were left out:", len(self.unusable))
            for message in self.unusable:
                log.warning("  %s", message)
        return SaliencyResult(path, trainer.step, self.loss, tuple(self.unusable))

    def _note_unusable(self, errors: list[str], n_good: int) -> None:
        self.unusable.update(dict.fromkeys(errors))
        allowed = max(1, len(self.views) // UNREADABLE)
        if len(self.unusable) > allowed or n_good == 0:
            raise InputError(
                f"{len(self.unusable)} of {len(self.views)} images or cues cannot be used, but at "
                f"most {allowed} may be left out: {first_names(self.unusable, 3)}"
            )

    def _row(self, examples: Sequence[Example], step: Step, speed: float) -> dict[str, float]:
        trainer, pairs = self.trainer, zip(step.saliency, examples, strict=True)
        known = [(p, e.mask[0].numpy(), ~e.mask[0].isnan().numpy()) for p, e in pairs]
        sides = [(p[k] > 0.5, mask[k] > 0.5) for p, mask, k in known]
        both = sum(np.count_nonzero(p & mask) for p, mask in sides)
        either = sum(np.count_nonzero(p | mask) for p, mask in sides)
        return {
            "step": trainer.step,
            "epoch": (trainer.step - 1) // self.order.steps_per_epoch + 1,
            "loss": step.loss,
            "lr": trainer.plan.lr,
            "images_per_second": speed,
            "foreground": float(np.mean([p.mean() for p in step.saliency])),
            "spread": float(np.mean([p.std() for p in step.saliency])),
            "agreement": both / max(1, either),
        }

    def _end_epoch(self) -> None:
        """Save the state. Raises TrainingError if the last epoch leaves a constant network."""
        spread = float(np.mean([row["spread"] for row in self.rows]))
        self.loss = float(np.mean([row["loss"] for row in self.rows]))
        self.rows.clear()
        if self.trainer.step == self.steps and spread < CONSTANT:
            raise TrainingError(
                "the network predicts the same value for every pixel (its saliency varies by "
                f"{spread:.4f} within images); take more `epochs`, another `lr` than "
                f"{self.trainer.plan.lr}, or cues that show foreground"
            )
        self.trainer.save(self.run / "resume.pt")


def _scales(side: int) -> tuple[float, ...]:
    """What a network predicts at that was trained on squares of a side; 0: on whole images."""
    if side == 0:
        return (1.0,)
    return SCALES if side == RELEASED_SIDE else squares(side, SIDES)


def _picture(examples: Sequence[Example], saliency: list[np.ndarray]) -> np.ndarray:
    """Rows of photographs, their cues, and the network's predictions: uint8 H×W×3."""
    photos = [example.image.numpy() for example in examples]
    cues = picture_grid(photos, [example.mask[0].nan_to_num(0.5).numpy() for example in examples])
    predicted = picture_grid(photos, saliency)
    return np.concatenate([cues, predicted[len(predicted) // 2 :]])
