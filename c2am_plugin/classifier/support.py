"""SupportNet: the network that MainNet learns from, an exponential moving average of it.

Knows parameters and steps. Knows no loss.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from .split import Classifier

__all__ = ["SUPPORTS", "Pair", "momentum_rule", "update_support"]

# "frozen" is a momentum of 1, "self" one of 0: MainNet as it is, in eval mode.
SUPPORTS = ("ema", "frozen", "self")


class Pair(nn.Module):
    """MainNet and, where something is learnt from it, SupportNet: a copy of it in eval mode."""

    main: Classifier
    support: Classifier | None

    def __init__(self, main: Classifier, with_support: bool) -> None:
        super().__init__()
        self.main = main
        self.support = copy.deepcopy(main) if with_support else None
        if self.support is not None:
            self.support.eval().requires_grad_(False)


def momentum_rule(steps_per_epoch: int) -> float:
    """m = 1 − 1/max(10, steps/4): a memory of a quarter of an epoch; 0.997 on VOC in batches of 8,
    which is what traces in the authors' later code name."""
    return 1 - 1 / max(10.0, steps_per_epoch / 4)


@torch.no_grad()
def update_support(support: nn.Module, main: nn.Module, momentum: float, step: int) -> None:
    """φ ← m·φ + (1 − m)·θ, buffers copied. step: 1 after the first step with SupportNet.

    m = min(momentum, (1 + step)/(10 + step)), so that a copy of the start is soon forgotten;
    momentum 1 leaves φ as it is, buffers too.
    """
    if momentum == 1:
        return
    m = min(momentum, (1 + step) / (10 + step))
    for ours, theirs in zip(support.parameters(), main.parameters(), strict=True):
        ours.mul_(m).add_(theirs, alpha=1 - m)
    copy_buffers(support, main)


@torch.no_grad()
def copy_buffers(support: nn.Module, main: nn.Module) -> None:
    for ours, theirs in zip(support.buffers(), main.buffers(), strict=True):
        ours.copy_(theirs)


@torch.no_grad()
def distance(support: nn.Module, main: nn.Module) -> torch.Tensor:
    """‖θ − φ‖ / ‖θ‖ over all parameters."""
    theirs = torch.cat([parameter.reshape(-1) for parameter in main.parameters()])
    ours = torch.cat([parameter.reshape(-1) for parameter in support.parameters()])
    return (theirs - ours).norm() / theirs.norm()
