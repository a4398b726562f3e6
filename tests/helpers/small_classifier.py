"""Photographs of two kinds of texture with their labels, and classifiers trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from c2am_plugin.classifier.loop import ClassifierResult
from c2am_plugin.classifier.train import train_classifier

CLASSES = ("stripes", "dots")


def write_labelled(folder: Path, n: int) -> tuple[Path, Path]:
    """n photographs of several sizes, whose image-level labels go 1, 2, 12, none, 1 …: (images,
    labels.csv)."""
    images = folder / "images"
    images.mkdir(parents=True)
    lines = ["id,class,class"]
    for index in range(n):
        rng = np.random.default_rng(index)
        height, width = (int(side) for side in rng.integers(40, 70, 2))
        pixels = rng.integers(90, 130, (height, width, 3))
        names = [name for bit, name in enumerate(CLASSES) if (index + 1) % 4 & (1 << bit)]
        if "stripes" in names:
            pixels[5:25, 5:30] += (60 * (np.arange(25) % 4 < 2))[None, :, None]
        if "dots" in names:
            pixels[-25:-5:3, -25:-5:3] = 250
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(images / f"i{index}.png")
        lines.append(",".join((f"i{index}", *names)))
    labels = folder / "labels.csv"
    labels.write_text("\n".join(lines) + "\n")
    return images, labels


def small_classifier(folder: Path, run: Path, **changes: Any) -> ClassifierResult:
    """A run of a second: 3 epochs of 2 steps of 4 images, RCM and MAM from the third step on."""
    settings: dict[str, Any] = {
        "backbone": "squeezenet1_1",
        "weights": "random",
        "recipe": "small",
        "batch_size": 4,
        "epochs": 3,
        "lr": 1e-3,
        "crop": 48,
        "output_stride": 8,
        "scales": (0.5, 1.0),
        "start": 0.34,
        "rcm": 1.0,
        "mam": 1.0,
        "workers": 0,
        "device": "cpu",
        "progress": False,
    }
    labels = changes.pop("labels", folder / "labels.csv")
    return train_classifier(folder / "images", labels, run, **{**settings, **changes})
