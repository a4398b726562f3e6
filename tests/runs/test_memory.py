"""Memory that is kept by the process, where its C library can be told so."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from c2am_plugin.runs.memory import keep_freed_memory, return_holes


@pytest.fixture
def library(monkeypatch):
    """Puts something in the place of the C library, and calls anew."""

    def use(found):
        monkeypatch.setattr(ctypes, "CDLL", found)
        keep_freed_memory.__wrapped__()
        return_holes()

    return use


def test_glibc_is_told_to_keep_everything_in_one_arena(library):
    told = []
    library(lambda name: SimpleNamespace(mallopt=lambda *pair: told.append(pair)))
    assert told == [(-4, 0), (-1, 2**31 - 1), (-8, 1)]


@pytest.mark.parametrize("error", [TypeError, OSError])
def test_other_systems_are_left_alone(library, error):
    """Windows has no library of no name (TypeError); musl and macOS have no mallopt."""

    def none(name):
        raise error("no library")

    library(none)
    library(lambda name: SimpleNamespace())


FREED = """
import sys
import numpy as np

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024

cams, cues, out, caller = sys.argv[1:]
if caller == "command":
    from c2am_plugin.cli import refine_main
    assert refine_main([cams, cues, "--out", out, "--workers", "2"]) == 0
else:
    from c2am_plugin.refine.run import refine_cams
    assert refine_cams(cams, cues, out, workers=2, progress=False).refined == 20
before = resident()
memory = np.ones(400 << 17)  # 400 MiB
assert resident() - before > 350
del memory
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says what is resident")
@pytest.mark.parametrize(("caller", "kept"), [("library", False), ("command", True)])
def test_the_library_leaves_the_memory_of_its_callers_alone(make_set, tmp_path, caller, kept):
    cams, cues = make_set(ids=[f"{i:02d}" for i in range(20)])
    call = [sys.executable, "-c", FREED, str(cams), str(cues), str(tmp_path / "out"), caller]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    assert (int(done.stdout.split()[-1]) > 200) == kept


RUN = """
import io
import numpy as np
from PIL import Image
from items import named
from c2am_plugin.runs.parallel import run_images

SHAPES = [(375, 500), (500, 375), (333, 500), (500, 334)]
def png(shape):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 2, shape, dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()
PNGS = [png(shape) for shape in SHAPES]

def work(item):
    number = int(item.image_id)
    cue = np.asarray(Image.open(io.BytesIO(PNGS[number % 4])))
    maps = np.stack([cue.astype(np.float32)] * (1 + number % 3))
    counts = np.zeros(27_000, np.int64)
    counts[:160] = maps.max()
    index = np.flatnonzero(counts).astype(np.int32)
    return index, counts[index].astype(np.int32)

def size():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

run_images(work, named(map(str, range(100))), workers=1, progress=False)
before = size()
kept = run_images(work, named(map(str, range(1000))), workers=1, progress=False)
print((size() - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_small_results_do_not_pin_the_memory_of_large_arrays():
    """They come to lie where large arrays were, and what is left there fits no other."""
    helpers = str(Path(__file__).parents[1] / "helpers")
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": helpers},
    )
    assert int(done.stdout) < 20  # MiB, of which the results take 1
