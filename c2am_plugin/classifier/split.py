"""A classifier in three parts: features(x) → scores(F) → pool(A). The class head is a 1×1
convolution, so that its scores are the CAM before the ReLU.

Knows layers and shapes. Knows nothing of losses, labels or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from ..errors import InputError
from ..training.backbone import make_backbone
from ..training.timm_backbone import is_timm

__all__ = ["POOLINGS", "Classifier"]

# Of the smooth maximum: 0 would be the mean, which spreads CAMs out, ∞ the maximum, a dot.
SHARPNESS = 0.3
# The stride at which the published VGG's first linear layer meets its 7×7 places.
VGG_STRIDE = 32


def _mean(scores: Tensor) -> Tensor:
    return scores.mean((2, 3))


def _relu_mean(scores: Tensor) -> Tensor:
    """SqueezeNet's own."""
    return F.relu(scores).mean((2, 3))


def _smooth_max(scores: Tensor) -> Tensor:
    """(1/s)·log(mean(exp(s·A))): between mean and maximum, as a class is there if it is
    somewhere."""
    flat = SHARPNESS * scores.flatten(2)
    return (flat.logsumexp(2) - math.log(flat.shape[2])) / SHARPNESS


POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": _mean,
    "relu_mean": _relu_mean,
    "smooth_max": _smooth_max,
}


class Classifier(nn.Module):
    """A backbone of torchvision or timm and a 1×1 convolution to the classes.

    name           of a backbone, see `C2AM`; no weights
    n_classes      C
    output_stride  pixels of the image for one place of the map; None: the network as published,
                   unpadded layers too, so that its logits are torchvision's
    dilated        the layers behind a removed stride are dilated
    neck           channels of a 1×1 convolution without bias and a ReLU between trunk and head
                   (256: traces in the authors' later code); None: none
    pooling        "mean", "smooth_max", or "published": torchvision's own for this network, its
                   hidden layers included (VGG's linear layers become convolutions)
    bias           whether the head has one; it counts in the logits and not in the CAM

    Raises InputError where torchvision's head is not linear behind its pooling.
    """

    def __init__(
        self,
        name: str,
        n_classes: int,
        output_stride: int | None = 16,
        *,
        dilated: bool = False,
        neck: int | None = None,
        pooling: str = "mean",
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.stride, self.dilated = name, output_stride, dilated
        self.n_classes, self.neck_width, self.pooling = n_classes, neck, pooling
        self.backbone = make_backbone(name, output_stride, dilated)
        channels = self.backbone.channels[-1]
        # DenseNet's last ReLU is a call in its forward, not a layer.
        self.last_relu = name.startswith("densenet")
        self.hidden: nn.Module = nn.Identity()
        self.border = 0
        if pooling == "published":
            kind = published_head(name)
            if kind == "vgg":
                self.hidden, self.border = _vgg_layers(channels, output_stride or VGG_STRIDE)
                channels = 4096
            self._pool = POOLINGS["relu_mean" if kind == "squeezenet" else "mean"]
        elif pooling in POOLINGS:
            self._pool = POOLINGS[pooling]
        else:
            raise InputError(f"pooling {pooling!r} is none of published, {', '.join(POOLINGS)}")
        self.neck: nn.Module = nn.Identity()
        if neck is not None:
            self.neck = nn.Sequential(nn.Conv2d(channels, neck, 1, bias=False), nn.ReLU())
            channels = neck
        self.head = nn.Conv2d(channels, n_classes, 1, bias=bias)

    def features(self, images: Tensor) -> Tensor:
        """N×3×H×W float32, normalised as its backbone's → F: N×D×h×w, what the head reads."""
        x = self.backbone.stages(images)[-1]
        if self.last_relu:
            x = F.relu(x)
        features: Tensor = self.neck(self.hidden(x))
        return features

    def scores(self, features: Tensor) -> Tensor:
        """F: N×D×h×w → A: N×C×h×w, any sign, the head's bias left out."""
        return F.conv2d(features, self.head.weight)

    def pool(self, scores: Tensor) -> Tensor:
        """A: N×C×h×w → logits N×C, the head's bias added."""
        if self.head.bias is not None:
            scores = scores + self.head.bias[:, None, None]
        if min(scores.shape[2:]) > 2 * self.border:  # without the places that padding reached
            inner = slice(self.border, -self.border or None)
            scores = scores[:, :, inner, inner]
        return self._pool(scores)

    def logits(self, images: Tensor) -> Tensor:
        """N×3×H×W → image logits N×C."""
        return self.pool(self.scores(self.features(images)))

    forward = logits


def published_head(name: str) -> str:
    """How torchvision's network ends: "linear", "squeezenet" or "vgg". Raises InputError."""
    if is_timm(name):
        raise InputError(f"backbone {name!r}: `pooling` published is for torchvision's networks")
    with torch.device("meta"):
        network = models.get_model(name, weights=None)
    head = getattr(network, "fc", None) or getattr(network, "classifier", None)
    layers = list(head) if isinstance(head, nn.Sequential) else [head]
    kinds = [type(layer) for layer in layers if not isinstance(layer, nn.Dropout)]
    if kinds == [nn.Linear]:
        return "linear"
    if kinds == [nn.Conv2d, nn.ReLU, nn.AdaptiveAvgPool2d]:
        return "squeezenet"
    if name.startswith("vgg"):
        return "vgg"
    raise InputError(
        f"backbone {name!r}: torchvision's head is more than one linear layer behind the pooling, "
        "so its class scores have no map; give the file to `weights`, which trains a new head"
    )


def head_names(name: str) -> tuple[str, ...]:
    """What torchvision calls the head's layers: the classes' last, VGG's hidden ones before it."""
    if is_timm(name):
        return ("head",)  # its own name: a timm model's head is not taken over
    with torch.device("meta"):
        network = models.get_model(name, weights=None)
    for child in ("fc", "classifier", "head", "heads"):
        if (head := getattr(network, child, None)) is None:
            continue
        if isinstance(head, (nn.Linear, nn.Conv2d)):
            return (child,)
        layers = [i for i, m in enumerate(head) if isinstance(m, (nn.Linear, nn.Conv2d))]
        return tuple(f"{child}.{i}" for i in layers)
    raise InputError(f"backbone {name!r} has no head of a known name")


def _vgg_layers(channels: int, stride: int) -> tuple[nn.Module, int]:
    """VGG's two hidden linear layers as convolutions, and how far their padding reaches.

    A removed stride dilates the first, which so sees as much of the image as it was trained with.
    """
    reach = 3 * (VGG_STRIDE // stride)
    first = nn.Conv2d(channels, 4096, 7, padding=reach, dilation=reach // 3)
    layers = nn.Sequential(first, nn.ReLU(), nn.Conv2d(4096, 4096, 1), nn.ReLU())
    return layers, reach
