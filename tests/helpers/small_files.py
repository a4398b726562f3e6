"""Small CAMs, pictures and folders for the tests."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
from PIL import Image


def smooth_maps(rng, classes, height, width):
    """K CAMs with a peak of 1 each, float32, as a division by the maximum leaves them."""
    y, x = np.mgrid[:height, :width]
    centres = rng.random((classes, 2, 1, 1)) * [[[height]], [[width]]]
    distance = (y - centres[:, 0]) ** 2 + (x - centres[:, 1]) ** 2
    maps = np.exp(-distance / (0.05 * height * width)) * 0.95 + rng.random((height, width)) * 0.05
    return (maps / maps.max(axis=(1, 2), keepdims=True)).astype(np.float32)


def contents(folder, without=None):
    """{name below the folder: bytes} of its files, but for those of a suffix."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in files if path.suffix != without
    }


def write_png(path, pixels, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels).astype(dtype)).save(path)


def touch(folder, *names, content="x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def files(folder):
    """{name below the folder: bytes} of everything in it, hidden files as well. A run that is at
    work may take a temporary file away between two looks."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with contextlib.suppress(FileNotFoundError):
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def results(folder):
    """What a user sees of the results: no hidden file, no report (which has the seconds in it)."""
    return {
        name: data
        for name, data in files(folder).items()
        if not Path(name).name.startswith(".") and not name.endswith(".json")
    }
