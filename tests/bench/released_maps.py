"""The released map stage, written down plainly: the reference of test_maps.py and bench_maps.py.

One image at a time, each of four scales with its mirror, the network as it was trained.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate, relu

SCALES = (0.5, 1.0, 1.5, 2.0)


@torch.no_grad()
def released_loop(
    model: torch.nn.Module, image: np.ndarray, flag: bool
) -> tuple[np.ndarray, np.ndarray]:
    """H×W×3 uint8 → the maps 1×⌈H/4⌉×⌈W/4⌉ and 1×H×W."""
    device = next(model.parameters()).device
    height, width = image.shape[:2]
    small = ((height + 3) // 4, (width + 3) // 4)
    large = ((height + 15) // 16 * 16, (width + 15) // 16 * 16)
    strided, full = torch.zeros(1, 1, *small), torch.zeros(1, 1, *large)
    for scale in SCALES:
        size = (round(width * scale), round(height * scale))
        pixels = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) / 255.0
        pixels = (pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
        one = torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1))
        logits = model.logits(torch.stack([one, one.flip(2)]).to(device)).cpu()
        if flag:
            logits = 1 - logits
        both = relu(logits[0]) + relu(logits[1]).flip(2)
        strided += interpolate(both[None], small, mode="bilinear", align_corners=False)
        full += interpolate(both[None], large, mode="bilinear", align_corners=False)
    full = full[:, :, :height, :width]
    return (
        (strided / (strided.max() + 1e-5))[0].numpy(),
        (full / (full.max() + 1e-5))[0].numpy(),
    )
