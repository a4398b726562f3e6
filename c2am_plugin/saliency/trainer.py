"""A saliency network in training: what learns, and the gradient of a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..training.normalisation import normalise
from ..training.trainer import BaseTrainer
from .data import Example
from .net import PoolNet
from .recipes import Recipe

__all__ = ["SaliencyTrainer", "Step"]


class Step(NamedTuple):
    """One step: the loss in nats per known pixel, and the predicted saliency of each example,
    float32 H×W in [0, 1], 1 = foreground."""

    loss: float
    saliency: list[np.ndarray]


class SaliencyTrainer(BaseTrainer):
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

    def gradient(self, batch: Sequence[Example]) -> tuple[float, Step]:
        """The summed gradients of the examples."""
        losses, saliency = zip(*(self._learn(example) for example in batch), strict=True)
        mean = float(np.mean(losses))
        return mean, Step(mean, list(saliency))

    def memory_advice(self, batch: Sequence[Example]) -> str:
        height, width = max((example.image.shape[1:] for example in batch), key=math.prod)
        return (
            f"one image of {width}×{height} pixels; take `side=320` or less, or a smaller `width` "
            "or `backbone`"
        )

    def _learn(self, example: Example) -> tuple[float, np.ndarray]:
        """Add the gradient of one example; returns its loss per known pixel and its saliency."""
        image, mask = (part[None].to(self.where, non_blocking=True) for part in example)
        known = ~mask.isnan()
        logits = self.model.logits(
            normalise(image, self.model).contiguous(memory_format=torch.channels_last)
        )
        loss = F.binary_cross_entropy_with_logits(
            logits, mask.nan_to_num(), weight=known.to(mask.dtype), reduction="sum"
        )
        (loss / self.plan.accumulate).backward()
        pixels = max(1, int(known.sum()))
        return float(loss.detach()) / pixels, logits.detach().sigmoid()[0, 0].cpu().numpy()
