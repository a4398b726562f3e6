"""examples/compare_saliency.py: its probabilities, and the whole of it on a few drawn images."""

from __future__ import annotations

import compare_saliency
import numpy as np
import pytest
from PIL import Image
from small_files import write_png


def test_a_cue_without_information_leaves_the_prior():
    assert compare_saliency.probability(np.array([0.2]), 0.3) == pytest.approx(0.3)
    # Odds of t over odds of b are the evidence: 0.25/(1/19) = 4.75 times the prior's odds.
    assert compare_saliency.probability(np.array([0.05]), 0.5) == pytest.approx(4.75 / 5.75)


@pytest.mark.slow
def test_better_cues_have_better_rows(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "cams").mkdir()
    (tmp_path / "JPEGImages").mkdir()
    y, x = np.mgrid[:40, :48]
    for index in range(4):
        truth = (y - 20) ** 2 + (x - 16 - 4 * index) ** 2 < 13**2
        cam = np.clip(truth * 0.5 + rng.normal(0.15, 0.15, truth.shape), 0, 1)[None]
        np.savez(tmp_path / "cams" / f"{index}.npz", keys=[index], cam=cam / cam.max())
        pixels = np.where(truth[..., None], (220, 120, 60), (30, 60, 90)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "JPEGImages" / f"{index}.jpg")
        write_png(tmp_path / "SegmentationClass" / f"{index}.png", truth * (index + 1))
        for name, wrong in (("good", 0.1), ("bad", 0.4)):
            flipped = truth ^ (rng.random(truth.shape) < wrong)
            write_png(tmp_path / name / f"{index}.png", np.where(flipped, 230, 25))
    names = [f"{name}={tmp_path / name},{tmp_path / name}" for name in ("bad", "good")]
    monkeypatch.setattr("sys.argv", ["compare_saliency.py", str(tmp_path), *names])
    compare_saliency.main()
    lines = [line.split("|") for line in capsys.readouterr().out.splitlines() if line]
    bad, good = ([float(cell.split()[0]) for cell in line[2:-1]] for line in (lines[2], lines[3]))
    assert good[2] > bad[2]  # the labels of fitted cues
    (bad, good) = ([float(cell.split()[0]) for cell in line[2:-1]] for line in (lines[6], lines[7]))
    assert good[4] > 0.85 > 0.65 > bad[4]  # AUC
    assert bad[1] < bad[0]  # fitting a cue that says too much makes it mean more of what it says
