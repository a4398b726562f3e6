"""From class scores to normalised maps, the fused target and class region masks.

Pure functions of tensors. Knows neither networks nor losses. Notation of the README: A are scores
N×C×h×w before the ReLU, y the image-level labels bool N×C, T the fused target.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["fused_target", "norm", "region_masks", "resized"]

EPS = 1e-5
IGNORED = -1


def resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """N×C×h×w → N×C×H×W, bilinear, align_corners=False; itself where it has that size."""
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)


def norm(scores: Tensor, labels: Tensor, leak: float = 0.0) -> Tensor:
    """y·ReLU(A) / (max ReLU(A) + 1e-5), each class of each image by itself: float32 in [0, 1).

    0 where the label does not name the class, and where no score is positive. leak: slope of
    negative scores, which become negative values; the maximum is still of the positive ones.
    """
    scores = scores.float()
    positive = F.relu(scores)
    peak = positive.amax((2, 3), keepdim=True) + EPS
    signed = F.leaky_relu(scores, leak) if leak else positive
    # Where, not times: an absent class's score may be infinite and must not matter.
    return torch.where(labels[:, :, None, None], signed / peak, 0.0)


def fused_target(
    maps: Sequence[Tensor], labels: Tensor, size: Sequence[int], fusion: str = "sum"
) -> Tensor:
    """norm(Σ_s u(ReLU(A_s))) at h×w = size: T, float32 N×C×h×w in [0, 1).

    maps: A of each scale, N×C×h_s×w_s. fusion "max": the largest of the scales' normalised maps
    instead of their sum.
    """
    if fusion == "max":
        each = [resized(norm(scores, labels), size) for scores in maps]
        return norm(torch.stack(each).amax(0), labels)
    total = sum(resized(F.relu(scores.float()), size) for scores in maps)
    assert isinstance(total, Tensor)
    return norm(total, labels)


def region_masks(target: Tensor, threshold: float, low: float | None = None) -> Tensor:
    """The region of each pixel: int64 N×h×w, 0 background, c + 1 for class c.

    target: T, N×C×h×w, 0 for classes that the label does not name. The package's own label rule,
    argmax([threshold, T]) with ties to the background and to the lower class. low: pixels whose
    maximum lies in (low, threshold] are -1, ignored.
    """
    top, winner = target.max(1)
    regions = torch.where(top > threshold, winner + 1, 0)
    if low is not None:
        regions = torch.where((top > low) & (top <= threshold), IGNORED, regions)
    return regions
