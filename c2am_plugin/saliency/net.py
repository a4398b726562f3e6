"""PoolNet on a backbone of torchvision or timm: photographs to the log-odds of the foreground.

Knows layers and shapes, neither cues nor files. The head is the one of J.-J. Liu, Q. Hou,
M.-M. Cheng, J. Feng, J. Jiang, "A Simple Pooling-Based Design for Real-Time Salient Object
Detection" (CVPR 2019, sections 3.1 to 3.3): a top-down path over the backbone's stages. A pyramid
pooling module tells every level where the objects are (the global guidance), and each merged map
is aggregated over several pooled sizes.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..training.backbone import make_backbone

__all__ = ["PoolNet"]

PYRAMID = (1, 3, 5)  # cells per side of the pyramid's pooled copies (section 3.2)
POOLED = (2, 4, 8)  # reduction factors of the aggregation's copies (section 3.3)


class PoolNet(nn.Module):
    """Backbone, pyramid pooling, global guidance and feature aggregation: images to log-odds.

    backbone       of torchvision or timm, as for `network.model.C2AM`; without weights
                   (`training.weights.initial_weights` fills them)
    output_stride  pixels of the image per pixel of the coarsest map. The layers behind a removed
                   stride are dilated, as in the released ResNet of PoolNet
    width          channels of the widest level. A level has half the channels of its stage, but at
                   least a quarter of the width and at most the width. For ResNet-50, 512 gives the
                   released numbers: 128, 128 (there 256), 256, 512, 512

    Every stage from stride 2 on is used. Coarse maps are convolved before they are enlarged, which
    is cheaper than after. Raises InputError for an unsupported backbone or stride.
    """

    def __init__(
        self, backbone: str = "resnet50", output_stride: int = 16, width: int = 512
    ) -> None:
        super().__init__()
        self.name, self.stride, self.width = backbone, output_stride, width
        self.backbone = make_backbone(backbone, output_stride, dilated=True)
        levels = [min(width, max(width // 4, c // 2)) for c in self.backbone.channels]
        top = levels[-1]
        self.laterals = nn.ModuleList(
            nn.Conv2d(c, level, 1, bias=False)
            for c, level in zip(self.backbone.channels, levels, strict=True)
        )
        self.pyramid = PyramidPooling(top)
        self.guides = nn.ModuleList(_conv(top, level) for level in levels[:-1])
        self.aggregations = nn.ModuleList(Aggregation(level) for level in levels)
        self.downs = nn.ModuleList(_conv(above, level) for level, above in pairwise(levels))
        self.merges = nn.ModuleList(_conv(level, level) for level in levels[:-1])
        self.score = nn.Conv2d(levels[0], 1, 1)
        # Backbones without BatchNorm output values in the hundreds, from which a random layer would
        # make confident predictions. With zeros every pixel starts undecided.
        for parameter in self.score.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        """N×3×H×W float32, normalised → log-odds N×1×h×w at the finest stage's size."""
        stages = self.backbone.stages(images)
        laterals = [lateral(x) for lateral, x in zip(self.laterals, stages, strict=True)]
        x = laterals.pop()
        guidance = self.pyramid(x)
        for level in reversed(range(len(laterals))):
            finer = laterals[level]
            coarse = self.downs[level](self.aggregations[level + 1](x))
            guide = F.relu(self.guides[level](guidance))
            x = self.merges[level](finer + _resize(coarse, finer) + _resize(guide, finer))
        return self.score(self.aggregations[0](x))

    def logits(self, images: Tensor) -> Tensor:
        """N×3×H×W float32, normalised as its backbone's → log-odds N×1×H×W of the foreground."""
        return _resize(self(images), images)


class PyramidPooling(nn.Module):
    """Pyramid pooling (section 3.2): a map and its means over grids of 1, 3 and 5 cells per side.

    N×C×h×w → N×C×h×w. Each position sees the content of the whole image and of its large parts.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(channels, channels, 1, bias=False) for _ in PYRAMID)
        self.merge = _conv((len(PYRAMID) + 1) * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        for cells, branch in zip(PYRAMID, self.branches, strict=True):
            parts.append(_resize(F.relu(branch(F.adaptive_avg_pool2d(x, cells))), x))
        return F.relu(self.merge(torch.cat(parts, dim=1)))


class Aggregation(nn.Module):
    """Feature aggregation (section 3.3): a map plus convolutions of it at 1/2, 1/4 and 1/8 size.

    N×C×h×w → N×C×h×w, of any size.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_conv(channels, channels) for _ in POOLED)

    def forward(self, x: Tensor) -> Tensor:
        total = x
        for factor, branch in zip(POOLED, self.branches, strict=True):
            height, width = (math.ceil(side / factor) for side in x.shape[2:])
            total = total + _resize(branch(F.adaptive_avg_pool2d(x, (height, width))), x)
        return F.relu(total)


def _conv(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel_size=3, padding=1, bias=False)


def _resize(x: Tensor, like: Tensor) -> Tensor:
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)
