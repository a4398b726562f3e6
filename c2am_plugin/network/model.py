"""The C2AM network: a torchvision backbone and a disentangler of one channel.

Knows layers and shapes. Knows nothing of losses, files or which side of P is the background.
The layers carry the names of the authors' checkpoints: `backbone.conv1 … backbone.layer4.*`,
`ac_head.activation_head.weight`, `ac_head.bn_head.*`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from ..errors import InputError

__all__ = ["C2AM", "Backbone", "Disentangler", "Output"]

# The top-level layers with which torchvision's classifiers leave the image plane.
HEADS = ("avgpool", "fc", "classifier", "head", "heads")
STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
POOLS = (nn.MaxPool2d, nn.AvgPool2d)


class Output(NamedTuple):
    """What the network says of a batch; all float32.

    foreground  N×C: Σ P·F / (h·w), the representation of the side where P is high
    background  N×C: Σ (1−P)·F / (h·w)
    logits      N×1×h×w: after the BatchNorm, before the sigmoid; P = sigmoid(logits)

    "Foreground" is a name: training may as well make P high on the background.
    """

    foreground: Tensor
    background: Tensor
    logits: Tensor


class C2AM(nn.Module):
    """Backbone and disentangler of the paper (section 3.1): images to P and two representations.

    backbone       a torchvision classifier that is a chain of stages: ResNets, and squeezenet1_0,
                   mobilenet_v3_large, vgg16, efficientnet_b0, densenet121, … Without weights;
                   `weights.initial_weights` fills them
    output_stride  pixels of the image for one of P; the last strides are removed to reach it
    dilated        the layers behind a removed stride are dilated, which keeps the field of view
                   that they were trained with. The released code does not dilate

    .stride is the output stride, .n_features the channels C of both last stages together.
    Raises InputError for a backbone or stride that cannot be had.
    """

    def __init__(
        self, backbone: str = "resnet50", output_stride: int = 16, dilated: bool = False
    ) -> None:
        super().__init__()
        self.name = backbone
        self.stride = output_stride
        self.dilated = dilated
        self.backbone = Backbone(backbone, output_stride, dilated)
        self.n_features = self.backbone.n_features
        self.ac_head = Disentangler(self.n_features)

    def features(self, images: Tensor) -> Tensor:
        """N×3×H×W → N×C×h×w: the last stage and, behind it, the one before, at the last's size."""
        before, last = self.backbone(images)
        if before.shape[2:] != last.shape[2:]:
            before = F.interpolate(before, last.shape[2:], mode="bilinear", align_corners=False)
        return torch.cat([last, before], dim=1)

    def logits(self, images: Tensor) -> Tensor:
        """N×3×H×W float32, ImageNet-normalised → N×1×h×w float32, before the sigmoid."""
        return _full(self.ac_head(self.features(images)))

    def forward(self, images: Tensor) -> Output:
        """N×3×H×W float32, ImageNet-normalised → Output."""
        features = self.features(images)
        logits = _full(self.ac_head(features))
        with torch.autocast(images.device.type, enabled=False):
            p = logits.sigmoid().flatten(2)
            pixels = _full(features).flatten(2)
            # In this order the gradient of `features` is contiguous: given a transposed one,
            # torch's BatchNorm on the CPU (2.15) goes wrong for a batch of one, and is silent.
            pooled = pixels @ torch.cat([p, 1 - p], dim=1).transpose(1, 2) / pixels.shape[2]
        return Output(pooled[..., 0], pooled[..., 1], logits)


def _full(x: Tensor) -> Tensor:
    """What autocast made float16 or bfloat16 as float32; sums over pixels need the digits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class Disentangler(nn.Module):
    """3×3 convolution to one channel, without bias, and BatchNorm: N×C×h×w → N×1×h×w."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.activation_head = nn.Conv2d(n_features, 1, kernel_size=3, padding=1, bias=False)
        self.bn_head = nn.BatchNorm2d(1)

    def forward(self, features: Tensor) -> Tensor:
        return self.bn_head(self.activation_head(features))


class Backbone(nn.Module):
    """A torchvision classifier up to its last feature stage, at the wanted stride.

    A stage is a run of layers between two strides; the stages are found by running a small image
    through. Layers that torchvision leaves unpadded (squeezenet's) are padded, as a ResNet's are,
    so that a map covers the whole image.
    """

    def __init__(self, name: str, output_stride: int, dilated: bool) -> None:
        super().__init__()
        for child_name, child in _feature_layers(name):
            self.add_module(child_name, child)
        chain = self._chain()
        for layer in chain:
            _pad(layer)
        strides, channels = _measure(name, chain)
        # Where stages end; what comes before the first stride is no stage of its own.
        starts = [i for i, s in enumerate(strides) if s > 1]
        self.ends = (*starts[1:], len(chain))
        self.channels = tuple(channels[end - 1] for end in self.ends)
        self.n_features = sum(self.channels[-2:])
        _reduce_stride(name, chain, strides, output_stride, dilated)

    def stages(self, images: Tensor) -> list[Tensor]:
        """N×3×H×W → the output of every stage, N×C×h×w, `channels` of them, the finest first."""
        chain = self._chain()
        outputs, start, x = [], 0, images
        for end in self.ends:
            for layer in chain[start:end]:
                x = layer(x)
            outputs.append(x)
            start = end
        return outputs

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """N×3×H×W → the outputs of the stage before the last, and of the last."""
        before, last = self.stages(images)[-2:]
        return before, last

    def _chain(self) -> list[nn.Module]:
        chain = [layer for child in self.children() for layer in _flatten(child)]
        while isinstance(chain[-1], POOLS):
            chain.pop()
        return chain


def _feature_layers(name: str) -> list[tuple[str, nn.Module]]:
    """The named top-level layers of a torchvision classifier, up to its head."""
    known = models.list_models(module=models)
    if name not in known:
        raise InputError(
            f"backbone {name!r} is not one of torchvision's; expected for instance resnet50, "
            "squeezenet1_0 or mobilenet_v3_large (torchvision.models.list_models() has all)"
        )
    network = models.get_model(name, weights=None)
    if hasattr(network, "aux_logits"):
        raise InputError(f"backbone {name!r} branches, so that its last two stages have no name")
    layers = []
    for child_name, child in network.named_children():
        if child_name in HEADS:
            break
        layers.append((child_name, child))
    return layers


def _flatten(layer: nn.Module) -> list[nn.Module]:
    if isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward:
        return [inner for child in layer for inner in _flatten(child)]
    return [layer]


def _pad(layer: nn.Module) -> None:
    for module in layer.modules():
        if not isinstance(module, (nn.Conv2d, nn.MaxPool2d)) or isinstance(module.padding, str):
            continue
        kernel = _pair(module.kernel_size)
        if max(_pair(module.padding)) == 0 and all(k % 2 for k in kernel):
            module.padding = (kernel[0] // 2, kernel[1] // 2)
            if isinstance(module, nn.MaxPool2d):
                module.ceil_mode = False


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


@torch.no_grad()
def _measure(name: str, chain: list[nn.Module], side: int = 128) -> tuple[list[int], list[int]]:
    """The stride and the output channels of every layer, from a run with a small image."""
    strides, channels = [], []
    x = torch.zeros(1, 3, side, side)
    try:
        for layer in chain:
            before = x.shape[-1]
            x = layer.eval()(x)  # eval: BatchNorm's running statistics must stay
            layer.train()
            if x.ndim != 4 or x.shape[2] != x.shape[3]:
                raise RuntimeError(f"a layer gives {tuple(x.shape)}")
            strides.append(round(before / x.shape[-1]))
            channels.append(x.shape[1])
    except (RuntimeError, TypeError, AssertionError) as error:
        raise InputError(
            f"backbone {name!r} is not a chain of N×C×H×W stages ({error}); "
            "take a convolutional one, for instance resnet50"
        ) from error
    return strides, channels


def _reduce_stride(
    name: str, chain: list[nn.Module], strides: list[int], wanted: int, dilated: bool
) -> None:
    """Remove strides, the last first, until `wanted` is reached."""
    total = math.prod(strides)
    possible = [total]
    for i in reversed(range(len(chain))):
        if strides[i] == 1:
            continue
        if total <= wanted:
            break
        _set_stride_one(chain[i])
        for layer in chain[i + 1 :] if dilated else []:
            _dilate(layer, strides[i])
        total //= strides[i]
        possible.append(total)
    if total != wanted:
        raise InputError(
            f"backbone {name!r} has no output stride {wanted}; the nearest that it has: "
            f"{', '.join(map(str, possible[-2:]))}"
        )


def _set_stride_one(layer: nn.Module) -> None:
    """Make a layer keep the size of its input."""
    for module in layer.modules():
        if not isinstance(module, STRIDED) or max(_pair(module.stride)) == 1:
            continue
        module.stride = (1, 1)
        if any(k % 2 == 0 for k in _pair(module.kernel_size)):
            if isinstance(module, nn.Conv2d):
                module.padding = "same"
            else:
                module.kernel_size = 1  # a pool over one pixel: nothing left to do


def _dilate(layer: nn.Module, factor: int) -> None:
    for module in layer.modules():
        if isinstance(module, nn.Conv2d) and max(_pair(module.kernel_size)) > 1:
            module.dilation = tuple(d * factor for d in _pair(module.dilation))
            if not isinstance(module.padding, str):
                module.padding = tuple(p * factor for p in _pair(module.padding))
