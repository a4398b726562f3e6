"""`train_classifier`: from photographs and image-level labels to a classifier.

Knows the settings of a run and how they fit together. The numbers of a recipe are in `recipes`, the
losses in `step`, the optimizer in `trainer`, the epochs in `loop`, the images in `data`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..files.photos import check_outside, find_images
from ..runs.arguments import check_least
from ..runs.output_folders import digest
from ..runs.ranks import joined
from ..training.devices import autocast_type, pick_device
from ..training.recipes import choose_recipe, with_full_batches
from ..training.start import continue_run, finished_run, hold_run, same_weights
from ..training.weights import default_weights
from .checkpoint import load_classifier
from .data import LabelledImages
from .labels import labels_of, read_class_names, read_labels
from .loop import ClassifierResult, Run
from .recipes import Recipe, make_recipe
from .split import Classifier
from .trainer import ClassifierTrainer

__all__ = ["ClassifierResult", "train_classifier"]

log = logging.getLogger(__name__)

COMMAND = "c2am-cams-training"


def train_classifier(
    images: str | Path,
    labels: str | Path,
    run: str | Path,
    *,
    ids: str | Path | None = None,
    classes: str | Path | None = None,
    backbone: str | None = None,
    weights: str | None = None,
    checkpoint: str | Path | None = None,
    recipe: str = "auto",
    dilated: bool = False,
    seed: int = 0,
    amp: bool | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    device: str | None = None,
    picture_every: int = 100,
    progress: bool = True,
    **numbers: Any,
) -> ClassifierResult:
    """Train a multi-label classifier and write `run`/last.pt, log.csv, classes.txt and pictures/.

    images, ids  a folder of images or a VOC root, and which of them (`files.photos.find_images`)
    labels       image-level labels of any kind (`labels.read_labels`)
    classes      a file of class names, which sets their order
    backbone     a torchvision classifier that is a chain of stages, or timm:NAME; default resnet50
    weights      of the backbone: "random", a torchvision name, "pretrained" for timm's, or a file,
                 also last.pt of c2am-train; default IMAGENET1K_V1, timm's pretrained
    checkpoint   a classifier that is already trained (`checkpoint.load_classifier`), to be trained
                 further: the self-supervised losses then start with the first step
    recipe       "voc", "ppc", "small", or "auto": small below 2,000 images, else voc
    numbers      what is to differ from the recipe, by the names of `recipes.Recipe`: lr, epochs,
                 batch_size, crop, rcm, mam, threshold, scales, …
    dilated      dilate the layers behind the removed strides
    seed         of weights, order and crops, an integer from 0
    amp          bfloat16 autocast; None: on a GPU that has it
    overwrite    replace a run with other settings
    workers      processes that read images; default one per core
    device       "cpu", "cuda", "cuda:1"; default a GPU if there is one
    picture_every  steps between two pictures; 0 for none
    progress     show a bar on stderr
    resume       require an interrupted run. Calling again with the same settings continues it in
                 any case, and leaves a finished run unchanged

    The loss is L_cls + λ_r·L_RCM + λ_m·L_MAM, after the abstract of arXiv 2112.05351. BatchNorms
    stay as they are unless weights is "random". Prototypes are of the whole batch, and under
    torchrun of the batch of all processes. The same settings on the same machine give the same
    weights, interrupted or not. Raises InputError for bad settings, images or labels, OutputError
    where `run` contains another run, TrainingError where training fails.

    >>> from c2am_plugin import train_classifier
    >>> train_classifier("JPEGImages", "labels.csv", "run", epochs=8, rcm=1.0)  # doctest: +SKIP
    """
    run = Path(run)
    with ExitStack() as stack:
        ranks = stack.enter_context(joined())
        check_least(0, seed=seed, workers=workers, picture_every=picture_every)
        check_outside(images, run)
        weights = str(weights or default_weights(backbone or "resnet50"))
        found = ranks.first(lambda: find_images(images, ids))
        if len(found) < 2:
            raise InputError("one image: nothing tells its classes apart; at least 2 needed")
        given = read_class_names(classes) if classes else None
        recipe = choose_recipe(recipe, len(found), "voc")
        fixed = numbers.get("batch_size") is not None
        plan = with_full_batches(make_recipe(recipe, **numbers), fixed, len(found), ranks.count)
        start = None
        if checkpoint is not None:
            start = load_classifier(
                checkpoint, backbone=backbone, classes=given, output_stride=plan.output_stride
            )
            given = list(start.classes)
            plan = _further(plan, start.model, numbers)
        known = ranks.first(lambda: read_labels(labels, given))
        chosen = ranks.first(lambda: labels_of(known, list(found)))
        where = pick_device(device)
        precision = autocast_type(amp, where)
        settings = {
            "recipe": recipe,
            **asdict(plan),
            "backbone": start.model.name if start else backbone or "resnet50",
            "weights": None if start else weights,
            "checkpoint": digest(Path(checkpoint).read_bytes()) if checkpoint else None,
            "dilated": dilated,
            "classes": list(known.classes),
            "seed": seed,
            "amp": amp,
            "images": len(found),
            "ids": digest("\n".join(found)),
            "labels": digest(chosen.tobytes()),
        }
        stack.enter_context(torch.random.fork_rng([where] if where.type == "cuda" else []))
        torch.manual_seed(seed)
        # Before the folder is claimed: a mistake must not cost the run that is there.
        main = start.model if start else _new(settings, plan, len(known.classes))
        report = "" if start else same_weights(main, weights, ranks)
        there = hold_run(stack, COMMAND, run, settings, overwrite, ranks)
        if (info := finished_run(run, there, ranks)) is not None:
            return ClassifierResult(run / "last.pt", info["step"], math.nan, math.nan, ())
        per_epoch = len(found) // plan.batch_size
        trainer = ClassifierTrainer(
            main,
            plan,
            plan.epochs * per_epoch,
            per_epoch,
            where,
            precision,
            frozen_norms=start is not None or weights != "random",
            seed=seed,
            ranks=ranks,
        )
        continue_run(trainer, run, there, report, resume)
        views = LabelledImages(list(found.values()), chosen, plan, seed)
        log.info("%d classes, RCM %g, MAM %g", len(known.classes), plan.rcm, plan.mam)
        loop = Run(run, settings, trainer, views, plan.batch_size)
        loop.go(workers, picture_every, progress)
        return loop.conclude()


def _further(plan: Recipe, model: Classifier, numbers: Mapping[str, Any]) -> Recipe:
    """The plan for a classifier that is already trained: its architecture, and the self-supervised
    losses from the first step."""
    if numbers.get("start") is None:
        ramp = 0.1 if numbers.get("ramp") is None else plan.ramp
        plan = replace(plan, start=0.0, ramp=ramp)
    return replace(
        plan,
        output_stride=model.stride or plan.output_stride,
        pooling=model.pooling,
        neck=model.neck_width or 0,
    )


def _new(settings: dict[str, Any], plan: Recipe, n_classes: int) -> Classifier:
    return Classifier(
        settings["backbone"],
        n_classes,
        plan.output_stride,
        dilated=settings["dilated"],
        neck=plan.neck or None,
        pooling=plan.pooling,
    )
