"""Images a second of one training step: plain, channels_last, in parts, and bfloat16 on a GPU.

python tests/bench_train.py [BACKBONE] [BATCH] [CROP]; `rows()` is what a collection of benches
calls. No test: it prints what this machine does, and claims nothing of others.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import torch

from c2am_plugin.network.data import normalise
from c2am_plugin.network.loss import c2am_loss
from c2am_plugin.network.model import C2AM
from c2am_plugin.network.step import loss_gradient

REPEATS = 3


def seconds(work: Any, device: torch.device) -> float:
    """The median time of a few calls, after one that does not count."""
    times = []
    for _ in range(REPEATS + 1):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def rows(
    backbone: str = "squeezenet1_0", batch: int = 16, crop: int = 224, stride: int = 16
) -> list[tuple[str, float, str]]:
    """(what, value, unit) of this machine."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pixels = torch.randint(0, 256, (batch, 3, crop, crop), dtype=torch.uint8, device=device)
    ways: list[tuple[str, bool, dict[str, Any]]] = [
        ("plain", False, {}),
        ("channels_last", True, {}),
        (f"channels_last, parts of {batch // 4}", True, {"micro_batch": batch // 4}),
    ]
    if device.type == "cuda":
        ways.append(("channels_last, bfloat16", True, {"precision": torch.bfloat16}))
    found = []
    title = f"train {backbone} batch {batch} crop {crop} on {device}"
    for name, last, options in ways:
        layout = torch.channels_last if last else torch.contiguous_format
        model = C2AM(backbone, stride).to(device).to(memory_format=layout)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
        images = pixels.to(memory_format=layout)

        def step(model=model, optimizer=optimizer, images=images, options=options) -> None:  # type: ignore[no-untyped-def]
            optimizer.zero_grad(set_to_none=True)
            loss_gradient(model, normalise(images), 0.25, **options)
            optimizer.step()

        found.append((f"{title}: {name}", batch / seconds(step, device), "images/s"))
    return found + [(f"{title}: {what}", share, "%") for what, share in shares(model, images)]


def shares(model: C2AM, images: torch.Tensor) -> list[tuple[str, float]]:
    """How the time of a step splits, in percent; the backward pass is what is left."""
    device = images.device
    pixels = normalise(images)
    whole = seconds(lambda: loss_gradient(model, normalise(images), 0.25), device)
    with torch.no_grad():
        output = model(pixels)
        parts = {
            "normalise": seconds(lambda: normalise(images), device),
            "backbone and head forward": seconds(lambda: model(pixels), device),
            "loss": seconds(lambda: c2am_loss(output.foreground, output.background), device),
        }
    percent = [(what, 100 * taken / whole) for what, taken in parts.items()]
    return [*percent, ("backward", 100 - sum(share for _, share in percent))]


if __name__ == "__main__":
    given = sys.argv[1:]
    sizes = [int(value) for value in given[1:]]
    for what, value, unit in rows(*given[:1], *sizes):
        print(f"{value:10.2f} {unit:9} {what}")
