"""The gradient of C2AM's loss for one batch, in the memory of the batch or of a part of it.

Knows a model, a batch and the loss. Knows no optimizer, schedule or file.

Gradient accumulation is *not* a larger batch for this loss: its pairs lie within the batch, so
that four batches of 32 have 4·32² pairs and one of 128 has 128². What is exact is to go over the
batch twice: once without a graph for the embeddings of all parts, which the loss compares and gives
the gradient of; then part by part with a graph, into which that gradient flows (Gao et al. 2021,
"Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"). It costs one
more forward pass.

With BatchNorm in eval mode this is the gradient of the whole batch. In training mode each part is
normalised by its own statistics, as on several GPUs without synchronised BatchNorm: both passes of
a part use the same, so that it is still the exact gradient of the loss that is logged, but that
loss differs a little from the one of a batch normalised as a whole, and the running statistics
are averages over parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .loss import LossParts, c2am_loss
from .model import C2AM, Output

__all__ = ["StepResult", "fitting_micro_batch", "is_out_of_memory", "loss_gradient"]


class StepResult(NamedTuple):
    """parts: the three terms of the loss, detached; p: N×1×h×w float32 in [0, 1], detached."""

    parts: LossParts
    p: Tensor


def loss_gradient(
    model: C2AM,
    images: Tensor,
    alpha: float,
    *,
    micro_batch: int | None = None,
    precision: torch.dtype | None = None,
) -> StepResult:
    """Add the gradient of a batch's loss to the parameters' `.grad`.

    images       N×3×H×W float32, ImageNet-normalised, N ≥ 2
    micro_batch  images that go through the network at once; None for all (the module's text says
                 what that changes)
    precision    torch.bfloat16 to run the network under autocast; the loss stays in float32
    """
    if micro_batch is None or micro_batch >= len(images):
        with _autocast(images, precision):
            output = model(images)
        parts = c2am_loss(output.foreground, output.background, alpha)
        parts.total.backward()
        return _result(parts, output.logits)
    return _two_pass(model, images.split(micro_batch), alpha, precision)


def _two_pass(
    model: C2AM, chunks: tuple[Tensor, ...], alpha: float, precision: torch.dtype | None
) -> StepResult:
    outputs, states = [], []
    with torch.no_grad(), _statistics_kept(model), _autocast(chunks[0], precision):
        for chunk in chunks:
            states.append(_random_state(chunk))
            outputs.append(model(chunk))
    whole = Output(*map(torch.cat, zip(*outputs, strict=True)))
    foreground, background = whole.foreground.requires_grad_(), whole.background.requires_grad_()
    parts = c2am_loss(foreground, background, alpha)
    gradients = torch.autograd.grad(parts.total, (foreground, background))
    sizes = [len(chunk) for chunk in chunks]
    pieces = zip(*(gradient.split(sizes) for gradient in gradients), strict=True)
    for chunk, state, piece in zip(chunks, states, pieces, strict=True):
        _restore_random_state(chunk, state)
        with _autocast(chunk, precision):
            output = model(chunk)
        torch.autograd.backward((output.foreground, output.background), piece)
    return _result(parts, whole.logits)


def _result(parts: LossParts, logits: Tensor) -> StepResult:
    return StepResult(LossParts(*(part.detach() for part in parts)), logits.detach().sigmoid())


def _autocast(images: Tensor, precision: torch.dtype | None) -> AbstractContextManager:
    return torch.autocast(images.device.type, precision) if precision else nullcontext()


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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the GPU's or the machine's memory is full."""
    kinds = (torch.cuda.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)


def fitting_micro_batch(
    model: C2AM, images: Tensor, alpha: float, precision: torch.dtype | None = None
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
