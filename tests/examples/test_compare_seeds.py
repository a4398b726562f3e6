"""examples/compare_seeds.py: what it counts, and the whole of it on three small images."""

from __future__ import annotations

import sys
from pathlib import Path

import compare_seeds
import numpy as np
import pytest
from PIL import Image
from small_files import write_png

COMMAND = Path(sys.executable).with_name("c2am-refine")


def test_what_is_counted():
    truth = np.array([[0, 0, 3, 3, 3, 255, 255, 0, 5]])
    label = np.array([[0, 3, 3, 5, 0, 3, 255, 255, 255]])
    assert compare_seeds.count(label, truth).tolist() == [3, 1, 2, 1, 2]
    assert compare_seeds.row("psa", np.array([3, 1, 2, 1, 2]), np.array([0, 0, 3, 3, 4])) == (
        "| psa | 42.9 → 0.0 | 33.3 → 0.0 | 28.6 → 42.9 | 50.0 → 100.0 | 28.6 → 57.1 |"
    )


@pytest.mark.slow
def test_a_table_of_five_formats_and_a_picture(tmp_path, monkeypatch, capfd):
    if not COMMAND.exists():
        pytest.skip("the package is not installed here")
    inside = np.zeros((48, 64), bool)
    inside[12:36, 16:48] = True
    rows, columns = np.mgrid[:48, :64]
    cam = np.exp(-((rows - 24) ** 2 + (columns - 24) ** 2) / 150)[None]
    for index in range(3):
        photo = np.where(inside[..., None], (200, 90, 40), (30, 60 + 20 * index, 90))
        path = tmp_path / "JPEGImages" / f"{index}.jpg"
        write_png(path, photo)
        write_png(tmp_path / "SegmentationClass" / f"{index}.png", inside * 8)
        write_png(tmp_path / "cues" / f"{index}.png", inside * 255)
        (tmp_path / "cams").mkdir(exist_ok=True)
        np.savez(tmp_path / "cams" / f"{index}.npz", keys=[7], cam=cam.astype(np.float16))
    arguments = [tmp_path, tmp_path / "cues", "-o", tmp_path / "out", "--show", "2"]
    monkeypatch.setattr(sys, "argv", ["compare_seeds", *map(str, arguments)])
    compare_seeds.main()
    table = [line.strip("| ").split(" | ") for line in capfd.readouterr().out.splitlines()[2:]]
    assert sorted(cells[0] for cells in table) == ["advcam", "psa", "puzzlecam", "sc_cam", "seam"]
    for cells in table:
        foreground, right, *_, ignored = (
            [float(number) for number in cell.split(" → ")] for cell in cells[1:]
        )
        assert foreground[1] > foreground[0]
        assert right[1] > 95
        assert ignored[1] < ignored[0]
    with Image.open(tmp_path / "out" / "seeds.png") as image:
        assert image.width > 12 * 150
