from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from c2am_plugin.cams import ImageCams
from c2am_plugin.files.cues import write_cue
from c2am_plugin.refine.calibration import (
    Calibration,
    calibrate_cues,
    count_sure_pixels,
    image_trust,
)
from c2am_plugin.refine.formula import refine
from c2am_plugin.refine.run import refine_cams

T = 0.2


def scene(seed: int, cue_of: str = "object") -> tuple[ImageCams, np.ndarray]:
    """An object, its incomplete CAM, and a noisy soft cue b of it, of nothing, or the opposite."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :64]
    inside = (rows - 24) ** 2 + (columns - 20 - 8 * (seed % 3)) ** 2 < 15**2
    half = inside & (rows < 24)
    maps = np.where(half, 0.9, np.where(inside, 0.15, 0.05))[None].astype(np.float32)
    side = {"object": inside, "nothing": rng.random(inside.shape) < 0.3, "opposite": ~inside}[
        cue_of
    ]
    log_odds = np.where(side, 1.0, -1.0) + rng.normal(0, 0.8, inside.shape)
    return ImageCams(f"{seed}", np.array([3]), maps), (1 / (1 + np.exp(log_odds))).astype(
        np.float32
    )


def fit_of(cue_of: str) -> Calibration:
    return calibrate_cues(count_sure_pixels(*scene(seed, cue_of), T) for seed in range(6))


def test_a_cue_that_agrees_is_evidence_in_its_direction() -> None:
    fit = fit_of("object")
    assert fit.slope > 0.5
    assert 0.8 < fit.accuracy < 0.99
    assert fit.limit == pytest.approx(np.log(fit.accuracy / (1 - fit.accuracy)))
    cams, cue = scene(9)
    adjusted = fit.apply(cams, cue, T)
    assert adjusted.dtype == np.float32
    order = np.argsort(cue, axis=None)
    assert np.all(np.diff(adjusted.ravel()[order]) >= 0)
    # The object's other half, where the CAM was below t, is won.
    refined = refine(cams.maps, adjusted, T)
    lower = (np.mgrid[:48, :64][0] >= 24) & (cams.maps[0] > 0.1)
    assert (refined[0][lower] > T).mean() > 0.6 > (cams.maps[0][lower] > T).mean()


def test_no_pixel_is_trusted_beyond_the_limit() -> None:
    fit = fit_of("object")
    cams, _ = scene(1)
    for extreme in (0.0, 1.0):
        cue = np.where(cams.maps[0] > T, 0, 1).astype(np.float32)
        cue[0, 0] = extreme
        b = fit.apply(cams, cue, T).astype(np.float64)
        odds = (b / (1 - b)) / (T / (1 - T))
        assert np.abs(np.log(odds)).max() <= fit.limit + 1e-5


@pytest.mark.parametrize("cue_of", ["nothing", "opposite"])
def test_useless_cues_leave_the_cams_as_they_are(cue_of: str) -> None:
    fit = fit_of(cue_of)
    cams, cue = scene(2, cue_of)
    refined = refine(cams.maps, fit.apply(cams, cue, T), T)
    if cue_of == "opposite":
        assert fit == Calibration(0.0, 0.0, 0.0, 0.5)
        assert np.array_equal(refined, cams.maps)
    assert np.array_equal(refined > np.float32(T), cams.maps > np.float32(T))


def test_one_image_with_a_contradicting_cue_is_left_alone() -> None:
    fit = fit_of("object")
    cams, cue = scene(3, "opposite")
    assert image_trust(cams, cue, T) == 0
    assert np.array_equal(refine(cams.maps, fit.apply(cams, cue, T), T), cams.maps)


def test_trust_is_twice_the_auc_less_one() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((1, 9, 11)).astype(np.float32)
    cue = (rng.integers(0, 256, (9, 11)) / 255).astype(np.float32)
    foreground = maps[0] > T
    above, below = 1 - cue[foreground], 1 - cue[~foreground]
    pairs = (above[:, None] > below) + 0.5 * (above[:, None] == below)
    expected = max(0.0, 2 * pairs.mean() - 1)
    assert image_trust(ImageCams("x", np.array([0]), maps), cue, T) == pytest.approx(expected)


def test_both_sides_weigh_the_same_however_large_they_are() -> None:
    counts = count_sure_pixels(*scene(0), T)
    many = counts * np.array([[1000], [1]])
    one, other = calibrate_cues([counts]), calibrate_cues([many])
    assert one.slope == pytest.approx(other.slope)
    assert one.accuracy == pytest.approx(other.accuracy)


def test_images_without_a_class_and_sets_with_one_side_say_nothing() -> None:
    empty = ImageCams("x", np.zeros(0, int), np.zeros((0, 0, 0), np.float32))
    cue = np.full((4, 4), 0.3, np.float32)
    assert count_sure_pixels(empty, cue, T).sum() == 0
    assert calibrate_cues([count_sure_pixels(empty, cue, T)]).limit == 0
    assert image_trust(empty, cue, T) == 0


def write_set(folder: Path, cue_of: str, soft: bool) -> tuple[Path, Path]:
    cams, cues = folder / "cams", folder / "cues"
    cams.mkdir()
    for seed in range(6):
        image, cue = scene(seed, cue_of)
        np.save(cams / f"{seed}.npy", {3: image.maps[0]}, allow_pickle=True)  # type: ignore[arg-type]
        write_cue(cues / f"{seed}.png", 1 - cue if soft else cue < 0.5)
    return cams, cues


def test_the_numbers_are_the_same_on_machines_whose_last_bit_differs() -> None:
    counts = sum(count_sure_pixels(*scene(seed, "object"), T) for seed in range(6))
    fit = calibrate_cues([counts])
    assert fit == calibrate_cues([counts * 3])  # the same shares, by another way of rounding
    for number in astuple(fit)[:4]:
        assert number == round(number, 6)


def test_our_soft_cues_are_calibrated_and_hard_ones_are_not(tmp_path: Path) -> None:
    for soft in (True, False):
        folder = tmp_path / str(soft)
        folder.mkdir()
        cams, cues = write_set(folder, "object", soft)
        outs = {}
        for mode in ("auto", "on", "off"):
            outs[mode] = folder / mode
            refine_cams(cams, cues, outs[mode], calibrate=mode, method="psa", progress=False)
        stored = {mode: (out / "2.npy").read_bytes() for mode, out in outs.items()}
        assert stored["auto"] == stored["on" if soft else "off"]
        assert stored["on"] != stored["off"]


def test_useless_soft_cues_change_no_file_and_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cams, cues = write_set(tmp_path, "opposite", soft=True)
    refine_cams(cams, cues, tmp_path / "out", method="psa", progress=False)
    assert "so they change nothing" in caplog.text
    for path in cams.iterdir():
        before = np.load(path, allow_pickle=True).item()
        after = np.load(tmp_path / "out" / path.name, allow_pickle=True).item()
        assert np.array_equal(before[3], after[3])
