"""The gradient of C2AM's loss for one batch, in the memory of the batch or of a part of it.

Knows a model, a batch and the loss. Knows no optimizer, schedule or file.

Gradient accumulation is *not* a larger batch for this loss: its pairs lie within the batch, so
that four batches of 32 have 4·32² pairs and one of 128 has 128². What is exact is to go over the
batch twice: once without a graph for the embeddings of all parts, which the loss compares and gives
the gradient of; then part by part with a graph, into which that gradient flows (Gao et al. 2021,
"Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"). It costs one
more forward pass.

Several processes (`runs.ranks`) are the same thing side by side: each has a part of the batch, the
embeddings of all are gathered, and what each makes of its part of their gradient adds up to the
gradient of the whole.

With BatchNorm in eval mode this is the gradient of the whole batch. In training mode each part is
normalised by its own statistics, those of a process too unless its BatchNorms are synchronised:
it is still the exact gradient of the loss that is logged, because both passes of a part use the
same, but that loss differs a little from the one of a batch normalised as a whole, and the running
statistics are averages over parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..runs.ranks import ALONE, Ranks
from ..training.devices import is_out_of_memory
from .loss import LossParts, c2am_loss, hint_sum
from .model import Output

__all__ = ["BatchHints", "StepResult", "fitting_micro_batch", "loss_gradient"]


class StepResult(NamedTuple):
    """Of the whole batch, on every rank alike, detached.

    parts  the terms of C²AM's loss
    p      N×1×h×w float32 in [0, 1], this process's own images first where it is the first rank
    hint   the hints' term with its weight; None without hints
    """

    parts: LossParts
    p: Tensor
    hint: Tensor | None = None

    @property
    def total(self) -> Tensor:
        return self.parts.total if self.hint is None else self.parts.total + self.hint


class BatchHints(NamedTuple):
    """maps: n×1×s×s float32 in [0, 1], the largest CAM of the pixels that the images show. Where
    its mean over a place of P is `threshold` or more, P is pulled towards 1. weight: of the term.
    """

    maps: Tensor
    threshold: float
    weight: float


def loss_gradient(
    model: nn.Module,
    images: Tensor,
    alpha: float,
    *,
    micro_batch: int | None = None,
    precision: torch.dtype | None = None,
    ranks: Ranks = ALONE,
    hints: BatchHints | None = None,
) -> StepResult:
    """Add the gradient of a batch's loss to the parameters' `.grad`.

    model        images → `Output`: C2AM, or its head alone, which takes features
    images       n×3×H×W float32, normalised: the batch, or this rank's part of it; at least one,
                 and two in the whole batch. Of the head: n×C×h×w features
    micro_batch  images that go through the network at once; None for all (the module's text says
                 what that changes)
    precision    torch.bfloat16 to run the network under autocast; the loss stays in float32
    ranks        the processes that share the batch; the gradient of each is a part of the sum
    hints        of the same images, for one term more; on every rank or on none
    """
    chunks = images.split(micro_batch or len(images))
    if len(chunks) == 1:
        output = _forward(model, images, precision)
        result, gradients = _compare(output, alpha, ranks, hints)
        torch.autograd.backward(output[: len(gradients)], gradients)
        return result
    outputs, states = [], []
    with torch.no_grad(), _statistics_kept(model):
        for chunk in chunks:
            states.append(_random_state(chunk))
            outputs.append(_forward(model, chunk, precision))
    own = Output(*map(torch.cat, zip(*outputs, strict=True)))
    result, gradients = _compare(own, alpha, ranks, hints)
    pieces = zip(*(gradient.split(micro_batch) for gradient in gradients), strict=True)
    for chunk, state, piece in zip(chunks, states, pieces, strict=True):
        _restore_random_state(chunk, state)
        output = _forward(model, chunk, precision)
        torch.autograd.backward(output[: len(piece)], piece)
    return result


def _forward(model: nn.Module, images: Tensor, precision: torch.dtype | None) -> Output:
    with torch.autocast(images.device.type, precision) if precision else nullcontext():
        return model(images)


def _compare(
    own: Output, alpha: float, ranks: Ranks, hints: BatchHints | None
) -> tuple[StepResult, tuple[Tensor, ...]]:
    """The loss over the pairs of all ranks' images, and its gradient for this rank's embeddings;
    with hints for its logits too."""
    (foreground, background, logits), mine = ranks.gather(*own)
    foreground.requires_grad_()
    background.requires_grad_()
    parts = c2am_loss(foreground, background, alpha)
    of_foreground, of_background = torch.autograd.grad(parts.total, (foreground, background))
    result = StepResult(LossParts(*(part.detach() for part in parts)), logits.sigmoid())
    gradients = of_foreground[mine], of_background[mine]
    if hints is None:
        return result, gradients
    term, of_logits = _hint_term(own.logits.detach(), hints, ranks)
    return result._replace(hint=term), (*gradients, of_logits)


def _hint_term(logits: Tensor, hints: BatchHints, ranks: Ranks) -> tuple[Tensor, Tensor]:
    """The weighted mean over the hinted places of all ranks, and this rank's part of its gradient;
    0 where there is none."""
    logits = logits.requires_grad_()
    hinted = (
        F.adaptive_avg_pool2d(hints.maps, (logits.shape[2], logits.shape[3])) >= hints.threshold
    )
    total = hint_sum(logits, hinted)
    (own,) = torch.autograd.grad(total, logits)
    both = torch.stack([total.detach().double(), hinted.sum().double()])
    ranks.add([both])
    share = hints.weight / both[1].clamp(min=1)
    return (both[0] * share).to(logits.dtype), own * share.to(own.dtype)


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Within the block, BatchNorms do not move their running statistics."""
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _random_state(images: Tensor) -> tuple[Tensor, Tensor | None]:
    """So that layers which drop at random drop the same in both passes."""
    on_gpu = images.device.type == "cuda"
    return torch.get_rng_state(), torch.cuda.get_rng_state(images.device) if on_gpu else None


def _restore_random_state(images: Tensor, state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], images.device)


def fitting_micro_batch(
    model: nn.Module, images: Tensor, alpha: float, precision: torch.dtype | None = None
) -> int | None:
    """The largest of N/2, N/4, … that fits into memory at once, by trying; None where 1 does not.

    Leaves the model's gradients and statistics in no usable state: for the error message of a
    run that has ended.
    """
    size = len(images) // 2
    while size >= 1:
        model.zero_grad(set_to_none=True)
        if images.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            loss_gradient(model, images, alpha, micro_batch=size, precision=precision)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return size
        size //= 2
    return None
