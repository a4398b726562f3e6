"""U1: a classifier in three parts says what torchvision's network says."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import get_model

from c2am_plugin.classifier.checkpoint import fill_classifier, torchvision_state
from c2am_plugin.classifier.split import Classifier
from c2am_plugin.errors import InputError


def lively(name: str) -> torch.nn.Module:
    """torchvision's network whose BatchNorms do not divide by 1 and whose biases are not 0."""
    torch.manual_seed(0)
    network = get_model(name, weights=None, num_classes=7).eval()
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif key.endswith(("running_mean", "bias")):
            value.normal_(0, 0.1)
    return network


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet18", "squeezenet1_0", "shufflenet_v2_x0_5", "densenet121", "mobilenet_v2"]
)
def test_the_parts_together_are_torchvisions_network(name: str) -> None:
    network = lively(name)
    ours = Classifier(name, 7, None, pooling="published", bias=True).eval()
    fill_classifier("a file", ours, network.state_dict())
    images = torch.randn(2, 3, 224, 192)
    with torch.inference_mode():
        expected = network(images)
        found = ours.pool(ours.scores(ours.features(images)))
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    stored = torchvision_state(ours)
    assert all(torch.equal(stored[k], v) for k, v in network.state_dict().items())


@pytest.mark.slow
def test_vggs_linear_layers_as_convolutions_say_the_same_at_224_pixels() -> None:
    """VGG-11: VGG-16's head on a smaller trunk."""
    network = lively("vgg11")
    ours = Classifier("vgg11", 7, None, pooling="published", bias=True).eval()
    fill_classifier("a file", ours, network.state_dict())
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        features = ours.features(images)
        assert features.shape == (1, 4096, 7, 7)  # the map covers the image
        torch.testing.assert_close(
            ours.pool(ours.scores(features)), network(images), atol=1e-5, rtol=1e-5
        )


@pytest.mark.slow
def test_a_stride_that_is_removed_makes_the_map_finer() -> None:
    images = torch.zeros(1, 3, 64, 64)
    sizes = {}
    for stride in (32, 16, 8):
        model = Classifier("resnet18", 3, stride).eval()
        sizes[stride] = model.scores(model.features(images)).shape[2:]
    assert sizes == {32: (2, 2), 16: (4, 4), 8: (8, 8)}


def test_the_heads_bias_counts_in_the_logits_alone() -> None:
    model = Classifier("squeezenet1_1", 3, 16, bias=True).eval()
    features = model.features(torch.rand(2, 3, 64, 64))
    scores, logits = model.scores(features), model.logits(torch.rand(2, 3, 64, 64))
    with torch.no_grad():
        model.head.bias += 5
    assert torch.equal(model.scores(features), scores)
    assert logits.shape == (2, 3)
    torch.testing.assert_close(
        model.pool(scores) - scores.mean((2, 3)), model.head.bias.expand(2, 3)
    )


def test_a_smooth_maximum_lies_between_mean_and_maximum() -> None:
    model = Classifier("squeezenet1_1", 1, 16, pooling="smooth_max")
    scores = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    expected = torch.log((1 + torch.exp(torch.tensor(1.2))) / 2) / 0.3
    assert 2 < float(expected) < 4
    torch.testing.assert_close(model.pool(scores), expected.view(1, 1))


def test_a_neck_stands_between_trunk_and_head() -> None:
    model = Classifier("squeezenet1_1", 3, 16, neck=8).eval()
    features = model.features(torch.rand(1, 3, 64, 64))
    assert features.shape[1] == 8
    assert float(features.min()) >= 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [("mobilenet_v3_small", "more than one linear layer"), ("no_net", "not a torchvision model")],
)
def test_a_network_without_a_linear_head_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Classifier(name, 3, None, pooling="published")
