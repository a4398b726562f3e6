"""The map stage against a plain transcription of the released loop: same weights, same device.

    python tests/bench/bench_maps.py [IMAGES] [N]

N photographs of a folder (default: 4 generated ones of 500×375 pixels), from file to map. The
released loop takes an image at a time on all of torch's threads; ours runs as in c2am-cues, one
worker a core. Both alternate, and the fastest of the rounds counts, so that what else runs on the
machine hurts neither more. Weights are random: time does not depend on them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from bfloat16 import has_bfloat16
from PIL import Image
from released_maps import SCALES, released_loop

from c2am_plugin.crf.dense_crf import cue_crf
from c2am_plugin.files.photos import find_images, read_photo
from c2am_plugin.network.boundaries import otsu
from c2am_plugin.network.inference import fast_copy
from c2am_plugin.network.maps import released_map
from c2am_plugin.network.model import C2AM
from c2am_plugin.network.stream import Network, Stream
from c2am_plugin.training.devices import pick_device

ROUNDS = 2
NETWORKS = (("squeezenet1_0", 8), ("resnet50", 16))


def rows(images: Path | None = None, count: int = 4) -> list[tuple[str, ...]]:
    """(work, ours, reference, ratio, agreement) for the table of benchmarks."""
    with tempfile.TemporaryDirectory() as folder:
        if images is None:
            images = Path(folder)
            _generate(images, count)
        paths = dict(list(find_images(images).items())[:count])
        return [
            row
            for backbone, stride in NETWORKS
            for row in _compare(_network(backbone, stride), paths, f"{backbone}/{stride}")
        ]


def _compare(model: C2AM, paths: dict[str, Path], name: str) -> list[tuple[str, ...]]:
    device = next(model.parameters()).device
    workers = torch.get_num_threads()
    size = 1 if device.type == "cpu" else 8
    kinds = {"float32": False, **({"bfloat16": True} if has_bfloat16(device) else {})}
    ways = {
        kind: Stream(Network(fast_copy(model, bf16=bf16), SCALES), paths, size, workers, False)
        for kind, bf16 in kinds.items()
    }
    seconds = dict.fromkeys(("plain", *ways), float("inf"))
    maps: dict[str, dict[str, np.ndarray]] = {}
    for _ in range(ROUNDS):
        start = time.perf_counter()
        maps["plain"] = {
            image_id: released_loop(model, read_photo(path), False)[1]
            for image_id, path in paths.items()
        }
        seconds["plain"] = min(seconds["plain"], time.perf_counter() - start)
        for kind, stream in ways.items():
            start = time.perf_counter()
            outcome = stream(lambda _, __, logits: released_map(logits, False)[1], list(paths), "")
            seconds[kind] = min(seconds[kind], time.perf_counter() - start)
            if outcome.failures:
                raise SystemExit(f"bench_maps: {outcome.failures}")
            maps[kind] = outcome.results
    rate = {kind: f"{len(paths) / value:.2f} images/s" for kind, value in seconds.items()}
    return [
        (
            f"maps, {name}, {device.type}, {kind}",
            rate[kind],
            f"{rate['plain']} (released loop)",
            f"{seconds['plain'] / seconds[kind]:.2f}×",
            _agreement(maps[kind], maps["plain"], paths),
        )
        for kind in ways
    ]


def _agreement(
    ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], paths: dict[str, Path]
) -> str:
    """Of the maps, and of the hard cues that come of them: Otsu's boundary, then the dense CRF."""
    difference = max(float(np.abs(ours[name] - theirs[name]).max()) for name in theirs)
    ious = []
    for name, path in paths.items():
        cues = [
            cue_crf(read_photo(path), each[name][0] > otsu(each[name][0]))
            for each in (ours, theirs)
        ]
        ious.append(np.logical_and(*cues).sum() / max(1, np.logical_or(*cues).sum()))
    return f"maximum difference {difference:.1e}; IoU of the cues at least {min(ious):.5f}"


def _network(backbone: str, stride: int) -> C2AM:
    """Random weights, with a head whose logits are of both signs, as a trained one's are."""
    torch.manual_seed(0)
    model = C2AM(backbone, stride).to(pick_device()).eval()
    with torch.no_grad():
        model.train()
        model.logits(torch.randn(4, 3, 128, 128, device=pick_device()))
    return model.eval()


def _generate(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        image = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
        image.save(folder / f"{index}.jpg", quality=90)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for row in rows(folder, int(sys.argv[2]) if len(sys.argv) > 2 else 4):
        print(" | ".join(row), flush=True)
