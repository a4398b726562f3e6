"""C2AM in training: what learns, and the gradient of a step."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..runs.ranks import ALONE, Ranks
from ..training.backbone import synchronised
from ..training.normalisation import normalise
from ..training.trainer import BaseTrainer
from .gradient import BatchHints, StepResult, fitting_micro_batch, loss_gradient
from .hints import HintPlan
from .model import C2AM, HeadOnly
from .recipes import Recipe, learning_rate
from .views import View

__all__ = ["Trainer"]


class Trainer(BaseTrainer):
    """C2AM in training.

    sync_bn  BatchNorm over the images of all ranks; on GPUs only. Otherwise each rank normalises by
             its own, and running statistics are the means over ranks
    frozen   the head alone learns, of features that come with the views
    hints    how the views' hints count; None: not at all
    """

    model: C2AM

    def __init__(
        self,
        model: C2AM,
        plan: Recipe,
        steps: int,
        where: torch.device,
        micro_batch: int | None,
        precision: torch.dtype | None,
        *,
        seed: int = 0,
        ranks: Ranks = ALONE,
        sync_bn: bool = False,
        frozen: bool = False,
        hints: HintPlan | None = None,
    ) -> None:
        if sync_bn:
            model = cast(C2AM, synchronised(model))
        self.model = model.to(where).to(memory_format=torch.channels_last).train()
        self.plan, self.steps, self.where = plan, steps, where
        self.micro_batch, self.precision = micro_batch, precision
        self.seed, self.ranks, self.sync_bn = seed, ranks, sync_bn
        self.frozen, self.hints = frozen, hints
        # What learns sees the views: the network their pixels, the head alone their features.
        self.learner = HeadOnly(self.model) if frozen else self.model
        if frozen:
            self.model.backbone.eval().requires_grad_(False)
        trained = _trained_parameters(self.learner, plan.convolutions_only)
        self.backbone = [
            parameter
            for name, parameter in model.named_parameters()
            if name.startswith("backbone.") and parameter.requires_grad
        ]
        self.optimizer = torch.optim.SGD(
            trained, lr=plan.lr, momentum=plan.momentum, weight_decay=plan.weight_decay
        )

    def rate(self) -> float:
        return learning_rate(self.plan, self.step, self.steps)

    def gradient(self, batch: Tensor | View) -> tuple[float, StepResult]:
        """Of uint8 N×3×crop×crop or a View of N."""
        for parameter in self.backbone:
            parameter.requires_grad_(self.step >= self.plan.head_steps)
        view = batch if isinstance(batch, View) else View(batch)
        result = loss_gradient(
            self.learner,
            self._inputs(view),
            self.plan.alpha,
            micro_batch=self.micro_batch,
            precision=self.precision,
            ranks=self.ranks,
            hints=self._hints(view),
        )
        self.ranks.average(b for b in self.model.buffers() if b.is_floating_point())
        return float(result.total), result

    def _inputs(self, view: View) -> Tensor:
        """What the learner takes: normalised pixels, or features, float32 on the device."""
        given = view.features if self.frozen and view.features is not None else view.pixels
        moved = given.to(self.where, memory_format=torch.channels_last, non_blocking=True)
        return moved.float() if self.frozen else normalise(moved, self.model)

    def _hints(self, view: View) -> BatchHints | None:
        if self.hints is None or view.hint is None:
            return None
        maps = view.hint.to(self.where, non_blocking=True)
        return BatchHints(maps, self.hints.threshold, self.hints.weight)

    def memory_advice(self, batch: Tensor | View) -> str:
        pixels = self._inputs(batch if isinstance(batch, View) else View(batch))
        if self.sync_bn:  # no rank can try alone what fits
            return (
                f"{len(pixels)} images at once; take a smaller `batch_size`, more GPUs, or "
                "`micro_batch` without `sync_bn`"
            )
        at_once = min(self.micro_batch or len(pixels), len(pixels))
        fits = fitting_micro_batch(self.learner, pixels[:at_once], self.plan.alpha, self.precision)
        advice = (
            f"{fits} fit: take `micro_batch={fits}`, which keeps the batch"
            if fits
            else "not even one fits: take a smaller `crop` or `backbone`"
        )
        return f"{at_once} images of {pixels.shape[-1]} pixels at once; {advice}"


def _trained_parameters(model: nn.Module, convolutions_only: bool) -> list[nn.Parameter]:
    if convolutions_only:
        chosen = {id(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d)}
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) in chosen)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
