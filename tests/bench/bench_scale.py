"""What a run costs as the number of images grows: start-up, memory, time.

    python tests/bench/bench_scale.py [COUNT …]

Refines COUNT (1,000, 10,000 and 100,000) small CAM files, 24×32 pixels with one class, and prints
seconds until the first image, images/s and the peak memory of the run and of its workers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

COUNTS = (1_000, 10_000, 100_000)
LINKS = 10_000
RUN = """
import json, os, sys, time
from pathlib import Path
start = time.perf_counter()
from c2am_plugin.refine import run as refine
began = []
run_images = refine.run_images
def note(*arguments, **options):
    began.append(time.perf_counter() - start)
    return run_images(*arguments, **options)
refine.run_images = note
cam_dir, cue_dir, out, workers = sys.argv[1:]
report = refine.refine_cams(
    cam_dir, cue_dir, out, method="psa", workers=int(workers), progress=False
)
again = time.perf_counter()
refine.refine_cams(cam_dir, cue_dir, out, method="psa", workers=int(workers), progress=False)
seconds = time.perf_counter() - again
def peak(process):
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
print(json.dumps({
    "start": began[0],
    "refined": report.refined,
    "rate": report.images_per_second,
    "nothing left to do": seconds,
    "run": peak("self"),
    "worker": max(map(peak, children)),
}))
"""


def make(base: Path, count: int) -> tuple[Path, Path]:
    """CAM files and cues; links of a few, as one file may have 65,000 names."""
    cam_dir, cue_dir = base / "cams", base / "cues"
    cam_dir.mkdir()
    cue_dir.mkdir()
    rng = np.random.default_rng(0)
    cam = rng.random((24, 32)).astype(np.float32)
    np.save(base / "first.npy", {3: cam / cam.max()}, allow_pickle=True)  # type: ignore[arg-type]
    Image.fromarray((cam > 0.5).astype(np.uint8) * 255).save(base / "first.png")
    for index in range(count):
        for folder, suffix in ((cam_dir, ".npy"), (cue_dir, ".png")):
            original = base / f"{index // LINKS}{suffix}"
            if not original.exists():
                shutil.copyfile(base / f"first{suffix}", original)
            os.link(original, folder / f"{index:012}{suffix}")
    return cam_dir, cue_dir


def measure(count: int, workers: int = 2) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        cam_dir, cue_dir = make(base, count)
        arguments = [str(cam_dir), str(cue_dir), str(base / "out"), str(workers)]
        start = time.perf_counter()
        answer = subprocess.run(
            [sys.executable, "-c", RUN, *arguments], check=True, capture_output=True, text=True
        )
        found: dict[str, float] = json.loads(answer.stdout)
        found["seconds"] = time.perf_counter() - start
        return found


if __name__ == "__main__":
    print("images | start, s | images/s | a second run, s | memory of the run | of a worker, MiB")
    for argument in map(int, sys.argv[1:] or COUNTS):
        found = measure(argument)
        assert found["refined"] == argument
        print(
            f"{argument:,} | {found['start']:.2f} | {found['rate']:.0f} | "
            f"{found['nothing left to do']:.2f} | {found['run']:.0f} | {found['worker']:.0f}",
            flush=True,
        )
