"""A network, its optimizer and the steps they have made: how all three are kept."""

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
    """A network, its optimizer and how many steps they have made: the state that a run keeps.

    ranks: the processes that share each batch; their networks stay equal.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    step = 0
    ranks = ALONE

    def save(self, path: Path) -> None:
        """Write all that the next step depends on, atomically."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            torch.save(state, file)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote to the first rank's disk. Raises InputError."""
        state = self.ranks.first(lambda: read_torch_file(path))
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = int(state["step"])
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: is not the state of this run ({type(error).__name__}); "
                "start anew with `overwrite=True`"
            ) from error
