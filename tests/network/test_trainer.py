"""What a step of C2AM's training says where it fails; its gradient is in test_train."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from c2am_plugin.errors import TrainingError
from c2am_plugin.network import gradient, trainer
from c2am_plugin.network.model import C2AM
from c2am_plugin.network.recipes import make_recipe
from c2am_plugin.network.trainer import Trainer

FULL = torch.cuda.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    ("error", "sync_bn", "kind", "said"),
    [
        (RuntimeError("shapes cannot be multiplied"), False, RuntimeError, "cannot be multiplied"),
        (FULL, True, TrainingError, "8 images at once.*more GPUs, or `micro_batch` without `sync"),
        (
            FULL,
            False,
            TrainingError,
            "8 images of 64 pixels.*not even one fits: take a smaller `crop`",
        ),
    ],
)
def test_a_step_that_fails(
    monkeypatch: pytest.MonkeyPatch, error: Exception, sync_bn: bool, kind: Any, said: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(trainer, "loss_gradient", fail)
    monkeypatch.setattr(gradient, "loss_gradient", fail)
    plan = make_recipe("paper", batch_size=8, crop=64)
    training = Trainer(
        C2AM("squeezenet1_1"), plan, 5, torch.device("cpu"), None, None, sync_bn=sync_bn
    )
    with pytest.raises(kind, match=said):
        training.advance(torch.zeros(8, 3, 64, 64, dtype=torch.uint8))
    assert training.step == 0
