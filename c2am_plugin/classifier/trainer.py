"""MainNet in training, and SupportNet beside it: what learns, and the gradient of a step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..runs.ranks import ALONE, Ranks
from ..training.normalisation import normalise
from ..training.trainer import BaseTrainer
from .recipes import Recipe, learning_rate
from .split import Classifier
from .step import StepLosses, drawn_scale, step_losses
from .support import Pair, distance, momentum_rule, update_support

__all__ = ["ClassifierTrainer"]


class ClassifierTrainer(BaseTrainer):
    """A classifier in training.

    frozen_norms  BatchNorms keep their statistics and weights: for a classifier, or a backbone,
                  that comes trained. Otherwise each rank normalises by its own images, and running
                  statistics are the means over ranks

    SupportNet begins as a copy of MainNet at the step at which the self-supervised losses start.
    """

    model: Pair

    def __init__(
        self,
        main: Classifier,
        plan: Recipe,
        steps: int,
        steps_per_epoch: int,
        where: torch.device,
        precision: torch.dtype | None = None,
        *,
        frozen_norms: bool = True,
        seed: int = 0,
        ranks: Ranks = ALONE,
    ) -> None:
        self.plan, self.steps, self.where, self.precision = plan, steps, where, precision
        self.seed, self.ranks, self.frozen_norms = seed, ranks, frozen_norms
        main = main.to(where).to(memory_format=torch.channels_last)
        train_mode(main, frozen_norms)
        self.model = Pair(main, with_support=plan.rcm > 0 or plan.mam > 0)
        self.first = round(plan.start * steps)  # step with SupportNet, counted from 0
        given = momentum_rule(steps_per_epoch) if plan.momentum is None else plan.momentum
        self.momentum = {"ema": given, "frozen": 1.0, "self": 0.0}[plan.support]
        trained = [p for p in main.parameters() if p.requires_grad]
        kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[plan.optimizer]
        self.optimizer = kind(_groups(trained, plan.weight_decay), lr=plan.lr)

    @property
    def ramp(self) -> float:
        """The self-supervised losses' share of their weights in the next step."""
        rising = self.plan.ramp * (self.steps - self.first)
        return 1.0 if rising <= 0 else min(1.0, (self.step - self.first) / rising)

    def rate(self) -> float:
        return learning_rate(self.plan, self.step, self.steps)

    def gradient(self, batch: tuple[Tensor, Tensor]) -> tuple[float, StepLosses]:
        """Of uint8 N×3×h×w and bool N×C; returns the whole batch's losses."""
        images, labels = batch
        main, support = self.model.main, self.model.support
        if support is not None and self.step == self.first:
            update_support(support, main, 0.0, 1)
        learning = support if self.step >= self.first else None
        images = images.to(self.where, memory_format=torch.channels_last, non_blocking=True)
        losses = step_losses(
            main,
            learning,
            normalise(images, main),
            labels.to(self.where).bool(),
            self.plan,
            weight=self.ramp if learning is not None else 0.0,
            scale=drawn_scale(self.plan.scales, self.seed, self.step),
            precision=self.precision,
            ranks=self.ranks,
        )
        losses.total.backward()
        losses = _whole(losses, self.ranks)
        if not self.frozen_norms:
            self.ranks.average(b for b in main.buffers() if b.is_floating_point())
        return float(losses.total), losses

    def advance(self, batch: tuple[Tensor, Tensor]) -> StepLosses:
        losses: StepLosses = super().advance(batch)
        if self.model.support is not None and self.step > self.first:
            update_support(
                self.model.support, self.model.main, self.momentum, self.step - self.first
            )
        return losses

    def memory_advice(self, batch: tuple[Tensor, Tensor]) -> str:
        n, side = len(batch[0]), batch[0].shape[-1]
        return (
            f"{n} images of {side} pixels at once; take `batch_size={max(1, n // 2)}`, a smaller "
            "`crop` or `backbone`"
        )

    def distance(self) -> float:
        """‖θ − φ‖ / ‖θ‖; 0 where nothing is learnt from SupportNet yet."""
        support = self.model.support
        if support is None or self.step <= self.first:
            return 0.0
        return float(distance(support, self.model.main))


def train_mode(model: nn.Module, frozen_norms: bool) -> None:
    """Training mode; BatchNorms stay as they are, statistics and weights, where they are frozen."""
    model.train()
    for module in model.modules() if frozen_norms else ():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval().requires_grad_(False)


def _groups(trained: list[nn.Parameter], decay: float) -> list[dict[str, object]]:
    """Weight decay acts on weights, not on biases or BatchNorm's scale and shift."""
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _whole(losses: StepLosses, ranks: Ranks) -> StepLosses:
    """The sums of the ranks' parts of the losses, and the means of their notes."""
    parts = {k: v.detach().clone() for k, v in losses._asdict().items() if v is not None}
    sums = [v for k, v in parts.items() if k in ("total", "classification", "rcm", "mam")]
    ranks.add(sums)
    ranks.average(v for k, v in parts.items() if k in ("correct", "foreground", "regions"))
    if "similarity" in parts:
        ranks.add([parts["similarity"]])
    return losses._replace(**parts)
