"""C2AM trained on a few small images, and its gradients compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from c2am_plugin.network.model import C2AM
from c2am_plugin.network.train import TrainingResult, train_c2am


def write_photos(folder: Path, n: int, same: bool = False) -> Path:
    """Smooth random photographs 40×30; `same`: one colour in all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        if same:
            pixels[:] = (90, 120, 60)
        photo = Image.fromarray(pixels).resize((40, 30), Image.Resampling.BICUBIC)
        photo.save(folder / f"{i:03d}.png")
    return folder


def small_train(photos: Path, out: Path, **changes: Any) -> TrainingResult:
    """A run of a second: 3 epochs of 2 steps of 4 images."""
    settings: dict[str, Any] = {
        "backbone": "squeezenet1_1",
        "weights": "random",
        "recipe": "paper",
        "batch_size": 4,
        "epochs": 3,
        "crop": 64,
        "lr": 0.01,
        "workers": 0,
        "device": "cpu",
        "progress": False,
    }
    return train_c2am(photos, out, **{**settings, **changes})


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def assert_same_gradients(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """In float64: in float32 the rounding of a forward pass moves ReLUs, hence gradients."""
    assert set(one) == set(other)
    for name in one:
        assert float((one[name] - other[name]).norm()) < 1e-9 * float(one[name].norm()), name


def settled(name: str) -> C2AM:
    """A network whose BatchNorms have seen images, so that its features differ, in eval mode."""
    torch.manual_seed(0)
    model = C2AM(name).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(batch(4))
    return model.eval()


def batch(n: int = 3) -> Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randn(n, 3, 32, 32, generator=random, dtype=torch.float64)


class Brightness(torch.nn.Module):
    """A stand-in network: its logit is the brightness of each 8×8 block."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(8.0))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        return self.gain * torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 8)


def write_images(folder: Path, bright_inside: list[bool]) -> list[Path]:
    paths = []
    for index, bright in enumerate(bright_inside):
        pixels = np.full((50, 60, 3), 30 if bright else 220, np.uint8)
        pixels[15:35, 20:40] = 220 if bright else 30
        paths.append(folder / f"{index}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths
