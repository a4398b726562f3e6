"""The losses: classes, regions against prototypes (RCM), maps against the fused map (MAM).

Pure functions of tensors, float32 inside whatever autocast says. Under torchrun each rank has a
part of the batch and gets its part of the loss: sums over ranks are gathered and means are divided
by the whole batch's counts, so that the parts' gradients add up to one process's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..runs.ranks import ALONE, Ranks
from .regions import EPS, norm, resized

__all__ = ["SCOPES", "classification_loss", "mam_loss", "prototypes", "rcm_loss"]

SCOPES = ("batch", "image", "mixed")


def classification_loss(logits: Tensor, labels: Tensor, ranks: Ranks = ALONE) -> Tensor:
    """Binary cross-entropy, mean over N·C of the whole batch; this rank's part of it.

    logits: N×C. labels: bool N×C.
    """
    loss = F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="sum")
    return loss / (_over_ranks(len(logits), logits, ranks) * logits.shape[1])


def prototypes(
    features: Tensor, regions: Tensor, n_regions: int, scope: str = "batch", ranks: Ranks = ALONE
) -> tuple[Tensor, Tensor]:
    """L2norm of the mean normalised feature of each region: P, N×K×D, and bool N×K: which exist.

    features: N×D×h×w. regions: int64 N×h×w, -1 ignored. n_regions: K, classes and background.
    scope: "batch": one prototype a region, of all images of all ranks; "image": each image's own;
    "mixed": classes over the batch, the background of the image itself.
    """
    unit = F.normalize(features.detach().float(), dim=1).flatten(2)
    masks = F.one_hot(regions.flatten(1) + 1, n_regions + 1)[..., 1:].float()
    own_sums, own_counts = masks.transpose(1, 2) @ unit.transpose(1, 2), masks.sum(1)
    sums, counts = own_sums.sum(0, keepdim=True), own_counts.sum(0, keepdim=True)
    ranks.add([sums, counts])
    sums, counts = sums.expand_as(own_sums), counts.expand_as(own_counts)
    if scope == "image":
        sums, counts = own_sums, own_counts
    elif scope == "mixed":
        sums = torch.cat([own_sums[:, :1], sums[:, 1:]], 1)
        counts = torch.cat([own_counts[:, :1], counts[:, 1:]], 1)
    return F.normalize(sums, dim=2), counts > 0


def rcm_loss(
    features: Tensor,
    regions: Tensor,
    prototypes: Tensor,
    present: Tensor,
    tau: float,
    weights: str = "pixel",
    ranks: Ranks = ALONE,
) -> tuple[Tensor, Tensor]:
    """Σ w·ℓ / Σ w over all pixels, this rank's part; and the mean of q·P of the own region.

    ℓ = −log( exp(q·P_R/τ) / Σ_{k present} exp(q·P_k/τ) ), q = L2norm(feature). 0 where there is one
    prototype alone. features: N×D×h×w, with the gradient. weights: "pixel" 1 each; "region" 1 over
    the pixels of that region in that image.
    """
    q = F.normalize(features.float(), dim=1).flatten(2)
    cosines = prototypes @ q
    own = regions.flatten(1)
    logits = (cosines / tau).masked_fill(~present[..., None], -torch.inf)
    chosen = own.clamp(min=0)[:, None]
    kept = own >= 0
    # Ignored pixels may stand for a background that is not there: their loss would be infinite.
    loss = -logits.log_softmax(1).gather(1, chosen)[:, 0]
    w = _pixel_weights(own, prototypes.shape[1], weights)
    total = _over_ranks(w.sum(), w, ranks).clamp(min=1e-12)
    similarity = (cosines.detach().gather(1, chosen)[:, 0] * w).sum() / total
    return (torch.where(kept, loss, 0.0) * w).sum() / total, similarity


def _pixel_weights(regions: Tensor, n_regions: int, weights: str) -> Tensor:
    """float32 N×P of int64 N×P; 0 where ignored."""
    kept = (regions >= 0).float()
    if weights == "pixel":
        return kept
    sizes = F.one_hot(regions + 1, n_regions + 1).sum(1).float()
    return kept / sizes.gather(1, regions + 1)


def mam_loss(
    scores: Sequence[Tensor],
    target: Tensor,
    labels: Tensor,
    *,
    leak: float = 0.0,
    attentive: bool = False,
    reduction: str = "all",
    ranks: Ranks = ALONE,
) -> Tensor:
    """Mean over scales of mean |T_s − norm(A_s)|, this rank's part; T_s = T at A_s's size.

    scores: A of MainNet at its scales, with the gradient. target: T, N×C×h×w. labels: bool N×C.
    leak: slope of negative scores, through which a pixel may wake. attentive: differences weigh by
    their size over its mean. reduction: "all" divides by N·C·h·w, "present" counts the classes that
    the labels name.
    """
    channels = labels.sum() if reduction == "present" else labels.numel()
    counted = _over_ranks(channels, target, ranks).clamp(min=1)
    total = target.new_zeros(())
    for each in scores:
        apart = (scaled_target(target, labels, each.shape[2:]) - norm(each, labels, leak)).abs()
        if attentive:
            size = apart.detach()
            apart = apart * size / (size.mean((2, 3), keepdim=True) + EPS)
        total = total + apart.mean((2, 3)).sum() / counted
    return total / len(scores)


def scaled_target(target: Tensor, labels: Tensor, size: Sequence[int]) -> Tensor:
    """T at another size, its maxima 1 again; itself where it has that size."""
    if tuple(target.shape[2:]) == tuple(size):
        return target
    return norm(resized(target, size), labels)


def _over_ranks(value: Tensor | float, like: Tensor, ranks: Ranks) -> Tensor:
    """A count's sum over the ranks, float32, without a gradient."""
    total = torch.as_tensor(value, dtype=torch.float32, device=like.device).detach().clone()
    ranks.add([total])
    return total
