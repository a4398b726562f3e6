"""A photograph and its classes to CAMs: scales 0.5, 1, 1.5, 2, each with its mirror.

Knows a classifier and pixels. Knows neither files nor labels.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..cams import ImageCams
from ..network.maps import SCALES, check_scales, network_input, scaled_size
from .regions import EPS, resized
from .split import Classifier

__all__ = ["CamNetwork", "photo_cams"]

STRIDED = 4


class CamNetwork:
    """A folded classifier, the scales it is asked at, and each image's classes. May be called from
    several threads.

    classes  {image id: int64 [K], rising}
    """

    def __init__(
        self,
        model: Classifier,
        classes: Mapping[str, np.ndarray],
        scales: Sequence[float] = SCALES,
    ) -> None:
        self.model, self.classes, self.scales = model, classes, check_scales(scales)
        # Threads that share a GPU gain nothing there, and need its memory several times.
        on_gpu = next(model.parameters()).device.type != "cpu"
        self.turn: AbstractContextManager = threading.Lock() if on_gpu else nullcontext()

    def __call__(self, photos: dict[str, np.ndarray]) -> dict[str, ImageCams]:
        """{image id: H×W×3 uint8}, all of one size → {image id: CAMs of its classes}."""
        classes = [self.classes[image_id] for image_id in photos]
        found = photo_cams(self.model, list(photos.values()), classes, self.scales, self.turn)
        return {
            image_id: ImageCams(image_id, ids, *maps)
            for image_id, ids, maps in zip(photos, classes, found, strict=True)
        }


@torch.inference_mode()
def photo_cams(
    model: Classifier,
    photos: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    scales: Sequence[float] = SCALES,
    turn: AbstractContextManager | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """N photographs H×W×3 uint8 of one size, their classes int [K] each → for each image float32
    K×H×W and K×⌈H/4⌉×⌈W/4⌉ in [0, 1).

    For each scale and mirror A → ReLU → bilinear to the size → mirrored back; their sum over its
    maximum + 1e-5, each class of each image by itself. turn: held while the network computes.
    """
    height, width = photos[0].shape[:2]
    sizes = ((height, width), (math.ceil(height / STRIDED), math.ceil(width / STRIDED)))
    inputs = [network_input(model, photos, scaled_size(s, height, width)) for s in scales]
    device = next(model.parameters()).device
    with turn or nullcontext():
        # Sums at both sizes; an image without a class has none, which cannot be resized.
        sums = [[torch.zeros(len(ids), *size, device=device) for size in sizes] for ids in classes]
        for batch in inputs:
            scores = F.relu(model.scores(model.features(batch))).float()
            plain, mirrored = scores.chunk(2)
            for totals, z, m, ids in zip(sums, plain, mirrored, classes, strict=True):
                both = torch.stack([z[ids], m[ids].flip(-1)])
                for total in totals if len(ids) else ():
                    total += resized(both, total.shape[1:]).sum(0)
        return [(_over_maximum(full), _over_maximum(strided)) for full, strided in sums]


def _over_maximum(maps: Tensor) -> np.ndarray:
    return (maps / (maps.amax((1, 2), keepdim=True) + EPS)).cpu().numpy()
