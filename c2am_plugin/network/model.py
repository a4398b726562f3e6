"""The C2AM network: a backbone of torchvision or timm and a disentangler of one channel.

Knows layers and shapes. Knows nothing of losses, files or which side of P is the background.
The layers carry the names of the authors' checkpoints: `backbone.conv1 … backbone.layer4.*`,
`ac_head.activation_head.weight`, `ac_head.bn_head.*`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..training.backbone import make_backbone

__all__ = ["C2AM", "Disentangler", "HeadOnly", "Output"]


class Output(NamedTuple):
    """The network's output for a batch; all float32.

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
                   mobilenet_v3_large, vgg16, efficientnet_b0, densenet121, …; or timm:NAME, a
                   model of the package timm. Without weights;
                   `training.weights.initial_weights` fills them
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
        self.backbone = make_backbone(backbone, output_stride, dilated)
        self.n_features = self.backbone.n_features
        self.ac_head = Disentangler(self.n_features)

    def features(self, images: Tensor) -> Tensor:
        """N×3×H×W → N×C×h×w: the last stage and, behind it, the one before, at the last's size."""
        before, last = self.backbone(images)
        if before.shape[2:] != last.shape[2:]:
            before = F.interpolate(before, last.shape[2:], mode="bilinear", align_corners=False)
        return torch.cat([last, before], dim=1)

    def logits(self, images: Tensor) -> Tensor:
        """N×3×H×W float32, normalised as its backbone's → N×1×h×w float32, before the sigmoid."""
        return _full(self.ac_head(self.features(images)))

    def forward(self, images: Tensor) -> Output:
        """N×3×H×W float32, normalised as its backbone's → Output."""
        return _output(self.ac_head, self.features(images))


class HeadOnly(nn.Module):
    """The head of a C2AM network over given features: N×C×h×w → Output. It shares the weights."""

    def __init__(self, model: C2AM) -> None:
        super().__init__()
        self.ac_head = model.ac_head

    def forward(self, features: Tensor) -> Output:
        return _output(self.ac_head, features)


def _output(head: nn.Module, features: Tensor) -> Output:
    logits = _full(head(features))
    with torch.autocast(features.device.type, enabled=False):
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
