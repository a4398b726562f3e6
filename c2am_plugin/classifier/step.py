"""One step's losses: a batch through MainNet and SupportNet.

Knows both networks, a batch and a recipe. Knows no optimizer, schedule or file. The rank's part of
each loss comes back; the parts of all ranks add up to the loss of the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..network.maps import scaled_size
from ..runs.ranks import ALONE, Ranks
from .loss import classification_loss, mam_loss, prototypes, rcm_loss
from .recipes import Recipe
from .regions import fused_target, norm, region_masks
from .split import Classifier

__all__ = ["StepLosses", "drawn_scale", "step_losses"]


class StepLosses(NamedTuple):
    """total has the gradient, the rest is for the log; None where it was not computed.

    maps        N×h×w in [0, 1], this rank's: the largest of MainNet's normalised maps
    correct     share of right decisions over images and classes, at the logit 0
    foreground  share of pixels in a class's region
    regions     |K|, mean over images
    similarity  mean cosine of a pixel's feature and its region's prototype
    """

    total: Tensor
    classification: Tensor
    rcm: Tensor | None
    mam: Tensor | None
    maps: Tensor
    correct: Tensor
    foreground: Tensor | None = None
    regions: Tensor | None = None
    similarity: Tensor | None = None


def drawn_scale(scales: Sequence[float], seed: int, step: int) -> float | None:
    """MAM's second scale of MainNet in this step, from S without 1; None where there is none.

    It depends on (seed, step) and on nothing else, so that ranks and resumed runs agree.
    """
    others = [scale for scale in scales if scale != 1]
    if not others:
        return None
    return float(np.random.default_rng([seed, step, len(others)]).choice(others))


def step_losses(
    main: Classifier,
    support: Classifier | None,
    images: Tensor,
    labels: Tensor,
    plan: Recipe,
    *,
    weight: float = 1.0,
    scale: float | None = None,
    precision: torch.dtype | None = None,
    ranks: Ranks = ALONE,
) -> StepLosses:
    """L = L_cls + weight·(λ_r·L_RCM + λ_m·L_MAM), this rank's part.

    images   N×3×H×W float32, ImageNet-normalised; labels bool N×C
    support  SupportNet; None: L_cls alone, without a look at the recipe's other numbers
    weight   r(t), the ramp
    scale    MainNet's second scale, for MAM; L_cls is the mean over MainNet's scales
    """
    with_mam = support is not None and plan.mam > 0
    sizes = [1.0] + ([scale] if with_mam and scale is not None else [])
    auto = torch.autocast(images.device.type, precision) if precision else nullcontext()
    with auto:
        features = [main.features(scaled(images, size)) for size in sizes]
        scores = [main.scores(each) for each in features]
        logits = [main.pool(each) for each in scores]
    with torch.autocast(images.device.type, enabled=False):
        parts = [classification_loss(each, labels, ranks) for each in logits]
        of_classes = torch.stack(parts).mean()
        correct = ((logits[0].detach() > 0) == labels).float().mean()
        maps = norm(scores[0].detach(), labels).amax(1)
        if support is None:
            return StepLosses(of_classes, of_classes.detach(), None, None, maps, correct)
        total, rcm, mam, notes = of_classes, None, None, {}
        support_features, target, regions = look(support, images, labels, plan, precision)
        if plan.rcm > 0:
            n_regions = labels.shape[1] + 1
            means, present = prototypes(support_features, regions, n_regions, plan.scope, ranks)
            rcm, similarity = rcm_loss(
                features[0], regions, means, present, plan.tau, plan.weights, ranks
            )
            total = total + weight * plan.rcm * rcm
            notes = {"regions": present.sum(1).float().mean(), "similarity": similarity}
        if with_mam:
            mam = mam_loss(
                scores,
                target,
                labels,
                leak=plan.leak,
                attentive=plan.attentive,
                reduction=plan.reduction,
                ranks=ranks,
            )
            total = total + weight * plan.mam * mam
        return StepLosses(
            total,
            of_classes.detach(),
            None if rcm is None else rcm.detach(),
            None if mam is None else mam.detach(),
            maps,
            correct,
            (regions > 0).float().mean(),
            **notes,
        )


@torch.no_grad()
def look(
    support: Classifier,
    images: Tensor,
    labels: Tensor,
    plan: Recipe,
    precision: torch.dtype | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """What SupportNet sees: its features at scale 1, T at their size, the region of each pixel."""
    auto = torch.autocast(images.device.type, precision) if precision else nullcontext()
    with auto:
        features = support.features(images)
        maps = {1.0: support.scores(features)}
        for size in plan.scales:
            if size != 1:
                maps[size] = support.scores(support.features(scaled(images, size)))
    place = features.shape[2:]
    with torch.autocast(images.device.type, enabled=False):
        target = fused_target([maps[size] for size in plan.scales], labels, place, plan.fusion)
        single = plan.region_source == "scale1"
        source = norm(maps[1.0], labels) if single else target
        return features, target, region_masks(source, plan.threshold, plan.low)


def scaled(images: Tensor, scale: float) -> Tensor:
    """u_s(x): N×3×H×W → its sides times `scale` (from 32: a square of that side)."""
    if scale == 1:
        return images
    height, width = images.shape[2:]
    sides = scaled_size(scale, height, width)
    return F.interpolate(images, sides, mode="bilinear", align_corners=False)
