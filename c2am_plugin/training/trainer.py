"""A network in training: its optimizer, its steps, and how they are saved.

Knows batches and a recipe, not where batches come from, nor what a run writes.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import InputError, TrainingError
from ..files.writing import atomic_path
from ..runs.ranks import ALONE
from .devices import is_out_of_memory
from .weights import read_torch_file

__all__ = ["BaseTrainer"]


class BaseTrainer:
    """A network, its optimizer and their number of steps: the state of a run.

    plan   a recipe, with `lr`
    seed   of what layers draw at random, which depends on (seed, step, rank) and nothing else
    ranks  the processes that share each batch; their networks stay identical
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    plan: Any
    where: torch.device
    precision: torch.dtype | None = None
    seed = 0
    step = 0
    ranks = ALONE

    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.plan.lr)

    def gradient(self, batch: Any) -> tuple[float, Any]:
        """Add the gradient of this rank's part of a batch; returns the batch's loss and more."""
        raise NotImplementedError

    def memory_advice(self, batch: Any) -> str:
        """What to change where memory is full."""
        raise NotImplementedError

    def advance(self, batch: Any) -> Any:
        """One step with this rank's part of a batch; returns what `gradient` did. Raises
        TrainingError."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.zero_grad(set_to_none=True)
        draws = np.random.SeedSequence([self.seed, self.step, self.ranks.rank])
        torch.manual_seed(int(draws.generate_state(1)[0]))
        memory_full = False
        try:
            loss, result = self.gradient(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            memory_full = True
        if memory_full:  # here, where the error no longer holds the graph's memory
            raise TrainingError(f"out of memory with {self.memory_advice(batch)}")
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {self.step + 1}; take a lower `lr` than {self.plan.lr}"
                + (", or `amp=False`" if self.precision else "")
            )
        self.ranks.add(p.grad for p in self.model.parameters() if p.grad is not None)
        self.optimizer.step()
        self.step += 1
        return result

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on, atomically."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            torch.save(state, file)

    def load(self, path: Path) -> None:
        """Continue from the file that `save` wrote on the first rank. Raises InputError."""
        state = self.ranks.first(lambda: read_torch_file(path))
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = int(state["step"])
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: is not the state of this run ({type(error).__name__}); "
                "start again with `overwrite=True`"
            ) from error
