"""Steps of a saliency network: what they move, and what goes wrong in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from c2am_plugin.errors import InputError, TrainingError
from c2am_plugin.saliency.data import Example
from c2am_plugin.saliency.net import PoolNet
from c2am_plugin.saliency.recipes import make_recipe
from c2am_plugin.saliency.trainer import SaliencyTrainer


def trainer(backbone: str = "shufflenet_v2_x0_5") -> SaliencyTrainer:
    torch.manual_seed(0)
    plan = make_recipe("small", lr=0.01, side=64, width=8)
    return SaliencyTrainer(PoolNet(backbone, 16, 8), plan, torch.device("cpu"))


def example() -> Example:
    random = torch.Generator().manual_seed(1)
    mask = torch.zeros(1, 48, 64)
    mask[:, 12:36, 16:48] = 1
    return Example(torch.randint(0, 256, (3, 48, 64), generator=random, dtype=torch.uint8), mask)


def test_batchnorm_stays_as_it_was_and_the_rest_learns() -> None:
    """One image at a time would ruin the statistics of the initial weights."""
    training = trainer()
    before = {k: v.clone() for k, v in training.model.state_dict().items()}
    for _ in range(2):
        training.advance([example()])
    norms = {
        f"{name}.{key}"
        for name, module in training.model.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
        for key in module.state_dict()
    }
    moved = {k for k, v in training.model.state_dict().items() if not torch.equal(v, before[k])}
    assert norms
    assert not norms & moved
    assert any(name.startswith("backbone.") for name in moved)
    assert any(not name.startswith("backbone.") for name in moved)


def test_full_memory_says_what_to_take_and_other_errors_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = trainer()

    def fail(images: Any) -> Any:
        raise error

    monkeypatch.setattr(training.model, "logits", fail)
    error: Exception = torch.cuda.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(TrainingError, match=r"one image of 64×48 pixels; take `side=320` or less"):
        training.advance([example()])
    error = RuntimeError("shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        training.advance([example()])
    assert training.step == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [{"model": {}}, {"model": 3}, {"optimizer": {}}, {"optimizer": None}, {"step": "many"}, None],
    ids=str,
)
def test_a_state_that_is_not_this_runs_is_reported(
    tmp_path: Path, change: dict[str, Any] | None
) -> None:
    training = trainer()
    training.advance([example()])
    training.save(tmp_path / "resume.pt")
    again = trainer()
    again.load(tmp_path / "resume.pt")
    assert again.step == 1
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    torch.save(state | change if change else [state], tmp_path / "resume.pt")
    with pytest.raises(InputError, match=r"resume\.pt: is not the state.*`overwrite=True`"):
        again.load(tmp_path / "resume.pt")
