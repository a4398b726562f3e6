"""A training step of the classifier with pixel-level self-supervision and without: speed, memory.

    python tests/bench/bench_classifier.py [STEPS] [BACKBONE]

16 views of 320 pixels at output stride 8, recipe `small`. Memory is a GPU's alone.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import torch

from c2am_plugin.classifier.recipes import make_recipe
from c2am_plugin.classifier.split import Classifier
from c2am_plugin.classifier.trainer import ClassifierTrainer
from c2am_plugin.training.devices import pick_device

N_CLASSES = 20
ARMS = {
    "labels alone": {},
    "RCM": {"rcm": 1.0},
    "MAM": {"mam": 1.0},
    "both": {"rcm": 1.0, "mam": 1.0},
}


def measured(backbone: str, steps: int, **weights: float) -> tuple[float, float | None]:
    """Images per second, and MiB of a GPU at most."""
    where = pick_device()
    plan = replace(make_recipe("small", output_stride=8, **weights), start=0.0)
    model = Classifier(backbone, N_CLASSES, plan.output_stride)
    trainer = ClassifierTrainer(model, plan, 100, 100, where)
    images = torch.randint(0, 255, (plan.batch_size, 3, plan.crop, plan.crop), dtype=torch.uint8)
    labels = torch.rand(plan.batch_size, N_CLASSES) < 0.1
    trainer.advance((images, labels))
    on_gpu = where.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(where)
        torch.cuda.reset_peak_memory_stats(where)
    begin = time.perf_counter()
    for _ in range(steps):
        trainer.advance((images, labels))
    if on_gpu:
        torch.cuda.synchronize(where)
    speed = steps * plan.batch_size / (time.perf_counter() - begin)
    return speed, torch.cuda.max_memory_allocated(where) / 2**20 if on_gpu else None


def main(steps: int = 20, backbone: str = "squeezenet1_0") -> None:
    print("| step | images/s | memory, MiB |\n|---|---:|---:|")
    for name, weights in ARMS.items():
        speed, memory = measured(backbone, steps, **weights)
        print(
            f"| {name} | {speed:.1f} | {'–' if memory is None else f'{memory:.0f}'} |", flush=True
        )


if __name__ == "__main__":
    main(*(kind(word) for kind, word in zip((int, str), sys.argv[1:], strict=False)))
