"""The network: the released layout and numbers, torchvision's features, any chain of stages."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from golden_network import GOLDEN, fill, needs_golden
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from c2am_plugin.errors import InputError
from c2am_plugin.network.model import C2AM

pytestmark = pytest.mark.slow


def images(n: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


@needs_golden
def test_names_and_shapes_are_the_released_ones() -> None:
    expected = json.loads((GOLDEN / "released_checkpoint_keys.json").read_text())
    found = {name: list(value.shape) for name, value in C2AM("resnet50").state_dict().items()}
    assert found == expected


@needs_golden
@torch.no_grad()
def test_the_released_forward() -> None:
    stored = np.load(GOLDEN / "network.npz")
    model = C2AM("resnet50").eval()
    fill(model)
    x = torch.from_numpy(stored["x"])
    output = model(x)
    np.testing.assert_allclose(output.foreground, stored["fg"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(output.background, stored["bg"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(output.logits, stored["logits"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(output.logits.sigmoid(), stored["activation"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.logits(x), stored["logits"], rtol=1e-4, atol=1e-4)


def test_layers_carry_the_authors_names() -> None:
    model = C2AM("resnet18")
    names = model.state_dict()
    for name in ("backbone.conv1.weight", "backbone.layer4.1.bn2.running_var"):
        assert name in names
    assert not any("fc" in name for name in names)
    assert names["ac_head.activation_head.weight"].shape == (1, 512 + 256, 3, 3)
    assert {name for name in names if name.startswith("ac_head.bn_head")} >= {
        "ac_head.bn_head.weight",
        "ac_head.bn_head.running_mean",
    }


@torch.no_grad()
@pytest.mark.parametrize(
    ("stride", "dilation", "dilated"),
    [(32, (False, False), False), (16, (False, True), True), (8, (True, True), True)],
)
def test_features_are_torchvisions(stride: int, dilation: tuple[bool, bool], dilated: bool) -> None:
    theirs = models.resnet50(replace_stride_with_dilation=[False, *dilation]).eval()
    ours = C2AM("resnet50", stride, dilated).eval()
    ours.backbone.load_state_dict(theirs.state_dict(), strict=False)
    x = images(1, 64, 96)
    expected = create_feature_extractor(theirs, ["layer3", "layer4"])(x)
    before, last = ours.backbone(x)
    torch.testing.assert_close(before, expected["layer3"])
    torch.testing.assert_close(last, expected["layer4"])
    assert ours.features(x).shape == (1, 3072, 64 // stride, 96 // stride)
    torch.testing.assert_close(ours.features(x)[:, :2048], last)


@torch.no_grad()
def test_a_removed_stride_changes_no_weight_and_no_dilation() -> None:
    """As released: the same kernels, each on a grid twice as fine, the coarse grid among it."""
    torch.manual_seed(0)
    coarse, fine = C2AM("resnet18", 32).eval(), C2AM("resnet18", 16).eval()
    fine.load_state_dict(coarse.state_dict())
    first = fine.backbone.layer4[0]
    assert first.conv1.stride == (1, 1)
    assert first.conv1.dilation == (1, 1)
    assert first.downsample[0].stride == (1, 1)
    x = images(1, 128, 128)
    torch.testing.assert_close(fine.backbone(x)[0], coarse.backbone(x)[0])
    on_fine, on_coarse = (m.backbone.layer4[0].conv1(m.backbone(x)[0]) for m in (fine, coarse))
    torch.testing.assert_close(on_fine[:, :, ::2, ::2], on_coarse)


@torch.no_grad()
def test_representations_are_weighted_means_of_the_features() -> None:
    torch.manual_seed(0)
    model = C2AM("squeezenet1_1").eval()
    x = images(2, 64, 80)
    output, features = model(x), model.features(x).numpy()
    p = 1 / (1 + np.exp(-output.logits.numpy()))
    n, c, h, w = features.shape
    expected = np.zeros((2, n, c))
    for i in range(n):
        for y in range(h):
            for column in range(w):
                pixel = features[i, :, y, column] / (h * w)
                expected[0, i] += p[i, 0, y, column] * pixel
                expected[1, i] += (1 - p[i, 0, y, column]) * pixel
    np.testing.assert_allclose(output.foreground, expected[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(output.background, expected[1], rtol=1e-4, atol=1e-6)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    ("backbone", "stride", "n_features"),
    [
        ("resnet18", 16, 768),
        ("resnet34", 8, 768),
        ("squeezenet1_0", 16, 1024),
        ("squeezenet1_0", 8, 1024),
        ("mobilenet_v3_large", 16, 1072),
        ("mobilenet_v3_large", 8, 1072),
        ("densenet121", 16, 1536),
        ("alexnet", 8, 448),
        ("convnext_tiny", 16, 1152),  # its strided layers are 2×2
    ],
)
def test_any_chain_of_stages_covers_the_image(backbone: str, stride: int, n_features: int) -> None:
    model = C2AM(backbone, stride).eval()
    output = model(images(1, 96, 128))
    assert output.logits.shape == (1, 1, 96 // stride, 128 // stride)
    assert output.foreground.shape == output.background.shape == (1, n_features)
    assert (model.stride, model.n_features) == (stride, n_features)
    odd = model.logits(images(1, 65, 100)).shape
    assert odd in {
        (1, 1, math.ceil(65 / stride), math.ceil(100 / stride)),
        (1, 1, 65 // stride, 100 // stride),  # backbones with even pools
    }


def test_resnet101_has_the_features_of_resnet50() -> None:
    model = C2AM("resnet101", 16)
    assert model.n_features == 3072
    assert len(model.backbone.layer3) == 23


def test_a_new_network_has_seen_no_image() -> None:
    """Finding the stages runs an image through; BatchNorm must not remember it."""
    for name, value in C2AM("mobilenet_v3_large").state_dict().items():
        if name.endswith(("running_mean", "num_batches_tracked")):
            assert not value.any(), name
    assert all(module.training for module in C2AM("resnet18").modules())


def test_gradients_reach_every_weight() -> None:
    model = C2AM("resnet18")
    output = model(images(2, 64, 64))
    (output.foreground - output.background).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
@pytest.mark.parametrize(
    ("backbone", "stride", "told"),
    [
        ("resnet18", 12, "8"),
        ("squeezenet1_0", 32, "16"),
        ("resnet19", 16, "squeezenet1_0"),
        ("swin_t", 16, "chain"),
        ("googlenet", 16, "branches"),
    ],
)
def test_what_cannot_be_had_is_reported(backbone: str, stride: int, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        C2AM(backbone, stride)
    assert backbone in str(error.value)
    assert "\n" not in str(error.value)
