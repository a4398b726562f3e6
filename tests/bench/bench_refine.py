"""Refining against a plain loop and against the floor of reading and writing alone.

    python tests/bench/bench_refine.py [CAM_DIR CUE_DIR]

The same files for all: those given, or 50 generated ones of 500×375 pixels with one to three
classes. Ratios are of medians over interleaved rounds in one run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from c2am_plugin.files.labels import PALETTE
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.runs.memory import keep_freed_memory

ROUNDS = 5
REPEAT = 10
PLAIN_LOOP = """
import sys
import numpy as np
from pathlib import Path
from PIL import Image
cam_dir, cue_dir, out_dir, palette = sys.argv[1:]
palette, t = bytes.fromhex(palette), 0.2
for path in sorted(Path(cam_dir).glob("*.npy")):
    content = np.load(path, allow_pickle=True).item()
    cue = 1 - np.asarray(Image.open(Path(cue_dir, path.stem + ".png"))) / 255
    maps = np.stack(list(content.values())).astype(np.float64)
    top = maps.max(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        new = top * t * (1 - cue) / (top * t * (1 - cue) + (1 - top) * cue * (1 - t))
        maps = np.nan_to_num(maps * new / top)
    np.save(Path(out_dir, path.name), {k: m.astype("f4") for k, m in zip(content, maps)})
    ids = np.array([0, *(int(k) + 1 for k in content)], np.uint8)
    label = ids[np.concatenate([np.full((1, *top.shape), t), maps]).argmax(axis=0)]
    image = Image.fromarray(label)
    image.putpalette(palette)
    image.save(Path(out_dir, path.stem + ".png"))
"""


def rows(cam_dir: Path | None = None, cue_dir: Path | None = None) -> list[tuple[str, ...]]:
    """(work, ours, reference, ratio, agreement) for the table of benchmarks."""
    keep_freed_memory()  # as the command does
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        if cam_dir is None or cue_dir is None:
            cam_dir, cue_dir = _generate(base)
        count = len(list(cam_dir.glob("*.npy")))
        more_cams, more_cues = _repeated(cam_dir, cue_dir, base)
        ways: dict[str, Callable[[], object]] = {
            "floor": lambda: _floor(cam_dir, base / "floor"),
            "floor with cues": lambda: _floor(cam_dir, base / "floor", cue_dir),
            "plain loop": lambda: _plain_in_process(cam_dir, cue_dir, base / "plain"),
            "1 worker": lambda: _ours(cam_dir, cue_dir, base, 1),
            "2 threads": lambda: _ours(cam_dir, cue_dir, base, 2),
            "1 worker, many": lambda: _ours(more_cams, more_cues, base / "many", 1),
            "2 processes": lambda: _ours(more_cams, more_cues, base / "many", 2),
            "plain process": lambda: _plain_process(cam_dir, cue_dir, base / "process"),
            "our process": lambda: _our_process(cam_dir, cue_dir, base),
        }
        seconds = _interleaved(ways)
        same = _agreement(base / "plain", base / "labels-2")
    of = {
        name: count * (REPEAT if name in ("1 worker, many", "2 processes") else 1) for name in ways
    }
    rate = {name: f"{of[name] / value:.0f} images/s" for name, value in seconds.items()}

    def row(work: str, ours: str, reference: str, agreement: str = "") -> tuple[str, ...]:
        ratio = seconds[reference] / seconds[ours]
        return (work, rate[ours], f"{rate[reference]} ({reference})", f"{ratio:.2f}×", agreement)

    return [
        row("refine + labels, 1 worker : plain loop", "1 worker", "plain loop", same),
        row("refine + labels, 1 worker : floor", "1 worker", "floor", "reads and writes only"),
        row(
            "refine + labels, 1 worker : floor with cues",
            "1 worker",
            "floor with cues",
            "reads and writes only",
        ),
        row("refine + labels, 2 workers", "2 threads", "1 worker", "threads, so few files"),
        row(f"refine + labels, {REPEAT}× the files", "2 processes", "1 worker, many", "processes"),
        row("c2am-refine, whole process, 2 workers", "our process", "plain process"),
    ]


def _generate(base: Path) -> tuple[Path, Path]:
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    cam_dir, cue_dir = base / "cams", base / "cues"
    cam_dir.mkdir()
    cue_dir.mkdir()
    for index in range(50):
        maps = gaussian_filter(rng.standard_normal((1 + index % 3, 375, 500)), (0, 25, 25))
        maps = (maps.clip(0) / maps.max(axis=(1, 2), keepdims=True)).astype(np.float32)
        np.save(cam_dir / f"{index:04}.npy", dict(enumerate(maps)), allow_pickle=True)  # type: ignore[arg-type]
        cue = maps.max(axis=0) + gaussian_filter(rng.standard_normal((375, 500)), 5) > 0.3
        Image.fromarray(cue.astype(np.uint8) * 255).save(cue_dir / f"{index:04}.png")
    return cam_dir, cue_dir


def _repeated(cam_dir: Path, cue_dir: Path, base: Path) -> tuple[Path, Path]:
    """The same files under several names: so many that processes pay."""
    folders = base / "many-cams", base / "many-cues"
    for source, target in zip((cam_dir, cue_dir), folders, strict=True):
        target.mkdir()
        for path in source.iterdir():
            for index in range(REPEAT):
                (target / f"{path.stem}-{index}{path.suffix}").symlink_to(path.resolve())
    return folders


def _floor(cam_dir: Path, out: Path, cue_dir: Path | None = None) -> None:
    out.mkdir(exist_ok=True)
    for path in sorted(cam_dir.glob("*.npy")):
        if cue_dir is not None:
            np.asarray(Image.open(cue_dir / f"{path.stem}.png"))
        content = np.load(path, allow_pickle=True).item()
        np.save(out / path.name, content, allow_pickle=True)
        label = (next(iter(content.values())) > 0.2).astype(np.uint8)
        image = Image.fromarray(label)
        image.putpalette(PALETTE)
        image.save(out / f"{path.stem}.png", compress_level=1)


def _plain_in_process(cam_dir: Path, cue_dir: Path, out: Path) -> None:
    out.mkdir(exist_ok=True)
    argv = sys.argv
    sys.argv = ["plain", str(cam_dir), str(cue_dir), str(out), PALETTE.hex()]
    try:
        exec(compile(PLAIN_LOOP, "plain", "exec"), {})
    finally:
        sys.argv = argv


def _plain_process(cam_dir: Path, cue_dir: Path, out: Path) -> None:
    out.mkdir(exist_ok=True)
    arguments = [str(cam_dir), str(cue_dir), str(out), PALETTE.hex()]
    subprocess.run([sys.executable, "-c", PLAIN_LOOP, *arguments], check=True)


def _ours(cam_dir: Path, cue_dir: Path, base: Path, workers: int) -> None:
    refine_cams(
        cam_dir,
        cue_dir,
        base / f"out-{workers}",
        method="psa",
        labels=base / f"labels-{workers}",
        workers=workers,
        overwrite=True,
        progress=False,
    )


def _our_process(cam_dir: Path, cue_dir: Path, base: Path) -> None:
    code = "import sys; from c2am_plugin.cli import refine_main; sys.exit(refine_main())"
    options = ["-o", str(base / "out-p"), "--labels", str(base / "labels-p"), "--overwrite"]
    subprocess.run(
        [sys.executable, "-c", code, str(cam_dir), str(cue_dir), *options, "--workers", "2"],
        check=True,
        capture_output=True,
    )


def _interleaved(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def _agreement(plain: Path, ours: Path) -> str:
    equal = total = 0
    for path in plain.glob("*.png"):
        same = np.asarray(Image.open(path)) == np.asarray(Image.open(ours / path.name))
        equal, total = equal + int(same.sum()), total + same.size
    return f"{equal / total:.4%} of labels equal"


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:3]]
    for line in rows(*folders):
        print(" | ".join(line))
