"""C2AM's contrastive loss over the foreground and background representations of a batch.

Knows two matrices of embeddings, nothing of networks or images. Every pair of images of the batch
counts, so that the loss of a batch is not the mean of its parts' losses.

With s = cosine similarity clamped to [0.0005, 0.9995] (the paper's section 3; the clamp is
the released code's):

    negative   mean over all pairs of −log(1 − s(background_i, foreground_j))
    positive   mean over all pairs of w_ij·max(−log s(v_i, v_j), 0),  w_ij = exp(−α·(r_ij − 1))

r_ij is the rank of j among the images by falling similarity to i, i itself being 0. The weight of
a pair is a constant: no gradient flows through the ranks, nor through a clamped similarity.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "LossParts",
    "c2am_loss",
    "hint_sum",
    "negative_loss",
    "positive_loss",
]

LOWEST, HIGHEST = 0.0005, 0.9995
# What P is pulled towards where a hint marks foreground: 1 with label smoothing 0.1.
HINTED = 0.95


class LossParts(NamedTuple):
    """The three terms, scalars; the loss is their sum."""

    positive_foreground: Tensor
    negative: Tensor
    positive_background: Tensor

    @property
    def total(self) -> Tensor:
        return self.positive_foreground + self.negative + self.positive_background


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """N×C, M×C → N×M cosine similarities, clamped to [0.0005, 0.9995]."""
    return (F.normalize(a, dim=1) @ F.normalize(b, dim=1).T).clamp(LOWEST, HIGHEST)


def negative_loss(background: Tensor, foreground: Tensor) -> Tensor:
    """N×C, N×C → scalar: pushes every background away from every foreground."""
    return -torch.log1p(-similarity(background, foreground)).mean()


def positive_loss(embeddings: Tensor, alpha: float) -> Tensor:
    """N×C → scalar: pulls each embedding to the others, most to its nearest.

    alpha ≥ 0: how fast the weight falls with the rank; 0 weighs all pairs alike.
    """
    s = similarity(embeddings, embeddings)
    return (rank_weights(s.detach(), alpha) * -torch.log(s)).mean()


def rank_weights(s: Tensor, alpha: float) -> Tensor:
    """N×N similarities → N×N weights exp(−α·(rank − 1)); rank 0 on the diagonal."""
    s = s.clone().fill_diagonal_(torch.inf)
    falling = s.argsort(dim=1, descending=True, stable=True)
    ranks = falling.argsort(dim=1)
    return torch.exp(-alpha * (ranks - 1).to(s.dtype))


def hint_sum(logits: Tensor, hinted: Tensor) -> Tensor:
    """The binary cross-entropy of P towards 1 over the hinted places, summed: a scalar.

    logits: N×1×h×w before the sigmoid. hinted: bool of that shape. P-NOC's term is the mean over
    the hinted places of a batch, with label smoothing 0.1; places that are not hinted say nothing.
    """
    chosen = logits[hinted]
    return F.binary_cross_entropy_with_logits(
        chosen, torch.full_like(chosen, HINTED), reduction="sum"
    )


def c2am_loss(foreground: Tensor, background: Tensor, alpha: float = 0.25) -> LossParts:
    """The three terms for N×C float32 foreground and background representations.

    It is symmetric: exchanging the two sides exchanges the positive terms and keeps the sum,
    which is why training does not know which side is the foreground. alpha ≥ 0: how fast the weight
    of a pair falls with its rank (0.05 for localisation).
    Raises torch's RuntimeError where the two do not fit each other.

    >>> import torch
    >>> foreground, background = torch.eye(4)[:2], torch.eye(4)[2:]
    >>> parts = c2am_loss(foreground, background)
    >>> round(parts.negative.item(), 4)  # the sides are apart already: −log(1 − 0.0005)
    0.0005
    >>> parts.positive_foreground.item() > 1  # but the two foregrounds are not alike
    True
    """
    return LossParts(
        positive_loss(foreground, alpha),
        negative_loss(background, foreground),
        positive_loss(background, alpha),
    )
