"""A classifier of image-level labels, and its CAMs: what every WSSS pipeline starts with.

Its trunk is the same torchvision backbone that C2AM uses, at the same stride, so that its weights
can be C2AM's initial weights.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from c2am_plugin import ImageCams
from c2am_plugin.training.backbone import Backbone

MEAN = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
STD = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
# Of the pooling: 0 would be the mean, which spreads CAMs out, ∞ the maximum, which leaves a dot.
SHARPNESS = 0.3


class Classifier(nn.Module):
    """Backbone and 1×1 convolution: a CAM for each class."""

    def __init__(self, backbone: str, n_classes: int, stride: int = 8) -> None:
        super().__init__()
        self.trunk = Backbone(backbone, stride, dilated=False)
        with torch.no_grad():
            channels = self.trunk.eval()(torch.zeros(1, 3, 64, 64))[1].shape[1]
        self.head = nn.Conv2d(channels, n_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """N×3×H×W, ImageNet-normalised → N×K×h×w, before the ReLU."""
        scores: Tensor = self.head(self.trunk(images)[1])
        return scores


def normalised(photos: np.ndarray) -> Tensor:
    """uint8 N×H×W×3 → float32 N×3×H×W."""
    pixels = torch.tensor(photos).permute(0, 3, 1, 2).float() / 255
    return ((pixels - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def train_classifier(
    photos: np.ndarray, labels: np.ndarray, backbone: str, epochs: int, batch: int = 32
) -> Classifier:
    """Photographs uint8 N×H×W×3 and image-level labels bool N×K → a trained classifier."""
    torch.manual_seed(0)
    model = Classifier(backbone, labels.shape[1]).to(memory_format=torch.channels_last)
    images, targets = normalised(photos), torch.from_numpy(labels).float()
    steps = epochs * (len(photos) // batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    order = torch.cat([torch.randperm(len(photos)) for _ in range(epochs + 1)])
    model.train()
    for step in tqdm(range(steps), desc="classifier", unit="step"):
        chosen = order[step * batch : (step + 1) * batch]
        cams = model(_turned(images[chosen])).flatten(2)
        # Between mean and maximum: a class is there if it is somewhere.
        scores = ((SHARPNESS * cams).logsumexp(2) - math.log(cams.shape[2])) / SHARPNESS
        loss = F.binary_cross_entropy_with_logits(scores, targets[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def _turned(images: Tensor) -> Tensor:
    """One of the eight ways to lay a square."""
    if torch.rand(()) < 0.5:
        images = images.flip(3)
    if torch.rand(()) < 0.5:
        images = images.flip(2)
    if torch.rand(()) < 0.5:
        images = images.transpose(2, 3)
    return images.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def make_cams(
    model: Classifier, photo: np.ndarray, class_ids: np.ndarray, image_id: str
) -> ImageCams:
    """The CAMs of the classes that the image-level label names, image and mirror added up.

    Each is divided by its maximum; at the size of the image, and at a quarter of it.
    """
    image = normalised(photo[None])
    height, width = photo.shape[:2]
    scores = model(image) + model(image.flip(3)).flip(3)
    chosen = F.relu(scores[:, torch.from_numpy(class_ids)])
    sizes = ((height, width), (-(-height // 4), -(-width // 4)))
    found = [F.interpolate(chosen, size, mode="bilinear", align_corners=False)[0] for size in sizes]
    maps, strided = ((each / (each.amax((1, 2), keepdim=True) + 1e-5)).numpy() for each in found)
    return ImageCams(image_id, class_ids, maps, strided)


def save_trunk(model: Classifier, path: Path) -> None:
    """The backbone's weights as `c2am-train --weights FILE` reads them."""
    torch.save(model.trunk.state_dict(), path)
