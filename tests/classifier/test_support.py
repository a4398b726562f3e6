"""U2 and U3: SupportNet is the moving average of MainNet that the formula names."""

from __future__ import annotations

import pytest
import torch

from c2am_plugin.classifier.split import Classifier
from c2am_plugin.classifier.support import Pair, distance, momentum_rule, update_support


def pair() -> Pair:
    torch.manual_seed(0)
    return Pair(Classifier("shufflenet_v2_x0_5", 3, 16), with_support=True)


def move(main: torch.nn.Module, seed: int) -> None:
    """Other parameters and buffers, as a step leaves them."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in (*main.parameters(), *main.buffers()):
            if value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=random))
            else:
                value.add_(seed)


@pytest.mark.slow
def test_it_is_the_closed_form_of_mainnets_steps() -> None:
    both = pair()
    assert both.support is not None
    expected = [p.detach().double().clone() for p in both.support.parameters()]
    for step in range(1, 8):
        move(both.main, step)
        m = min(0.6, (1 + step) / (10 + step))
        for average, now in zip(expected, both.main.parameters(), strict=True):
            average.mul_(m).add_((1 - m) * now.detach().double())
        update_support(both.support, both.main, 0.6, step)
    for average, found in zip(expected, both.support.parameters(), strict=True):
        torch.testing.assert_close(found.double(), average, atol=1e-6, rtol=1e-6)
    for theirs, ours in zip(both.main.buffers(), both.support.buffers(), strict=True):
        assert torch.equal(theirs, ours)


def test_a_momentum_of_1_leaves_it_and_one_of_0_copies_mainnet_exactly() -> None:
    both = pair()
    assert both.support is not None
    before = {k: v.clone() for k, v in both.support.state_dict().items()}
    move(both.main, 1)
    update_support(both.support, both.main, 1.0, 1)
    assert all(torch.equal(v, before[k]) for k, v in both.support.state_dict().items())
    assert float(distance(both.support, both.main)) > 0.1
    update_support(both.support, both.main, 0.0, 5)
    now = both.main.state_dict()
    assert all(torch.equal(v, now[k]) for k, v in both.support.state_dict().items())
    assert float(distance(both.support, both.main)) == 0


def test_no_parameter_of_it_ever_wants_a_gradient() -> None:
    both = pair()
    assert both.support is not None
    assert not any(p.requires_grad for p in both.support.parameters())
    assert all(p.requires_grad for p in both.main.parameters())
    assert not both.support.training


def test_the_distance_is_that_of_the_numbers_in_any_memory_format() -> None:
    both = pair()
    assert both.support is not None
    both.main.to(memory_format=torch.channels_last)
    stored = [p for p in both.main.parameters() if not p.is_contiguous()]
    assert stored  # weights that no view makes a vector of
    assert float(distance(both.support, both.main)) == 0
    with torch.no_grad():
        for parameter in both.main.parameters():
            parameter.mul_(2)
    assert float(distance(both.support, both.main)) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(("steps", "momentum"), [(1322, 0.99697), (7, 0.9), (40, 0.9), (80, 0.95)])
def test_the_memory_is_a_quarter_of_an_epoch(steps: int, momentum: float) -> None:
    assert momentum_rule(steps) == pytest.approx(momentum, abs=5e-6)
