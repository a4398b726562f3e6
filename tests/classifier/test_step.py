"""U9, U13 and the rest of U2, U10, U16: whole steps of small networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from ranks import in_ranks
from torch import Tensor

from c2am_plugin.classifier.recipes import Recipe, learning_rate, make_recipe
from c2am_plugin.classifier.split import Classifier
from c2am_plugin.classifier.step import drawn_scale, step_losses
from c2am_plugin.classifier.trainer import ClassifierTrainer
from c2am_plugin.runs.ranks import joined

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def plan(**changes: Any) -> Recipe:
    numbers = {"crop": 64, "batch_size": 4, "output_stride": 16, "scales": (0.5, 1.0), "ramp": 0.0}
    return replace(make_recipe("small", **numbers), start=0.0, **changes)


def classifier(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return Classifier("squeezenet1_1", 3, 16)


def batch(n: int = 4, seed: int = 1) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 3, 64, 64), generator=random, dtype=torch.uint8)
    labels = torch.rand(n, 3, generator=random) < 0.5
    labels[:, 0] |= ~labels.any(1)
    return images, labels


def floats(n: int = 4) -> tuple[Tensor, Tensor]:
    images, labels = batch(n)
    return images.float() / 128 - 1, labels


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}


def test_equal_networks_at_one_scale_have_nothing_to_tell_each_other() -> None:
    main, images = classifier(), floats()
    chosen = plan(rcm=0.0, mam=1.0, scales=(1.0,))
    losses = step_losses(main, classifier(), *images, chosen)
    assert losses.mam is not None
    assert float(losses.mam) == 0
    losses.total.backward()
    with_mam = gradients(main)
    main.zero_grad(set_to_none=True)
    step_losses(main, None, *images, chosen).total.backward()
    alone = gradients(main)
    assert with_mam.keys() == alone.keys()
    assert all(torch.equal(with_mam[k], alone[k]) for k in alone)


def test_a_mirrored_batch_of_mirrored_networks_costs_the_same() -> None:
    """Kernels are mirrored too, so that the networks see the same in their mirror."""
    nets, mirrored = (classifier(0), classifier(1)), (classifier(0), classifier(1))
    with torch.no_grad():
        for net in mirrored:
            for parameter in net.parameters():
                if parameter.ndim == 4:
                    parameter.copy_(parameter.flip(-1))
    images, labels = floats()
    images = torch.nn.functional.pad(
        images, (0, 1, 0, 1)
    )  # an odd side: strides meet in the middle
    chosen = plan(rcm=1.0, mam=1.0, scales=(1.0,))
    plain = step_losses(*nets, images, labels, chosen)
    other = step_losses(*mirrored, images.flip(-1), labels, chosen)
    assert float(plain.mam) > 0
    for name in ("total", "rcm", "mam"):
        torch.testing.assert_close(
            getattr(plain, name).detach(), getattr(other, name).detach(), atol=1e-5, rtol=1e-5
        )


def test_without_weights_the_steps_are_those_of_plain_training_exactly() -> None:
    """A stranger's loop with the same optimizer, rate and order of operations."""
    chosen = plan(rcm=0.0, mam=0.0)
    ours = ClassifierTrainer(classifier(), chosen, 3, 3, CPU)
    assert ours.model.support is None
    theirs = classifier().to(memory_format=torch.channels_last).train()
    weights = [p for p in theirs.parameters() if p.ndim > 1]
    others = [p for p in theirs.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": 1e-2}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    for step in range(3):
        images, labels = batch(seed=step)
        ours.advance((images, labels))
        pixels = (images.to(memory_format=torch.channels_last) / 255 - mean) / std
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(chosen, step, 3)
        optimizer.zero_grad(set_to_none=True)
        logits = theirs(pixels)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, labels.float(), reduction="sum"
        )
        (loss / logits.numel()).backward()
        optimizer.step()
    for found, expected in zip(ours.model.main.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_the_optimizer_contains_nothing_of_supportnet_and_it_gets_no_gradient() -> None:
    trainer = ClassifierTrainer(classifier(), plan(rcm=1.0, mam=1.0), 4, 4, CPU)
    trainer.advance(batch())
    assert trainer.model.support is not None
    theirs = {id(p) for p in trainer.model.support.parameters()}
    held = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert held
    assert not held & theirs
    assert all(p.grad is None for p in trainer.model.support.parameters())


@pytest.mark.parametrize(("support", "equal_to"), [("frozen", "start"), ("self", "main")])
def test_supportnet_may_stay_or_be_mainnet_itself(support: str, equal_to: str) -> None:
    trainer = ClassifierTrainer(classifier(), plan(rcm=1.0, support=support), 4, 4, CPU)
    before = [p.detach().clone() for p in trainer.model.main.parameters()]
    for seed in range(2):
        trainer.advance(batch(seed=seed))
    assert trainer.model.support is not None
    wanted = before if equal_to == "start" else list(trainer.model.main.parameters())
    for found, expected in zip(trainer.model.support.parameters(), wanted, strict=True):
        assert torch.equal(found, expected)


def test_the_self_supervised_losses_begin_at_their_step_with_a_copy_and_a_ramp() -> None:
    chosen = replace(plan(rcm=1.0), start=0.5, ramp=0.5)
    trainer = ClassifierTrainer(classifier(), chosen, 8, 8, CPU)
    ramps, noted = [], []
    for step in range(8):
        ramps.append(trainer.ramp)
        losses = trainer.advance(batch(seed=step))
        noted.append(losses.rcm is not None)
    assert noted == [False] * 4 + [True] * 4
    assert ramps[4:] == [0.0, 0.5, 1.0, 1.0]


def test_each_step_draws_the_same_second_scale_again() -> None:
    drawn = [drawn_scale((0.5, 1.0, 2.0), 0, step) for step in range(40)]
    assert set(drawn) == {0.5, 2.0}
    assert drawn == [drawn_scale((0.5, 1.0, 2.0), 0, step) for step in range(40)]
    assert drawn_scale((1.0,), 0, 0) is None


def test_autocast_moves_the_losses_by_less_than_a_hundredth() -> None:
    nets, images = (classifier(0), classifier(1)), floats()
    chosen = plan(rcm=1.0, mam=1.0)
    exact = step_losses(*nets, *images, chosen, scale=0.5)
    rough = step_losses(*nets, *images, chosen, scale=0.5, precision=torch.bfloat16)
    for name in ("classification", "rcm", "mam"):
        assert float(getattr(rough, name)) == pytest.approx(float(getattr(exact, name)), rel=0.01)
        assert getattr(rough, name).dtype == torch.float32


# Under torchrun -------------------------------------------------------------------------------


def shared_step(scope: str, reduction: str) -> tuple[dict[str, Tensor], list[float]]:
    """This rank's part of a step's gradient, and the whole batch's losses; in float64 networks the
    rounding of a forward pass would not move ReLUs, which float32 losses do not allow."""
    with joined() as ranks:
        torch.use_deterministic_algorithms(True)
        trainer = ClassifierTrainer(
            classifier(),
            plan(rcm=1.0, mam=1.0, scope=scope, reduction=reduction),
            4,
            4,
            CPU,
            ranks=ranks,
        )
        images, labels = batch(5)
        mine = list(ranks.share(range(5)))
        losses = trainer.advance((images[mine], labels[mine]))
        grads = {k: p.grad for k, p in trainer.model.main.named_parameters() if p.grad is not None}
        values = [float(v) for v in (losses.total.detach(), losses.rcm, losses.mam)]  # type: ignore[arg-type]
        return {k: v.numpy() for k, v in grads.items()}, values


@pytest.mark.parametrize(("scope", "reduction"), [("batch", "all"), ("mixed", "present")])
def test_ranks_together_make_the_step_of_one_process(scope: str, reduction: str) -> None:
    """Three images on one rank and two on the other; sums are gathered, not means."""
    expected, losses = shared_step(scope, reduction)
    for ended in in_ranks(shared_step, scope, reduction):
        assert not ended.error, ended.text
        found, values = ended.value
        assert values == pytest.approx(losses, rel=1e-5)
        for name, gradient in expected.items():
            apart = abs(found[name] - gradient).max()
            assert apart <= 1e-4 * max(abs(gradient).max(), 1e-6), name
