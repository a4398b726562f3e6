"""PoolNet: shapes at any size, any backbone, and what its modules do to a map."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from c2am_plugin.errors import InputError
from c2am_plugin.network.checkpoint import save_checkpoint
from c2am_plugin.network.inference import fast_copy
from c2am_plugin.network.model import C2AM
from c2am_plugin.saliency.net import Aggregation, PoolNet, PyramidPooling
from c2am_plugin.training.weights import initial_weights

pytestmark = pytest.mark.slow


def network(name: str = "squeezenet1_1", stride: int = 16, width: int = 16) -> PoolNet:
    torch.manual_seed(0)
    model = PoolNet(name, stride, width).eval()
    nn.init.normal_(model.score.weight)
    return model


@pytest.mark.parametrize("size", [(97, 130), (64, 64), (33, 200), (17, 16)])
def test_log_odds_have_the_size_of_the_image(size: tuple[int, int]) -> None:
    model = network()
    with torch.inference_mode():
        logits = model.logits(torch.randn(2, 3, *size))
        finest = model(torch.randn(2, 3, *size))
    assert logits.shape == (2, 1, *size)
    assert finest.shape == (2, 1, -(-size[0] // 2), -(-size[1] // 2))
    assert logits.isfinite().all()
    assert logits.std() > 0


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("resnet18", 16),
        ("resnet50", 8),
        ("squeezenet1_0", 16),
        ("mobilenet_v3_small", 32),
        ("vgg11", 16),
        ("densenet121", 32),
        ("efficientnet_b0", 16),
    ],
)
def test_every_backbone_that_c2am_takes(name: str, stride: int) -> None:
    """Gradients reach all of it: no stage and no module is left out."""
    model = network(name, stride)
    model.logits(torch.randn(1, 3, 70, 90)).sum().backward()
    idle = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # ReLUs may silence single channels, of which a one-channel layer has no other.
    assert [name for name in idle if name.endswith("weight")] == []


def test_resnet_50_has_the_published_levels() -> None:
    model = PoolNet("resnet50")
    assert [lateral.in_channels for lateral in model.laterals] == [64, 256, 512, 1024, 2048]  # type: ignore[union-attr]
    assert [lateral.out_channels for lateral in model.laterals] == [128, 128, 256, 512, 512]  # type: ignore[union-attr]
    with torch.inference_mode():
        sizes = [x.shape[-1] for x in model.backbone.stages(torch.zeros(1, 3, 64, 64))]
    assert sizes == [32, 16, 8, 4, 4]


def test_it_starts_undecided() -> None:
    with torch.inference_mode():
        assert (PoolNet("squeezenet1_0", 16, 16).logits(torch.randn(1, 3, 48, 48)) == 0).all()


def test_aggregation_sees_further_than_its_convolutions() -> None:
    """One pixel reaches 3 pixels by two convolutions, and 16 by the smallest copy."""
    torch.manual_seed(0)
    module = Aggregation(4)
    x = torch.zeros(1, 4, 64, 64)
    lit = x.clone()
    lit[..., 32, 32] = 100
    changed = (module(lit) != module(x)).any(1)[0].nonzero()
    reach = (changed - 32).abs().max()
    assert 8 <= reach <= 24


def test_the_pyramid_tells_every_place_of_all_others() -> None:
    torch.manual_seed(0)
    module = PyramidPooling(4)
    x = torch.rand(1, 4, 30, 30)
    lit = x.clone()
    lit[..., 0, 0] = 1000
    assert (module(lit) != module(x)).any(1).all()


def test_the_fast_copy_says_the_same() -> None:
    model = network("resnet18")
    images = torch.randn(2, 3, 50, 70)
    with torch.inference_mode():
        torch.testing.assert_close(
            fast_copy(model).logits(images), model.logits(images), rtol=1e-3, atol=1e-3
        )


def test_the_backbone_of_a_c2am_checkpoint(tmp_path) -> None:  # type: ignore[no-untyped-def]
    trained = C2AM("squeezenet1_1", 8)
    save_checkpoint(tmp_path / "last.pt", trained, False, {})
    model = network("squeezenet1_1", 16)
    report = initial_weights(model, str(tmp_path / "last.pt"))
    assert report.missing == ()
    own, theirs = model.backbone.state_dict(), trained.backbone.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in theirs)


def test_what_cannot_be_had() -> None:
    with pytest.raises(InputError, match="resnet19"):
        PoolNet("resnet19")
    with pytest.raises(InputError, match="does not support output stride 7"):
        PoolNet("squeezenet1_0", 7)
