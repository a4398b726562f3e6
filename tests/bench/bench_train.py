"""One training step in several ways, where its time goes, and whether loading keeps up with it.

    python tests/bench/bench_train.py [IMAGES]

Ways alternate in one run and ratios are medians over the rounds, so that what else runs on the
machine hurts none more. Weights are random: time does not depend on them. Photographs are those of
a folder, or generated ones of 500×375 pixels. What freed memory does can be set once a process, so
that it is measured in processes of their own: a step in each, with what training does and without.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from bench_maps import _generate
from bfloat16 import has_bfloat16
from torch import Tensor

from c2am_plugin.files.photos import find_images
from c2am_plugin.network.gradient import loss_gradient
from c2am_plugin.network.loss import c2am_loss
from c2am_plugin.network.model import C2AM
from c2am_plugin.runs.memory import keep_freed_memory
from c2am_plugin.training.batches import BatchOrder, TrainingImages, training_loader
from c2am_plugin.training.devices import pick_device
from c2am_plugin.training.normalisation import normalise

ROUNDS = 3
NETWORKS = (("squeezenet1_0", 16, 224), ("resnet50", 4, 224))  # name, batch, crop
RESIZE, CROP = 512, 448  # of the paper's recipe
LOADED = 64  # photographs
Row = tuple[str, ...]


def rows(images: Path | None = None) -> list[Row]:
    """(work, ours, reference, ratio, agreement) for the table of benchmarks."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        if images is None:
            images = Path(folder)
            _generate(images, LOADED)
        paths = list(find_images(images).values())[:LOADED]
        if pick_device().type == "cpu":
            found += [_memory(*network) for network in NETWORKS]
            keep_freed_memory()
        for backbone, batch, crop in NETWORKS:
            found += _steps(backbone, batch, crop)
            found += _shares(backbone, batch, crop, paths)
        found += [_loading(paths, workers) for workers in (1, 2)]
    return found


def _memory(backbone: str, batch: int, crop: int) -> Row:
    """A step as training makes it, against one whose memory glibc hands back each time."""
    command = [sys.executable, __file__, "--step", backbone, str(batch), str(crop)]
    seconds: dict[str, list[float]] = {"keep": [], "default": []}
    for _ in range(2):
        for way, times in seconds.items():
            done = subprocess.run([*command, way], capture_output=True, text=True, check=True)
            times.append(float(done.stdout))
    return (
        f"train step, {backbone}, batch {batch} of {crop}, cpu: freed memory kept",
        f"{batch / statistics.median(seconds['keep']):.2f} images/s",
        f"{batch / statistics.median(seconds['default']):.2f} images/s (glibc's default)",
        f"{_ratio(seconds['default'], seconds['keep']):.2f}×",
        "the same bits",
    )


def _time_step(backbone: str, batch: str, crop: str, way: str) -> float:
    if way == "keep":
        keep_freed_memory()
    step = _step(backbone, _pixels(int(batch), int(crop)), True, {})
    step()
    return statistics.median(_alternated({"": step})[""])


def _pixels(batch: int, crop: int) -> Tensor:
    size = (batch, 3, crop, crop)
    return torch.randint(0, 256, size, dtype=torch.uint8, device=pick_device())


