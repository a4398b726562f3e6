"""How fast the dense CRF is beside pydensecrf, and how far the two agree.

    python tests/bench/bench_crf.py [--images 12] [--repeats 3]

Photographs of ../shared/data/coco-voc, resized to VOC's commonest sizes, with their C2AM cues as
labels; generated images where the photographs are missing. Times are wall-clock milliseconds an
image, medians of interleaved repeats; on a shared machine only the ratios mean something.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from c2am_plugin.crf.dense_crf import cue_crf, label_crf, softmax_crf, warm_up
from c2am_plugin.runs.memory import keep_freed_memory

DATA = Path(__file__).parents[3] / "shared" / "data" / "coco-voc"
WIDE, TALL = (500, 375), (375, 500)
LABELS = (3, 4, 5, 6)

Work = tuple[np.ndarray, np.ndarray]


def rows(images: int = 12, repeats: int = 3) -> list[tuple[str, ...]]:
    """(work, ours, reference, ratio, agreement), the agreement over all photographs."""
    keep_freed_memory()  # as the commands do
    warm_up()
    everything = photographs() or generated(images)
    work = everything[:: max(1, len(everything) // images)][:images]
    with (
        ProcessPoolExecutor(2, get_context("spawn")) as processes,
        ThreadPoolExecutor(2) as threads,
    ):
        list(processes.map(warm_reference, range(2)))
        ours, reference, ours_twice, reference_twice = interleaved(
            [
                lambda: run(cue_crf, work),
                lambda: run(reference_cue, work),
                lambda: run(cue_crf, work, threads),
                lambda: run(reference_cue, work, processes),
            ],
            repeats,
        )
    labelled = {
        count: [(image, columns(labels, count)) for image, labels in work] for count in LABELS
    }
    labels_seconds = {
        count: interleaved(
            [partial(run, label_crf, pairs), partial(run, reference_label, pairs)], repeats
        )
        for count, pairs in labelled.items()
    }
    soft = [(image, scores(labels)) for image, labels in work]
    ours_soft, reference_soft = interleaved(
        [lambda: run(softmax_crf, soft), lambda: run(reference_softmax, soft)], repeats
    )
    per_image = 1000 / len(work)

    def row(name: str, mine: float, theirs: float, agreement: str = "") -> tuple[str, ...]:
        times = (f"{seconds * per_image:.0f} ms" for seconds in (mine, theirs))
        return (name, *times, f"{theirs / mine:.1f}×", agreement)

    return [
        row("cue CRF, 1 thread : pydensecrf", ours, reference, agreement_of_cues(everything)),
        row("cue CRF, 2 threads : pydensecrf", ours_twice, reference),
        row("cue CRF, 2 threads : pydensecrf, 2 processes", ours_twice, reference_twice),
        *(
            row(f"label CRF, {count} labels", *taken, agreement_of_labels(labelled[count]))
            for count, taken in labels_seconds.items()
        ),
        row("softmax CRF, 3 scores", ours_soft, reference_soft, agreement_of_scores(soft)),
    ]


def interleaved(tasks: list[Callable[[], object]], repeats: int) -> list[float]:
    """The median seconds of each task, all of them run in turn."""
    seconds: list[list[float]] = [[] for _ in tasks]
    for _ in range(repeats):
        for task, taken in zip(tasks, seconds, strict=True):
            start = time.perf_counter()
            task()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def run(crf: Callable[..., Any], work: list[Work], pool: Executor | None = None) -> list[Any]:
    return list((pool.map if pool else map)(crf, *zip(*work, strict=True)))


def reference_cue(image: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    return cue_crf(image, foreground, backend="pydensecrf")


def reference_label(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return label_crf(image, labels, backend="pydensecrf")


def reference_softmax(image: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return softmax_crf(image, probabilities, backend="pydensecrf")


def warm_reference(_: int) -> None:
    keep_freed_memory()
    warm_up("pydensecrf")
    time.sleep(0.5)  # so that each process of the pool takes one


def agreement_of_cues(work: list[Work]) -> str:
    pairs = [(cue_crf(*pair), reference_cue(*pair)) for pair in work]
    ious = [1.0 if not (a | b).any() else (a & b).sum() / (a | b).sum() for a, b in pairs]
    pixels = [int((a != b).sum()) for a, b in pairs]
    return (
        f"{len(work)} images: IoU min {min(ious):.5f}, mean {np.mean(ious):.6f}; "
        f"at most {max(pixels)} pixels differ"
    )


def agreement_of_labels(work: list[Work]) -> str:
    pixels = [int((label_crf(*pair) != reference_label(*pair)).sum()) for pair in work]
    return f"at most {max(pixels)} pixels differ"


def agreement_of_scores(work: list[Work]) -> str:
    gaps = [np.abs(softmax_crf(*pair) - reference_softmax(*pair)).max() for pair in work]
    return f"at most {max(gaps):.0e} apart"


def photographs() -> list[Work]:
    """Each photograph with its cue, or with its brighter half where it has none."""
    return [
        (image := read_image(path), read_cue(path.stem, image))
        for path in sorted((DATA / "JPEGImages").glob("*.jpg"))
    ]


def read_image(path: Path) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    return np.array(image.resize(WIDE if image.width > image.height else TALL))


def read_cue(image_id: str, image: np.ndarray) -> np.ndarray:
    path = DATA / "cues_crf" / f"{image_id}.png"
    if not path.exists():
        grey = image.mean(axis=2)
        return grey > np.median(grey)
    cue = Image.open(path).resize(image.shape[1::-1], Image.Resampling.NEAREST)
    return np.asarray(cue) > 127


def generated(count: int) -> list[Work]:
    """Smooth noise, 375×500, cut at its median."""
    work = []
    for seed in range(count):
        coarse = np.random.default_rng(seed).integers(0, 256, (13, 17, 3), dtype=np.uint8)
        image = np.array(Image.fromarray(coarse).resize(WIDE, Image.Resampling.BICUBIC))
        noise = np.random.default_rng(seed).normal(0, 4, image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
        work.append((image, image[..., 0] > np.median(image[..., 0])))
    return work


def columns(foreground: np.ndarray, count: int) -> np.ndarray:
    """`count` labels: foreground and background, in columns side by side."""
    width = foreground.shape[1]
    column = np.arange(width) * ((count + 1) // 2) // width
    return np.minimum(2 * column + foreground, count - 1)


def scores(foreground: np.ndarray) -> np.ndarray:
    """Three scores a pixel, the shape of two CAMs and their background."""
    noise = np.random.default_rng(0).random((3, *foreground.shape))
    noise[0] += ~foreground
    noise[1] += foreground
    return (noise / noise.sum(axis=0)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=12, help="how many are timed")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for row in rows(options.images, options.repeats):
        print(" | ".join(row))


if __name__ == "__main__":
    main()
