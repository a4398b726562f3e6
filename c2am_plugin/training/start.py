"""How every training run begins: its folder, its weights, and where an interrupted one continues.

Knows files and settings of a run, neither its images nor the loop that follows.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..runs.output_folders import OutputFolder, hold_folders
from ..runs.ranks import ALONE, Ranks
from .settings import FILES
from .trainer import BaseTrainer
from .weights import initial_weights, read_torch_file

__all__ = ["continue_run", "finished_run", "hold_run", "same_weights"]

log = logging.getLogger(__name__)


def same_weights(model: Any, weights: str, ranks: Ranks = ALONE) -> str:
    """Give all ranks the first rank's initial weights; returns the report of what matched."""
    report, state = ranks.first(lambda: (initial_weights(model, weights), model.state_dict()))
    model.load_state_dict(state)
    return str(report)


def hold_run(
    stack: ExitStack,
    command: str,
    out: Path,
    settings: dict[str, Any],
    overwrite: bool,
    ranks: Ranks = ALONE,
) -> set[str]:
    """Lock the folder of a run until the stack ends; returns which of FILES are there."""
    holding = hold_folders(command, FILES, [OutputFolder(out, settings)], overwrite=overwrite)
    return ranks.first(lambda: stack.enter_context(holding))


def finished_run(out: Path, there: Collection[str], ranks: Ranks = ALONE) -> dict[str, Any] | None:
    """The notes in last.pt of a run that has finished; None for any other."""
    if "last.pt" not in there or "resume.pt" in there:
        return None
    info: dict[str, Any] = ranks.first(lambda: read_torch_file(out / "last.pt")["info"])
    if not info.get("finished", True):
        return None
    log.info("%s: training with these settings has already finished", out)
    return info


def continue_run(
    trainer: BaseTrainer, out: Path, there: Collection[str], report: str, resume: bool = False
) -> None:
    """Load the state of an interrupted run. resume: raise InputError if there is none.

    report: of the initial weights, logged for a new run.
    """
    if "resume.pt" in there:
        trainer.load(out / "resume.pt")
        log.info("%s: continuing after step %d", out, trainer.step)
    elif resume:
        raise InputError(f"{out}: contains no interrupted run; start one without `resume`")
    elif report:
        log.info("initial weights: %s", report)
