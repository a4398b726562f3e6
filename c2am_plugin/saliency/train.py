"""`train_saliency`: photographs and cues in, a checkpoint out.

Knows the settings of a run, its folder and when training has failed. The numbers of a recipe are in
`recipes`, the optimizer in `trainer`, the images in `data`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import TrainingError
from ..files.photos import check_outside, find_images
from ..network.maps import default_scales
from ..runs.arguments import check_least
from ..runs.output_folders import digest
from ..training.devices import pick_device
from ..training.loop import Loop
from ..training.normalisation import normalise
from ..training.recipes import choose_recipe
from ..training.run_log import picture_grid
from ..training.start import continue_run, finished_run, hold_run, same_weights
from ..training.weights import default_weights
from .checkpoint import save_saliency
from .data import Example, MaskedImages, collate, find_cues
from .net import PoolNet
from .recipes import Recipe, make_recipe
from .trainer import SaliencyTrainer, Step

__all__ = ["SaliencyResult", "train_saliency"]

COMMAND = "c2am-saliency"
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
        "ids": digest("\n".join(found)),
    }
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        torch.manual_seed(seed)
        model = PoolNet(backbone, plan.output_stride, plan.width)
        # Before the folder is locked: a mistake must not destroy an existing run.
        report = same_weights(model, weights)
        there = hold_run(stack, COMMAND, run, settings, overwrite)
        if (info := finished_run(run, there)) is not None:
            return SaliencyResult(run / "last.pt", info["step"], math.nan, ())
        trainer = SaliencyTrainer(model, plan, where)
        continue_run(trainer, run, there, report)
        views = MaskedImages(list(found.values()), masks, plan.side, seed, forms)
        loop = _Loop(run, settings, trainer, views, plan.accumulate)
        loop.go(workers, picture_every, progress)
        return loop.conclude()


class _Loop(Loop):
    """PoolNet's training run: what its log and pictures show, and when training has failed."""

    columns = COLUMNS
    collate = staticmethod(collate)
    square = "side"
    unusable = "images or cues cannot be used"
    trainer: SaliencyTrainer

    def photos(self, batch: Sequence[Example]) -> list[Tensor]:
        return [example.image for example in batch]

    def maps(self, step: Step) -> list[np.ndarray]:
        return step.saliency

    def look(self, pixels: Tensor, index: int) -> Tensor:
        model = self.trainer.model
        return model.logits(normalise(pixels, model)).sigmoid()[0, 0]

    def picture(self, batch: Sequence[Example], step: Step) -> np.ndarray:
        """Photographs, their cues, and the network's predictions: uint8 H×W×3."""
        cues = [example.mask[0].nan_to_num(0.5).numpy() for example in batch[:8]]
        photos = [example.image.numpy() for example in batch[:8]]
        predicted = super().picture(batch, step)
        return np.concatenate([picture_grid(photos, cues), predicted[len(predicted) // 2 :]])

    def row(self, batch: Sequence[Example], step: Step) -> dict[str, float]:
        pairs = zip(step.saliency, batch, strict=True)
        known = [(p, e.mask[0].numpy(), ~e.mask[0].isnan().numpy()) for p, e in pairs]
        sides = [(p[k] > 0.5, mask[k] > 0.5) for p, mask, k in known]
        both = sum(np.count_nonzero(p & mask) for p, mask in sides)
        either = sum(np.count_nonzero(p | mask) for p, mask in sides)
        return {
            "loss": step.loss,
            "foreground": float(np.mean([p.mean() for p in step.saliency])),
            "spread": float(np.mean([p.std() for p in step.saliency])),
            "agreement": both / max(1, either),
        }

    def end_epoch(self) -> None:
        """Keep the state. Raises TrainingError if the last epoch leaves a constant network."""
        if self.trainer.step == self.steps and self.means["spread"] < CONSTANT:
            raise TrainingError(
                "the network predicts the same value for every pixel (its saliency varies by "
                f"{self.means['spread']:.4f} within images); take more `epochs`, another `lr` than "
                f"{self.trainer.plan.lr}, or cues that show foreground"
            )
        super().end_epoch()

    def conclude(self) -> SaliencyResult:
        """Write the checkpoint and return the result of the run."""
        trainer = self.trainer
        side = trainer.plan.side
        info = {
            "scales": default_scales(side) if side else (1.0,),
            "step": trainer.step,
            "settings": self.settings,
        }
        path = self.finish(lambda path: save_saliency(path, trainer.model, info))
        return SaliencyResult(path, trainer.step, self.means["loss"], tuple(self.unreadable))
