"""`train_c2am`: from images to a checkpoint.

Knows the settings of a run and how they fit together. The numbers of a recipe are in `recipes`,
the gradient in `gradient`, the optimizer in `trainer`, the epochs in `loop`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import torch

from ..errors import InputError
from ..files.photos import find_images
from ..runs.arguments import check_least
from ..runs.output_folders import digest
from ..runs.ranks import joined
from ..training.devices import autocast_type, pick_device
from ..training.recipes import choose_recipe, with_full_batches
from ..training.start import continue_run, finished_run, hold_run, same_weights
from ..training.weights import default_weights
from .frozen import FrozenViews, frozen_views
from .hints import HintPlan, find_hints
from .loop import Run, TrainingResult
from .model import C2AM
from .recipes import HEAD_RATE, Recipe, make_recipe
from .trainer import Trainer
from .views import HintedImages

__all__ = ["TrainingResult", "train_c2am"]

log = logging.getLogger(__name__)

FREEZES = ("none", "backbone")


def train_c2am(
    images: str | Path,
    out: str | Path,
    *,
    ids: str | Path | None = None,
    backbone: str = "resnet50",
    weights: str | None = None,
    recipe: Recipe | str = "auto",
    freeze: str = "none",
    hints: str | Path | None = None,
    hint_method: str = "auto",
    hint_threshold: float = 0.4,
    hint_weight: float = 1.0,
    micro_batch: int | None = None,
    sync_bn: bool = False,
    dilated: bool = False,
    seed: int = 0,
    amp: bool | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    device: str | None = None,
    picture_every: int = 100,
    tensorboard: bool = False,
    progress: bool = True,
    **numbers: float | None,
) -> TrainingResult:
    """Train C2AM without labels and write `out`/last.pt, log.csv, pictures/, report.html.

    images         folder of photographs, or a VOC root (with JPEGImages/)
    out            folder of the run; last.pt is the checkpoint that `make_cues` takes
    ids            list file of image ids, in a VOC root also a list's name; default every image,
                   of a VOC root its train_aug or train list
    backbone       name of a torchvision classifier, or timm:NAME, a model of the package timm
    weights        of the backbone: "random", a torchvision name, "pretrained" for timm's, or a
                   file (MoCo, DetCo, DINO, SwAV, torchvision, timm; see
                   `training.weights.initial_weights`); default IMAGENET1K_V1, timm's pretrained
    recipe         "paper", "released", "localisation", or "small" for some hundred images; a
                   `Recipe`; "auto": small with fewer than 2,000 images, else the paper's
    freeze         "backbone": the features of each image and its mirror are computed once, and only
                   the head is trained on them, at ten times the recipe's rate as in its first
                   steps; minutes on a CPU. They take 4·C·(resize/stride)² bytes per image in `out`
                   until training has ended. "none": the whole network is trained
    hints          folder of CAM files of these images, of any layout: where the largest CAM is
                   hint_threshold or more, P is pulled towards 1 (C²AM-H of P-NOC: binary
                   cross-entropy with label smoothing 0.1, times hint_weight). Images without a CAM
                   file, and one in five of the others, get no hints; `refine_cams` calibrates
                   the cues by the CAMs of the latter, which did not teach them
    hint_method    the layout of these files by name; default found out
    micro_batch    images that go through the network at once, to save memory: loss and gradient
                   stay those of the batch, BatchNorm sees the part (`network.gradient`);
                   default the whole batch
    sync_bn        under torchrun: BatchNorm over the images of all processes, on GPUs only
    dilated        dilate the layers behind the removed strides
    seed           of weights, order and crops, an integer from 0
    amp            bfloat16 autocast; None: on a GPU that has it
    resume         require an interrupted run. Calling again with the same settings continues it
                   in any case, and leaves a finished run unchanged
    overwrite      replace a run with other settings
    workers        processes that read images, 0 for none beside this one; default one per core
    device         "cpu", "cuda", "cuda:1"; default a GPU if there is one
    picture_every  steps between two pictures of P; 0 for none
    tensorboard    also write TensorBoard's events into `out`
    progress       show a bar on stderr
    numbers        any number of a `Recipe`, in place of the recipe's: `epochs=3, batch_size=32`

    Under torchrun the processes share each batch, and all return the result; see `runs.ranks`.
    The same settings on the same machine give the same weights, interrupted or not. Raises
    InputError for bad settings or images, OutputError where `out` contains another run,
    TrainingError where training fails: out of memory, a loss that is not finite, or a constant P.

    >>> from c2am_plugin import train_c2am
    >>> result = train_c2am("VOC2012", "run", recipe="paper", batch_size=64)  # doctest: +SKIP
    >>> result.checkpoint, result.flag  # whether P is high on the background  # doctest: +SKIP
    (PosixPath('run/last.pt'), True)
    """
    out = Path(out)
    with ExitStack() as stack:
        ranks = stack.enter_context(joined())
        check_least(0, seed=seed, workers=workers, picture_every=picture_every)
        check_least(1, micro_batch=micro_batch)
        weights = str(weights or default_weights(backbone))
        found = ranks.first(lambda: find_images(images, ids))
        if len(found) < 2:
            raise InputError(
                "one image: expected 2 or more, as the loss compares images of a batch"
            )
        frozen = _is_frozen(freeze)
        recipe = choose_recipe(recipe, len(found))
        plan, steps = _planned(recipe, numbers, len(found), ranks.count, frozen)
        hint_plan = HintPlan(hint_threshold, hint_weight)
        where = pick_device(device)
        precision = autocast_type(amp, where)
        _check_sharing(sync_bn, micro_batch, where)
        settings = {
            "recipe": recipe if isinstance(recipe, str) else "own",
            **asdict(plan),
            "backbone": backbone,
            "weights": weights,
            "dilated": dilated,
            "micro_batch": micro_batch,
            "sync_bn": sync_bn,
            "seed": seed,
            "amp": amp,
            "images": len(found),
            "ids": digest("\n".join(found)),
        }
        if frozen:
            settings["freeze"] = freeze
        taught = None
        if hints is not None:
            taught = ranks.first(lambda: find_hints(hints, hint_method, list(found), hint_plan))
            settings |= {
                "hints": str(Path(hints).resolve()),
                "hint_method": taught.adapter.name,
                **{f"hint_{name}": value for name, value in asdict(hint_plan).items()},
            }
        stack.enter_context(torch.random.fork_rng([where] if where.type == "cuda" else []))
        torch.manual_seed(seed)
        model = C2AM(backbone, plan.output_stride, dilated)
        # Before the folder is locked: a mistake must not destroy an existing run.
        report = same_weights(model, weights, ranks)
        there = hold_run(stack, "c2am-train", out, settings, overwrite, ranks)
        if (info := finished_run(out, there, ranks)) is not None:
            polarity = info["polarity"]
            path, flag = out / "last.pt", polarity["flag"]
            return TrainingResult(path, flag, polarity, info["step"], math.nan, ())
        trainer = Trainer(
            model,
            plan,
            steps,
            where,
            micro_batch,
            precision,
            seed=seed,
            ranks=ranks,
            sync_bn=sync_bn,
            frozen=frozen,
            hints=hint_plan if taught else None,
        )
        continue_run(trainer, out, there, report, resume)
        images_of = HintedImages(list(found.values()), plan.resize, plan.crop, seed, taught)
        views: HintedImages | FrozenViews = images_of
        if frozen:
            views = frozen_views(
                out, settings, model, images_of, where=where, ranks=ranks, progress=progress
            )
        run = Run(out, settings, trainer, views, plan.batch_size, tensorboard)
        run.hints = taught
        run.go(workers, picture_every, progress)
        return run.conclude()


def _planned(
    recipe: Recipe | str,
    numbers: Mapping[str, float | None],
    n_images: int,
    n_processes: int,
    frozen: bool,
) -> tuple[Recipe, int]:
    """The recipe's numbers for this many images, and the steps of the training."""
    given = numbers.get("batch_size") is not None
    plan = with_full_batches(make_recipe(recipe, **numbers), given, n_images, n_processes)
    epochs = plan.epochs_for(n_images)
    steps = epochs * (n_images // plan.batch_size)
    if frozen:
        rate = plan.lr if numbers.get("lr") else HEAD_RATE * plan.lr
        return replace(plan, epochs=epochs, lr=rate, head_steps=0), steps
    return replace(plan, epochs=epochs, head_steps=min(plan.head_steps, steps // 4)), steps


def _is_frozen(freeze: str) -> bool:
    if freeze not in FREEZES:
        raise InputError(f"freeze {freeze!r}: expected {' or '.join(FREEZES)}")
    return freeze == "backbone"


def _check_sharing(sync_bn: bool, micro_batch: int | None, where: torch.device) -> None:
    if sync_bn and where.type == "cpu":
        raise InputError("`sync_bn` needs GPUs: PyTorch synchronises BatchNorm there only")
    if sync_bn and micro_batch is not None:
        raise InputError("`sync_bn` and `micro_batch` exclude each other: a part is not the batch")
