"""A classifier without its head, at a given output stride: torchvision's, or timm's by name.

Knows layers and shapes. Knows nothing of losses or files.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torchvision import models

from ..errors import InputError
from .normalisation import IMAGENET
from .timm_backbone import TimmBackbone, is_timm, without_norms_lost

__all__ = ["AnyBackbone", "Backbone", "make_backbone", "synchronised"]

# The top-level layers at which torchvision's classifiers leave the image plane.
HEADS = ("avgpool", "fc", "classifier", "head", "heads")
STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
POOLS = (nn.MaxPool2d, nn.AvgPool2d)


class Backbone(nn.Module):
    """A torchvision classifier up to its last feature stage, at the wanted stride.

    A stage is a run of layers between two strides; the stages are found by running a small image
    through it. Layers that torchvision leaves unpadded (squeezenet's) are padded like a ResNet's,
    so that a map covers the whole image. output_stride None: every layer as published, unpadded.
    """

    def __init__(self, name: str, output_stride: int | None, dilated: bool) -> None:
        super().__init__()
        self.statistics = IMAGENET
        self.as_published = output_stride is None
        for child_name, child in _feature_layers(name):
            self.add_module(child_name, child)
        chain = self._chain()
        for layer in [] if self.as_published else chain:
            _pad(layer)
        strides, channels = _measure(name, chain)
        # The ends of the stages; the layers before the first stride are not a separate stage.
        starts = [i for i, s in enumerate(strides) if s > 1]
        self.ends = (*starts[1:], len(chain))
        self.channels = tuple(channels[end - 1] for end in self.ends)
        self.n_features = sum(self.channels[-2:])
        if output_stride is not None:
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
        while isinstance(chain[-1], POOLS) and not self.as_published:
            chain.pop()
        return chain


AnyBackbone: TypeAlias = Backbone | TimmBackbone


def make_backbone(name: str, output_stride: int | None, dilated: bool) -> AnyBackbone:
    """The backbone of a name: torchvision's, or timm's where it is `timm:NAME`.

    dilated: as for `Backbone`; timm's models always dilate. Raises InputError, MissingDependency.
    """
    if is_timm(name):
        return TimmBackbone(name, output_stride)
    return Backbone(name, output_stride, dilated)


def synchronised(model: nn.Module) -> nn.Module:
    """The model with BatchNorms over the images of all processes."""
    if isinstance(getattr(model, "backbone", None), TimmBackbone):
        return without_norms_lost(model)
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def _feature_layers(name: str) -> list[tuple[str, nn.Module]]:
    """The named top-level layers of a torchvision classifier, up to its head."""
    known = models.list_models(module=models)
    if name not in known:
        raise InputError(
            f"backbone {name!r} is not a torchvision model; expected for instance resnet50, "
            "squeezenet1_0 or mobilenet_v3_large (torchvision.models.list_models() lists all), "
            "or timm:NAME for a model of timm"
        )
    network = models.get_model(name, weights=None)
    if hasattr(network, "aux_logits"):
        raise InputError(
            f"backbone {name!r} has branches; expected a single chain of stages, for instance "
            "resnet50"
        )
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
    """The stride and the output channels of every layer, measured with a small image."""
    strides, channels = [], []
    x = torch.zeros(1, 3, side, side)
    try:
        for layer in chain:
            before = x.shape[-1]
            x = layer.eval()(x)  # eval: BatchNorm's running statistics must not change
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
    """Remove strides, the last one first, until the output stride is `wanted`."""
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
            f"backbone {name!r} does not support output stride {wanted}; the nearest ones are "
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
                module.kernel_size = 1  # a pool over one pixel has no effect


def _dilate(layer: nn.Module, factor: int) -> None:
    for module in layer.modules():
        if isinstance(module, nn.Conv2d) and max(_pair(module.kernel_size)) > 1:
            module.dilation = tuple(d * factor for d in _pair(module.dilation))
            if not isinstance(module.padding, str):
                module.padding = tuple(p * factor for p in _pair(module.padding))
