"""Save and load a network, its optimizer and their number of steps."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ..errors import InputError
from ..files.writing import atomic_path
from ..runs.ranks import ALONE
from .weights import read_torch_file

__all__ = ["Resumable"]


class Resumable:
    """A network, its optimizer and their number of steps: the state of a run.

    ranks: the processes that share each batch; their networks stay identical.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    step = 0
    ranks = ALONE

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
