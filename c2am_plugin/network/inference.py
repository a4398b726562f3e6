"""The same network, faster: a copy for inference that gives the same logits.

Knows layers only. What it does, and what each step brought on a CPU (ResNet-50, one thread):
BatchNorm folded into the convolution before it and channels_last 1.3×, 1×1 convolutions handed to
oneDNN 1.5× on top, the convolution to one channel 16× (1.3× of all of SqueezeNet).
`tests/bench/bench_maps.py` measures it.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["OneChannel", "fast_copy"]

PROBE = 64  # side of the image that is sent through to see which layers meet


def fast_copy(
    model: nn.Module, device: torch.device | str | None = None, *, bf16: bool = False
) -> nn.Module:
    """A copy of a C2AM network (anything with `.logits(images)`) for inference; `model` stays.

    In eval mode, on `device` (default: the model's), channels_last, BatchNorms folded. The logits
    differ from the model's by rounding (1e-5), with `bf16` by up to 1e-1.
    """
    device = torch.device(device) if device is not None else next(model.parameters()).device
    fast = copy.deepcopy(model).eval().requires_grad_(False).to(device)
    _fold(fast, _conv_norm_pairs(fast, torch.zeros(1, 3, PROBE, PROBE, device=device)))
    if device.type == "cpu":
        _replace(fast, {id(m): OneChannel(m) for m in fast.modules() if _is_head(m)})
        _prefer_onednn(fast)
    fast.to(memory_format=torch.channels_last)
    return fast.to(torch.bfloat16) if bf16 else fast


@torch.inference_mode()
def _conv_norm_pairs(model: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """The convolutions whose output goes into a BatchNorm, as one forward pass shows them."""
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # the tensors are kept, so an id stays theirs
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def leave(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Subclasses, as timm has them, may change the weight or the padding when they run.
        if type(module) is nn.Conv2d:
            made[id(output)] = module, output
        elif isinstance(module, nn.BatchNorm2d) and id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], module))

    hooks = [module.register_forward_hook(leave) for module in model.modules()]
    try:
        model.logits(images)  # type: ignore[operator]
    finally:
        for hook in hooks:
            hook.remove()
    uses = Counter(id(module) for pair in pairs for module in pair)
    return [(c, n) for c, n in pairs if uses[id(c)] == uses[id(n)] == 1]


def _fold(model: nn.Module, pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]]) -> None:
    replacements: dict[int, nn.Module] = {}
    for conv, norm in pairs:
        replacements[id(conv)] = fuse_conv_bn_eval(conv, norm)
        replacements[id(norm)] = _behind(norm)
    _replace(model, replacements)


def _behind(norm: nn.BatchNorm2d) -> nn.Module:
    """What is left of a BatchNorm: timm's have an activation of their own."""
    layers = [getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)]
    return nn.Sequential(*layers) if layers else nn.Identity()


def _replace(model: nn.Module, replacements: dict[int, nn.Module]) -> None:
    """Put new modules in the places of others, which are given by their id."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if id(child) in replacements:
                setattr(parent, name, replacements[id(child)])


class OneChannel(nn.Module):
    """A convolution to one channel as a 1×1 convolution to one channel a tap, shifted and summed.

    oneDNN works on sixteen output channels at a time; of a k×k kernel to one channel, fifteen
    would be computed for nothing.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        taps = conv.weight.detach().flip(2, 3).reshape(conv.in_channels, -1).t()
        self.taps = nn.Conv2d(conv.in_channels, len(taps), 1, bias=False)
        self.taps.weight = nn.Parameter(taps[:, :, None, None], requires_grad=False)
        self.bias = conv.bias
        self.size = conv.kernel_size
        self.padding = tuple(side // 2 for side in self.size)

    def forward(self, x: Tensor) -> Tensor:
        sums = F.fold(self.taps(x).flatten(2), x.shape[2:], self.size, padding=self.padding)
        return sums if self.bias is None else sums + self.bias


def _is_head(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        isinstance(module, nn.Conv2d)
        and module.out_channels == module.groups == 1
        and module.stride == module.dilation == (1, 1)
        and isinstance(module.padding, tuple)
        and module.kernel_size == tuple(2 * p + 1 for p in module.padding)
        and module.kernel_size != (1, 1)
        and module.padding_mode == "zeros"
    )


def _prefer_onednn(model: nn.Module) -> None:
    """Make PyTorch hand 1×1 convolutions to oneDNN in single-threaded workers too.

    It does so only for several threads, large batches, or a dilated kernel, and is 1.5× slower
    otherwise. A dilation means nothing to a 1×1 kernel.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            module.dilation = (2, 2)
