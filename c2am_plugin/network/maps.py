"""From a network and a photograph to its activation map: many scales, each with its mirror.

Knows tensors and the released system's rule (DESIGN of the maps: C2AM, section 3.4 and its code).
Knows neither files nor thresholds. One pass through the network gives the logits of every scale
(`scale_logits`); the released map (`released_map`) and the mean logit (`mean_logit`) are two
ways of reading them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..training.normalisation import normalise

__all__ = [
    "SCALES",
    "ScaleLogits",
    "check_scales",
    "default_scales",
    "fast_scales",
    "mean_logit",
    "network_input",
    "released_map",
    "scale_logits",
    "scaled_size",
]

SCALES = (0.5, 1.0, 1.5, 2.0)
# The released factors suit photographs about as large as the squares it was trained on. A network
# that was trained on smaller ones is worse at sizes it has never seen, so it uses its own sizes.
RELEASED_SIDE = 512
SIDES = (0.75, 1.0, 1.375)
STRIDED, PADDED = 4, 16  # of the two stored maps: the small one's stride, the large one's multiple
LARGEST_FACTOR, SMALLEST_SIDE = 8, 32


@dataclass(frozen=True)
class ScaleLogits:
    """The network's logits for one image at every scale.

    scales  as given to `scale_logits`
    pairs   for each scale float32 2×h×w on the CPU: the image's logits and its mirror's, mirrored
            back. High where P is high, whatever side that is
    size    (H, W) of the image
    """

    scales: tuple[float, ...]
    pairs: tuple[Tensor, ...]
    size: tuple[int, int]


def default_scales(trained_side: int | None) -> tuple[float, ...]:
    """The released scales, or squares of 3/4, 1 and 11/8 of the side that was trained with.

    trained_side: pixels of the square that training images were resized to; None: not known, and
    512, the released one, give the released scales.
    """
    if trained_side in (None, RELEASED_SIDE):
        return SCALES
    sides = (PADDED * round(trained_side * factor / PADDED) for factor in SIDES)
    return tuple(float(max(SMALLEST_SIDE, side)) for side in sides)


def check_scales(scales: Sequence[float]) -> tuple[float, ...]:
    """Scales as floats. Up to 8: a factor of the image's size; from 32: a square's side in pixels.

    Raises InputError for anything between, or none at all.
    """
    for scale in scales:
        side = scale >= SMALLEST_SIDE and scale == int(scale)
        if not (0 < scale <= LARGEST_FACTOR or side):
            raise InputError(
                f"scale {scale:g}: expected a factor (up to {LARGEST_FACTOR}) or the side of a "
                f"square in whole pixels (from {SMALLEST_SIDE})"
            )
    if not scales:
        raise InputError("no scale is given; expected for instance 0.5 1 1.5 2")
    return tuple(float(scale) for scale in scales)


def fast_scales(trained_side: int | None) -> tuple[float, ...]:
    """The one factor at which photographs of 500 pixels are about as large as in training.

    trained_side: as for `default_scales`; None: 512. Networks of 256 get 0.5: with SqueezeNet,
    three seeds and two sets, as good as 0.5, 1, 1.5, 2 at a thirtieth of the time (README.md).
    """
    return (min(LARGEST_FACTOR, max(1 / 8, (trained_side or RELEASED_SIDE) / RELEASED_SIDE)),)


@torch.inference_mode()
def scale_logits(
    model: nn.Module, images: Sequence[np.ndarray], scales: Sequence[float] = SCALES
) -> list[ScaleLogits]:
    """N images H×W×3 uint8 RGB of one size → their logits at every scale, in N·2 forwards a scale.

    model: anything with `.logits(N×3×h×w normalised) → N×1×h'×w'`, in eval mode;
    `inference.fast_copy` makes it fast. Each scale is resized from the image by PIL's bicubic rule.
    """
    scales = check_scales(scales)
    height, width = images[0].shape[:2]
    pairs: list[list[Tensor]] = [[] for _ in images]
    for scale in scales:
        batch = network_input(model, images, scaled_size(scale, height, width))
        logits = model.logits(batch)[:, 0].float().cpu()  # type: ignore[operator]
        plain, mirrored = logits.chunk(2)
        for pair, z, m in zip(pairs, plain, mirrored, strict=True):
            pair.append(torch.stack([z, m.flip(-1)]))
    return [ScaleLogits(scales, tuple(pair), (height, width)) for pair in pairs]


def released_map(logits: ScaleLogits, flag: bool) -> tuple[np.ndarray, np.ndarray]:
    """The released system's map: float32 1×⌈H/4⌉×⌈W/4⌉ and 1×H×W in [0, 1), 1 = foreground.

    flag: P is high on the background. The ReLU of the logits (of 1 − logits where flagged), image
    plus mirror, summed over the scales and divided by its maximum + 1e-5.
    """
    height, width = logits.size
    small = (math.ceil(height / STRIDED), math.ceil(width / STRIDED))
    positive = [F.relu(1 - pair if flag else pair).sum(0) for pair in logits.pairs]
    strided = torch.stack([_resize(z, small) for z in positive])
    full = torch.stack(
        [
            _image_size(z, scale, logits.size)
            for z, scale in zip(positive, logits.scales, strict=True)
        ]
    )
    return _over_maximum(strided.sum(0)), _over_maximum(full.sum(0))


def mean_logit(logits: ScaleLogits, flag: bool) -> np.ndarray:
    """The network's own log-odds of foreground: float32 H×W, the mean over scales and mirrors.

    0 is the boundary P = 0.5. flag: P is high on the background, so the sign is turned.
    """
    maps = [
        _image_size(pair.mean(0), scale, logits.size)
        for pair, scale in zip(logits.pairs, logits.scales, strict=True)
    ]
    mean = torch.stack(maps).mean(0).numpy()
    return -mean if flag else mean


def scaled_size(scale: float, height: int, width: int) -> tuple[int, int]:
    """The pixels (h, w) of an H×W image at a scale, see `check_scales`."""
    if scale >= SMALLEST_SIDE:
        return int(scale), int(scale)
    return max(1, round(height * scale)), max(1, round(width * scale))


def network_input(model: nn.Module, images: Sequence[np.ndarray], size: tuple[int, int]) -> Tensor:
    """Images resized to (h, w), normalised, then their mirrors: 2N×3×h×w, channels_last."""
    h, w = size
    resized = np.stack(
        [np.asarray(Image.fromarray(i).resize((w, h), Image.Resampling.BICUBIC)) for i in images]
    )
    weight = next(model.parameters())
    pixels = torch.from_numpy(resized).to(weight.device).permute(0, 3, 1, 2)
    batch = normalise(pixels, model)
    both = torch.cat([batch, batch.flip(-1)])
    return both.to(weight.dtype).contiguous(memory_format=torch.channels_last)


def _over_maximum(z: Tensor) -> np.ndarray:
    """h×w → 1×h×w, divided by its maximum."""
    return (z / (z.max() + 1e-5))[None].numpy()


def _image_size(z: Tensor, scale: float, size: tuple[int, int]) -> Tensor:
    """h×w → H×W. A factor's map is brought to the next multiple of 16 and cropped, as released;
    a square's cells cover the whole image, whatever its shape."""
    height, width = size
    if scale >= SMALLEST_SIDE:
        return _resize(z, size)
    padded = (math.ceil(height / PADDED) * PADDED, math.ceil(width / PADDED) * PADDED)
    return _resize(z, padded)[:height, :width]


def _resize(z: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(z[None, None], size, mode="bilinear", align_corners=False)[0, 0]
