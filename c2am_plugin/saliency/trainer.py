"""A saliency network in training: its optimizer, its steps, and how they are saved.

Knows examples and a recipe, not where they come from or what a run writes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..errors import TrainingError
from ..training.devices import is_out_of_memory
from ..training.normalisation import normalise
from ..training.resumable import Resumable
from .data import Example
from .net import PoolNet
from .recipes import Recipe

__all__ = ["SaliencyTrainer", "Step"]


class Step(NamedTuple):
    """One step: the loss in nats per known pixel, and the predicted saliency of each example,
    float32 H×W in [0, 1], 1 = foreground."""

    loss: float
    saliency: list[np.ndarray]


class SaliencyTrainer(Resumable):
    """PoolNet in training.

    The network stays in eval mode: a single image is too little to update BatchNorm's statistics.
    BatchNorm's scale and shift are not trained either. PoolNet and the released code do the same.
    """

    model: PoolNet

    def __init__(self, model: PoolNet, plan: Recipe, where: torch.device) -> None:
        self.model = model.to(where).to(memory_format=torch.channels_last).eval()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.requires_grad_(False)
        self.plan, self.where = plan, where
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=plan.lr, weight_decay=plan.weight_decay)

    def advance(self, examples: Sequence[Example]) -> Step:
        """One step with the summed gradients of the examples. Raises TrainingError."""
        self.optimizer.zero_grad(set_to_none=True)
        losses, saliency = [], []
        for example in examples:
            loss, p = self._learn(example)
            losses.append(loss)
            saliency.append(p)
        mean = float(np.mean(losses))
        if not math.isfinite(mean):
            raise TrainingError(
                f"the loss is {mean} at step {self.step + 1}, expected a finite number; take a "
                f"lower `lr` than {self.plan.lr}"
            )
        self.optimizer.step()
        self.step += 1
        return Step(mean, saliency)

    def _learn(self, example: Example) -> tuple[float, np.ndarray]:
        """Add the gradient of one example; returns its loss per known pixel and its saliency."""
        image, mask = (part[None].to(self.where, non_blocking=True) for part in example)
        known = ~mask.isnan()
        try:
            logits = self.model.logits(
                normalise(image, self.model).contiguous(memory_format=torch.channels_last)
            )
            loss = F.binary_cross_entropy_with_logits(
                logits, mask.nan_to_num(), weight=known.to(mask.dtype), reduction="sum"
            )
            (loss / self.plan.accumulate).backward()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"out of memory with one image of {image.shape[3]}×{image.shape[2]} pixels; "
                "take `side=320` or less, or a smaller `width` or `backbone`"
            ) from error
        pixels = max(1, int(known.sum()))
        return float(loss.detach()) / pixels, logits.detach().sigmoid()[0, 0].cpu().numpy()