def _steps(backbone: str, batch: int, crop: int) -> list[Row]:
    """Whole steps, from pixels to moved weights, against contiguous tensors and plain SGD."""
    device, pixels = pick_device(), _pixels(batch, crop)
    ways: dict[str, tuple[bool, dict[str, Any]]] = {
        "plain": (False, {}),
        "channels_last": (True, {}),
        f"channels_last, two passes of {batch // 2}": (True, {"micro_batch": batch // 2}),
    }
    if has_bfloat16(device):
        ways["channels_last, bfloat16"] = (True, {"precision": torch.bfloat16})
    works = {name: _step(backbone, pixels, *way) for name, way in ways.items()}
    losses = {name: work() for name, work in works.items()}
    seconds = _alternated(works)
    optimizers = _optimizers(backbone)
    for work in optimizers.values():
        work()
    moves = _alternated(optimizers, rounds=10 * ROUNDS)
    title = f"train step, {backbone}, batch {batch} of {crop}, {device.type}"
    return [
        (
            f"{title}: {name}",
            f"{batch / statistics.median(seconds[name]):.2f} images/s",
            f"{batch / statistics.median(seconds['plain']):.2f} images/s (contiguous)",
            f"{_ratio(seconds['plain'], seconds[name]):.2f}×",
            f"loss differs by {abs(losses[name] - losses['plain']):.1e}",
        )
        for name in list(ways)[1:]
    ] + [
        (
            f"SGD of {backbone}, {device.type}: {name}",
            f"{1000 * statistics.median(moves[name]):.1f} ms",
            f"{1000 * statistics.median(moves['default']):.1f} ms (torch's default)",
            f"{_ratio(moves['default'], moves[name]):.2f}×",
            "",
        )
        for name in list(moves)[1:]
    ]


def _step(
    backbone: str, pixels: Tensor, last: bool, options: dict[str, Any]
) -> Callable[[], float]:
    layout = torch.channels_last if last else torch.contiguous_format
    torch.manual_seed(0)
    model = C2AM(backbone).to(pixels.device).to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        images = normalise(pixels.to(memory_format=layout))
        result = loss_gradient(model, images, 0.25, **options)
        optimizer.step()
        return float(result.parts.total)

    return step


def _optimizers(backbone: str) -> dict[str, Callable[[], object]]:
    """The optimizer's step alone."""
    kinds: dict[str, dict[str, Any]] = {
        "default": {},
        "foreach": {"foreach": True},
        "fused": {"fused": True},
    }
    steps: dict[str, Callable[[], object]] = {}
    for name, kind in kinds.items():
        model = C2AM(backbone).to(pick_device()).to(memory_format=torch.channels_last)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        sgd = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4, **kind)
        steps[name] = _synchronised(sgd.step)
    return steps


def _shares(backbone: str, batch: int, crop: int, paths: list[Path]) -> list[Row]:
    """How the time of a step splits; loading as by one process, in its turn and not beside."""
    device = pick_device()
    views = TrainingImages(paths, round(crop * RESIZE / CROP), crop)
    views.keeps = False  # every epoch decodes anew, as with more images than memory holds
    model = C2AM(backbone).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    taken: dict[str, list[float]] = {}
    for epoch in range(ROUNDS + 1):
        optimizer.zero_grad(set_to_none=True)
        with _timed("loading, one process", taken):
            pixels = torch.stack([views[epoch, index % len(views)] for index in range(batch)])
        with _timed("normalise", taken):
            images = normalise(pixels.to(device, memory_format=torch.channels_last))
        with _timed("forward", taken):
            output = model(images)
        with _timed("loss", taken):
            loss = c2am_loss(output.foreground, output.background).total
        with _timed("backward", taken):
            loss.backward()
        with _timed("optimizer", taken):
            optimizer.step()
    medians = {name: statistics.median(times[1:]) for name, times in taken.items()}
    loading = medians.pop("loading, one process")
    whole = sum(medians.values())
    title = f"share of a step, {backbone}, batch {batch} of {crop}, {device.type}"
    found = [
        (
            f"{title}: {name}",
            f"{1000 * each:.1f} ms",
            f"{1000 * whole:.0f} ms",
            "",
            f"{each / whole:.1%} of a step",
        )
        for name, each in medians.items()
    ]
    beside = f"{1000 * loading:.1f} ms"
    return [
        *found,
        (
            f"{title}: loading, one process",
            beside,
            f"{1000 * whole:.0f} ms",
            "",
            f"{loading / whole:.1%} of a step",
        ),
    ]


def _loading(paths: list[Path], workers: int) -> Row:
    """What reaches training at the paper's size, decoded anew each time."""
    views = TrainingImages(paths, RESIZE, CROP)
    views.keeps = False
    batch = len(views) // 2
    order = BatchOrder(len(views), batch, epochs=4 * ROUNDS)
    batches = iter(training_loader(views, order, workers))
    next(batches)  # the processes start
    start = time.perf_counter()
    count = sum(len(images) for images, _ in batches)
    rate = count / (time.perf_counter() - start)
    title = f"loading, {CROP} of {RESIZE}, {workers} process{'es' if workers > 1 else ''}"
    return title, f"{rate:.0f} images/s", "", "", ""


def _alternated(
    works: dict[str, Callable[[], object]], rounds: int = ROUNDS
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(t / o for t, o in zip(theirs, ours, strict=True))


def _synchronised(work: Callable[[], object]) -> Callable[[], object]:
    def wait() -> None:
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return wait


@contextmanager
def _timed(name: str, taken: dict[str, list[float]]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    taken.setdefault(name, []).append(time.perf_counter() - start)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        print(_time_step(*sys.argv[2:]))
    else:
        for row in rows(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
            print(" | ".join(row), flush=True)
