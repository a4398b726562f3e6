"""Training, maps and saliency on a GPU, measured: images/s, memory, and that the numbers agree.

    python tests/bench/gpu.py OUT.json [--minutes 8]

Each part is on its own: one that fails is noted with its error and the next one runs; when the
minutes are used up the rest is noted as left out. Photographs are generated (500×375 pixels),
weights are random: time depends on neither. On a CPU every part runs with tiny settings.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_maps import _generate

from c2am_plugin.errors import TrainingError
from c2am_plugin.network.checkpoint import load_checkpoint, save_checkpoint
from c2am_plugin.network.gradient import loss_gradient
from c2am_plugin.network.inference import fast_copy
from c2am_plugin.network.make_cues import make_cues
from c2am_plugin.network.maps import SCALES, mean_logit, scale_logits
from c2am_plugin.network.model import C2AM
from c2am_plugin.saliency.train import train_saliency
from c2am_plugin.training.normalisation import normalise

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
BACKBONE = "resnet50" if GPU else "squeezenet1_1"
BATCH, CROP, RESIZE = (128, 448, 512) if GPU else (4, 64, 72)
PHOTOS, EPOCHS = (1024, 2) if GPU else (8, 1)
CUE_PHOTOS, SALIENCY_PHOTOS = (96, 64) if GPU else (2, 2)
WARM, STEPS = (3, 10) if GPU else (1, 1)
CORES = os.cpu_count() or 1
# One training image of the paper's recipe: three forward passes of 49.7 GFLOP.
GFLOP_PER_IMAGE = 149


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=8)
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    found: dict[str, Any] = {"machine": _machine()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _generate(_new(folder / "photos"), PHOTOS)
        for title, part in _parts(folder):
            if time.monotonic() > end:
                found[title] = {"left out": f"{arguments.minutes:g} minutes were used up"}
                continue
            start = time.monotonic()
            try:
                found[title] = part()
            except Exception as error:
                traceback.print_exc()
                found[title] = {"error": f"{type(error).__name__}: {error}"[:500]}
            found[title]["part_seconds"] = round(time.monotonic() - start, 1)
            arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            print(title, json.dumps(found[title]), flush=True)
            if GPU:
                torch.cuda.empty_cache()


def _parts(folder: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    photos = folder / "photos"
    for amp in (True, False):
        yield f"step, {_name(amp)}", lambda amp=amp: _step(amp)
    yield "step, bfloat16, contiguous", lambda: _step(True, channels_last=False)
    yield "step, bfloat16, micro-batch 16", lambda: _step(True, micro_batch=16 if GPU else 2)
    yield "micro-batch, same gradient", _same_gradient
    yield "maps, GPU against CPU", lambda: _same_maps(photos)
    for bf16 in (False, True):
        for batch in (1, 8, 32) if GPU else (2,):
            yield (
                f"cues, {_name(bf16)}, batch {batch}",
                lambda bf16=bf16, batch=batch: _cues(folder, bf16, batch),
            )
    for workers in (4, 8, 16) if GPU else (0,):
        yield (
            f"c2am-train, bfloat16, {workers} loader processes",
            lambda workers=workers: _train(photos, folder / f"run{workers}", workers),
        )
    for recipe in ("small", "paper"):
        yield f"c2am-saliency, {recipe}", lambda recipe=recipe: _saliency(folder, recipe)
    yield "torchrun, one process", lambda: _torchrun(photos, folder / "torchrun")
    yield "nccl, one process", _nccl
    yield "step, bfloat16, compiled", lambda: _step(True, compiled=True)


def _machine() -> dict[str, Any]:
    found = {"torch": torch.__version__, "python": platform.python_version(), "cores": CORES}
    if GPU:
        memory = torch.cuda.get_device_properties(0).total_memory
        found |= {"gpu": torch.cuda.get_device_name(0), "gpu_memory_gib": round(memory / 2**30, 1)}
    return found


def _step(
    amp: bool,
    *,
    channels_last: bool = True,
    micro_batch: int | None = None,
    compiled: bool = False,
) -> dict[str, Any]:
    """A training step as the trainer makes it: forward, loss, backward, SGD."""
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = C2AM(BACKBONE, 16).to(DEVICE).to(memory_format=layout).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    pixels = torch.randint(0, 256, (BATCH, 3, CROP, CROP), dtype=torch.uint8)
    images = normalise(pixels.to(DEVICE).to(memory_format=layout))
    network = torch.compile(model) if compiled else model
    seconds = []
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    for step in range(WARM + STEPS):
        _wait()
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        precision = torch.bfloat16 if amp else None
        loss_gradient(network, images, 0.25, micro_batch=micro_batch, precision=precision)
        optimizer.step()
        _wait()
        if step >= WARM:
            seconds.append(time.perf_counter() - start)
        if time.perf_counter() - begin > 90:
            break
    return _speed(seconds) if seconds else {"error": "not one step in 90 s"}


def _speed(seconds: list[float]) -> dict[str, Any]:
    rate = BATCH / statistics.median(seconds)
    found: dict[str, Any] = {
        "images_per_second": round(rate, 1),
        "seconds": [round(min(seconds), 4), round(max(seconds), 4)],
    }
    if GPU:
        found["tflop_per_second"] = round(rate * GFLOP_PER_IMAGE / 1000, 1)
        found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return found


def _same_gradient() -> dict[str, Any]:
    """Batch and micro-batches, BatchNorm's statistics fixed; without TF32, which rounds to 10 bits.

    float64 tells that the formula is the same, float32 what is left of it in practice.
    """
    n, part, side = (128, 16, 128) if GPU else (4, 2, 64)
    found = {}
    tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        model = C2AM(BACKBONE, 16).to(DEVICE, dtype).eval()
        images = torch.randn(n, 3, side, side, device=DEVICE, dtype=dtype)
        gradients = []
        for micro_batch in (None, part):
            model.zero_grad(set_to_none=True)
            loss_gradient(model, images, 0.25, micro_batch=micro_batch)
            flat = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
            gradients.append(torch.cat(flat))
        difference = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
        found[str(dtype).removeprefix("torch.")] = float(difference)
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = tf32
    return {"relative_difference": found, "batch": n, "micro_batch": part}


def _same_maps(photos: Path) -> dict[str, Any]:
    """Mean logits of four photographs on the GPU against the CPU, as a sigmoid would show them."""
    from c2am_plugin.files.photos import read_photo

    images = [read_photo(path) for path in sorted(photos.iterdir())[:4]]
    model = _network()
    scales = SCALES if GPU else (1.0,)
    ways = {"cpu": ("cpu", False), "float32": (DEVICE, False), "bfloat16": (DEVICE, True)}
    maps = {}
    for name, (device, bf16) in ways.items():
        network = fast_copy(model, device, bf16=bf16)
        found = [scale_logits(network, [image], scales)[0] for image in images]
        maps[name] = [1 / (1 + np.exp(-mean_logit(logits, False))) for logits in found]
    return {
        f"largest_difference_{name}": float(
            max(np.abs(a - b).max() for a, b in zip(maps[name], maps["cpu"], strict=True))
        )
        for name in ("float32", "bfloat16")
    }


def _network() -> C2AM:
    """A network whose BatchNorms have seen images, so that its map is not constant."""
    torch.manual_seed(0)
    model = C2AM(BACKBONE, 16).train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 3, 96, 96))
    return model.eval()


def _checkpoint(folder: Path) -> Path:
    path = folder / "network.pt"
    if not path.exists():
        save_checkpoint(path, _network(), True, {"crop": CROP})
    load_checkpoint(path)
    return path


def _cues(folder: Path, bf16: bool, batch: int) -> dict[str, Any]:
    """Soft cues at four scales with mirror, reading and writing included."""
    some = _some(folder, CUE_PHOTOS)
    out = folder / f"cues-{_name(bf16)}-{batch}"
    start = time.perf_counter()
    make_cues(
        some,
        _checkpoint(folder),
        out,
        scales=SCALES if GPU else (1.0,),
        bf16=bf16,
        batch_size=batch,
        device=DEVICE.type,
        progress=False,
    )
    return {"images_per_second": round(CUE_PHOTOS / (time.perf_counter() - start), 2)}


def _train(photos: Path, out: Path, workers: int) -> dict[str, Any]:
    """c2am-train as a user runs it, decoding included; the first steps do not count."""
    command = [sys.executable, "-c", "from c2am_plugin.cli import train_main; train_main()"]
    command += [str(photos), "-o", str(out), "--recipe", "paper", "--backbone", BACKBONE]
    command += ["--weights", "random", "--batch-size", str(BATCH), "--crop", str(CROP)]
    command += ["--resize", str(RESIZE), "--epochs", str(EPOCHS), "--workers", str(workers)]
    command += ["--device", DEVICE.type, *(["--amp"] if GPU else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    log = out / "log.csv"
    if not log.exists():
        raise RuntimeError(done.stderr[-400:])
    with log.open(encoding="utf-8") as file:
        rates = [float(row["images_per_second"]) for row in csv.DictReader(file)]
    return {
        "exit_code": done.returncode,
        "images_per_second": round(statistics.median(rates[len(rates) // 2 :]), 1),
        "steps": len(rates),
        "last_line": done.stderr.strip().splitlines()[-1:],
    }


def _saliency(folder: Path, recipe: str) -> dict[str, Any]:
    """The saliency network on cues made before: images/s of the second half of the steps."""
    some = _some(folder, SALIENCY_PHOTOS)
    cues = folder / f"cues-{_name(False)}-{8 if GPU else 2}"
    _cut(cues)
    run = folder / f"saliency-{recipe}"
    # So short a training from random weights may end in a constant network: its speed is the same.
    with contextlib.suppress(TrainingError):
        train_saliency(
            some,
            cues,
            run,
            backbone=BACKBONE,
            weights="random",
            recipe=recipe,
            epochs=2,
            device=DEVICE.type,
            progress=False,
        )
    with (run / "log.csv").open(encoding="utf-8") as file:
        rates = [float(row["images_per_second"]) for row in csv.DictReader(file)]
    return {"images_per_second": round(statistics.median(rates[len(rates) // 2 :]), 1)}


def _cut(cues: Path) -> None:
    """Hard masks in place of what a network without training says."""
    from PIL import Image

    for path in cues.glob("*.png"):
        grey = np.asarray(Image.open(path), np.float32)
        Image.fromarray(((grey > np.median(grey)) * 255).astype(np.uint8)).save(path)


def _torchrun(photos: Path, out: Path) -> dict[str, Any]:
    """The command under torchrun, with BatchNorm synchronised on a GPU."""
    script = out.parent / "train.py"
    script.write_text("from c2am_plugin.cli import train_main\ntrain_main()\n", encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "1", str(script), str(photos), "-o", str(out)]
    command += ["--recipe", "paper", "--backbone", BACKBONE, "--weights", "random"]
    command += ["--batch-size", str(min(BATCH, 64)), "--crop", str(CROP), "--resize", str(RESIZE)]
    command += ["--epochs", "1", "--device", DEVICE.type, *(["--sync-bn"] if GPU else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    return {"exit_code": done.returncode, "last_line": done.stderr.strip().splitlines()[-1:]}


def _nccl() -> dict[str, Any]:
    """The group that torchrun's processes join, here of one: what they exchange comes back."""
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if GPU else "gloo"
    store = dist.TCPStore("127.0.0.1", 0, 1, is_master=True, wait_for_workers=False)
    dist.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        numbers = torch.arange(4.0, device=DEVICE)
        dist.all_reduce(numbers)
        objects: list[Any] = [{"a": 1}]
        dist.broadcast_object_list(objects)
        layer = torch.nn.SyncBatchNorm(3).to(DEVICE)
        if GPU:
            layer(torch.randn(2, 3, 4, 4, device=DEVICE)).sum().backward()
        return {"backend": backend, "sum": numbers.tolist(), "object": objects[0]}
    finally:
        dist.destroy_process_group()


def _some(folder: Path, count: int) -> Path:
    """A folder of links to the first photographs."""
    some = folder / f"photos{count}"
    if not some.exists():
        some.mkdir()
        for path in sorted((folder / "photos").iterdir())[:count]:
            (some / path.name).symlink_to(path)
    return some


def _name(bf16: bool) -> str:
    return "bfloat16" if bf16 else "float32"


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _wait() -> None:
    if GPU:
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
