"""c2am-cues as a user runs it: photographs and a checkpoint in, cue files out."""

# ruff: noqa: F811
from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_network import GOLDEN, needs_golden
from PIL import Image
from small_cues import SCALES, checkpoint, photos, run  # noqa: F401
from small_files import contents

from c2am_plugin.cli import cues_main
from c2am_plugin.crf.dense_crf import cue_crf
from c2am_plugin.errors import InputError, OutputError
from c2am_plugin.files.cues import read_cue
from c2am_plugin.files.writing import write_json
from c2am_plugin.network import boundaries
from c2am_plugin.network.checkpoint import load_checkpoint, save_checkpoint
from c2am_plugin.network.cue_report import CueReport
from c2am_plugin.network.inference import fast_copy
from c2am_plugin.network.maps import mean_logit, released_map, scale_logits
from c2am_plugin.registry import get_adapter
from c2am_plugin.runs.merging import merge_reports
from c2am_plugin.runs.output_folders import read_record, read_report

pytestmark = pytest.mark.slow


def pixels_of(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


@needs_golden
def test_the_released_cues() -> None:
    stored = np.load(GOLDEN / "cues.npz")
    for i in range(4):
        foreground = stored[f"{i}_map"] > stored[f"{i}_threshold"]
        cue = cue_crf(stored[f"{i}_image"], foreground) * np.uint8(255)
        assert (cue == stored[f"{i}_cue"]).mean() >= 0.999


def test_soft_cues_are_the_networks_odds(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    report = run(photos, checkpoint, tmp_path / "cues", boundary="boundary", soft=True)
    assert report.written == 5
    assert not report.failures
    model = fast_copy(load_checkpoint(checkpoint).model)
    for name, found in pixels_of(tmp_path / "cues").items():
        image = np.asarray(Image.open(photos / f"{name}.png"))
        logit = mean_logit(scale_logits(model, [image], SCALES)[0], True)
        np.testing.assert_allclose(found, 255 / (1 + np.exp(-logit)), atol=0.51)
        assert found.min() < 127 < found.max()


def test_the_bimodal_boundary_is_mid_grey(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    run(photos, checkpoint, tmp_path / "cues", boundary="bimodal")
    model = fast_copy(load_checkpoint(checkpoint).model)
    for name, found in pixels_of(tmp_path / "cues").items():
        image = np.asarray(Image.open(photos / f"{name}.png"))
        logit = mean_logit(scale_logits(model, [image], SCALES)[0], True)
        moved = logit - boundaries.bimodal(logit)
        np.testing.assert_allclose(found, 255 / (1 + np.exp(-moved)), atol=0.51)


@pytest.mark.parametrize("boundary", [0.3, "otsu"])
def test_other_boundaries_cut_the_released_map(
    photos: Path, checkpoint: Path, tmp_path: Path, boundary: float | str
) -> None:
    soft = run(photos, checkpoint, tmp_path / "soft", boundary=boundary, soft=True)
    run(photos, checkpoint, tmp_path / "hard", boundary=boundary, soft=False)
    model = fast_copy(load_checkpoint(checkpoint).model)
    hard = pixels_of(tmp_path / "hard")
    for name, found in pixels_of(tmp_path / "soft").items():
        image = np.asarray(Image.open(photos / f"{name}.png"))
        values = released_map(scale_logits(model, [image], SCALES)[0], True)[1][0]
        tau = boundaries.otsu(values) if boundary == "otsu" else boundary
        np.testing.assert_allclose(found, 255 * boundaries.soft_values(values, tau), atol=0.51)
        assert np.array_equal(hard[name], cue_crf(image, values > tau) * np.uint8(255))
    assert 0 < soft.foreground < 1


def test_agree_takes_the_share_that_made_the_cams(
    photos: Path, checkpoint: Path, tmp_path: Path
) -> None:
    tau, adapter = 0.4, get_adapter("seam")
    run(photos, checkpoint, tmp_path / "x", boundary=tau, soft=True, maps=tmp_path / "maps")
    (tmp_path / "cams").mkdir()
    puzzle = get_adapter("puzzlecam")
    for path in (tmp_path / "maps").glob("*.npy"):
        full = puzzle.parse(puzzle.load(path), path.stem).maps
        cam = boundaries.soft_values(full[0], tau) * 2 * adapter.background_score  # tau → their t
        np.save(tmp_path / "cams" / path.name, {7: cam}, allow_pickle=True)  # type: ignore[arg-type]
    report = run(
        photos,
        checkpoint,
        tmp_path / "cues",
        boundary="agree",
        cams=tmp_path / "cams",
        method="seam",
    )
    assert report.mean_boundary == pytest.approx(tau, rel=0.1)
    assert not list(tmp_path.glob("*logits*")), "what was kept between the passes is removed"


def test_maps_are_stored_in_puzzlecams_layout(
    photos: Path, checkpoint: Path, tmp_path: Path
) -> None:
    run(photos, checkpoint, tmp_path / "cues", maps=tmp_path / "maps")
    model = fast_copy(load_checkpoint(checkpoint).model)
    for path in sorted((tmp_path / "maps").iterdir()):
        content = np.load(path, allow_pickle=True).item()
        assert list(content["keys"]) == [0, 1]
        assert isinstance(content["cam"], torch.Tensor)
        image = np.asarray(Image.open(photos / f"{path.stem}.png"))
        strided, full = released_map(scale_logits(model, [image], SCALES)[0], True)
        np.testing.assert_allclose(content["cam"].numpy(), strided, atol=1e-5)
        np.testing.assert_allclose(content["hr_cam"], full, atol=1e-5)


@pytest.mark.parametrize("boundary", ["otsu", "bimodal", "agree"])
def test_an_interrupted_run_continues_to_the_same_bytes(
    photos: Path, checkpoint: Path, tmp_path: Path, boundary: str
) -> None:
    options = {"boundary": boundary, "polarity": "border"}
    if boundary == "agree":
        run(photos, checkpoint, tmp_path / "x", boundary=0.3, maps=tmp_path / "cams")
        options |= {"cams": tmp_path / "cams"}
    run(photos, checkpoint, tmp_path / "cues", **options)
    whole = contents(tmp_path / "cues")
    for name in ("img_1.png", "img_4.png"):
        (tmp_path / "cues" / name).unlink()
    kept = (tmp_path / "cues" / "img_0.png").stat().st_mtime_ns
    again = run(photos, checkpoint, tmp_path / "cues", **options)
    assert (again.written, again.already_there) == (2, 3)
    assert contents(tmp_path / "cues") == whole
    assert (tmp_path / "cues" / "img_0.png").stat().st_mtime_ns == kept
    assert "are already done" in run(photos, checkpoint, tmp_path / "cues", **options).summary()


def test_batches_and_workers_change_nothing(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    run(photos, checkpoint, tmp_path / "alone", workers=1, batch_size=1)
    run(photos, checkpoint, tmp_path / "together", workers=2, batch_size=2)
    alone, together = pixels_of(tmp_path / "alone"), pixels_of(tmp_path / "together")
    assert alone.keys() == together.keys()
    for name, found in together.items():
        assert np.abs(found.astype(int) - alone[name]).max() <= 1


def test_polarity_turns_the_cues(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = {"boundary": "boundary", "soft": True}
    for polarity in ("auto", "flip", "keep"):
        run(photos, checkpoint, tmp_path / polarity, polarity=polarity, **options)
    auto, flip, keep = (pixels_of(tmp_path / name) for name in ("auto", "flip", "keep"))
    for name in auto:
        assert np.array_equal(auto[name], flip[name]), "the checkpoint says that P is background"
        np.testing.assert_allclose(keep[name], 255.0 - flip[name], atol=1)
    report = run(photos, checkpoint, tmp_path / "border", polarity="border", **options)
    assert report.polarity["n_images"] == 5
    assert 0 <= report.polarity["margin"] <= 1


def test_a_silent_checkpoint_is_measured(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    save_checkpoint(tmp_path / "silent.pt", loaded.model, None, {})
    report = run(photos, tmp_path / "silent.pt", tmp_path / "cues")
    assert (report.polarity["rule"], report.polarity["n_images"]) == ("border", 5)


def test_scales_are_those_of_training(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "small.pt", load_checkpoint(checkpoint).model, True, {"resize": 64})
    report = run(photos, tmp_path / "small.pt", tmp_path / "default", scales=None)
    assert report.scales == (48, 64, 96)
    run(photos, tmp_path / "small.pt", tmp_path / "given", scales=(48, 64, 96))
    assert contents(tmp_path / "given") == contents(tmp_path / "default")


def test_fast_is_the_one_scale_of_training(
    photos: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "small.pt", load_checkpoint(checkpoint).model, True, {"resize": 256})
    report = run(photos, tmp_path / "small.pt", tmp_path / "fast", scales=None, fast=True)
    assert report.scales == (0.5,)
    run(photos, tmp_path / "small.pt", tmp_path / "given", scales=(0.5,))
    assert contents(tmp_path / "given") == contents(tmp_path / "fast")
    arguments = [str(photos), "--checkpoint", str(checkpoint), "-o", str(tmp_path / "cues")]
    with pytest.raises(SystemExit) as stop:
        cues_main([*arguments, "--fast", "--scales", "1"])
    assert stop.value.code == 2
    assert cues_main([*arguments, "--fast", "--quiet"]) == 0
    capsys.readouterr()


def test_one_bad_photograph_does_not_stop_the_others(
    photos: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no photograph")
    arguments = [str(folder), "--checkpoint", str(checkpoint), "-o", str(tmp_path / "cues")]
    assert cues_main([*arguments, "--scales", "0.5", "--batch-size", "2"]) == 1
    message = capsys.readouterr().err
    assert "broken.jpg: cannot be read as an image" in message
    assert "1 images failed" in message
    stored = json.loads((tmp_path / "cues.c2am-cues.json").read_text())
    assert list(stored["report"]["failures"]) == ["broken"]
    assert len(list((tmp_path / "cues").iterdir())) == 5
    (folder / "broken.jpg").write_bytes((photos / "img_0.png").read_bytes())
    assert cues_main([*arguments, "--scales", "0.5", "--batch-size", "2"]) == 0
    assert read_cue(tmp_path / "cues" / "broken.png").shape == (48, 64)


def test_other_settings_do_not_mix(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    run(photos, checkpoint, tmp_path / "cues", boundary=0.3)
    before = contents(tmp_path / "cues")
    with pytest.raises(OutputError, match=r"boundary 0\.3 then, 0\.4 now"):
        run(photos, checkpoint, tmp_path / "cues", boundary=0.4)
    assert contents(tmp_path / "cues") == before
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "img_0.npy").write_bytes(b"somebody's")
    with pytest.raises(OutputError, match="maps"):
        run(photos, checkpoint, tmp_path / "cues", boundary=0.3, maps=tmp_path / "maps")
    assert contents(tmp_path / "cues") == before
    assert run(photos, checkpoint, tmp_path / "cues", boundary=0.4, overwrite=True).written == 5


def test_wrong_inputs_are_one_line_and_write_nothing(
    photos: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.pt").write_text("no checkpoint")
    (tmp_path / "empty").mkdir()
    good = {"images": str(photos), "checkpoint": str(checkpoint)}
    for wrong, extra, expected in (
        ({"images": str(tmp_path / "nowhere")}, [], "nowhere"),
        ({"images": str(tmp_path / "empty")}, [], "contains no image"),
        ({"checkpoint": str(tmp_path / "text.pt")}, [], "text.pt"),
        ({"checkpoint": str(tmp_path / "none.pt")}, [], "no such file"),
        ({}, ["--scales", "20"], "scale 20"),
        ({}, ["--maps", str(photos / "maps")], "inside the input"),
        ({}, ["--maps", str(tmp_path / "cues")], "different folders"),
        ({}, ["--device", "warp"], "warp"),
        ({}, ["--boundary", "agree", "--cams", str(tmp_path / "empty")], "no CAM file"),
    ):
        now = {**good, **wrong}
        out = tmp_path / "cues"
        status = cues_main(
            [now["images"], "--checkpoint", now["checkpoint"], "-o", str(out), *extra]
        )
        message = capsys.readouterr().err
        assert status == 1
        assert expected in message
        assert message.count("\n") == 1, message
        assert not out.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"polarity": "sideways"}, "polarity 'sideways': expected auto"),
        ({"fast": True, "scales": (1.0,)}, "`fast` chooses a scale, so it excludes `scales`"),
        ({"boundary": "agree"}, "need each other; only one is given"),
        ({"cams": "somewhere"}, "need each other; only one is given"),
        ({"boundary": 1.5}, "boundary 1.5: expected"),
        ({"boundary": "best"}, "boundary best: expected"),
        ({"boundary": 0.4, "threshold": 0.4}, "two names of the same argument"),
        ({"workers": 0}, "workers 0: expected 1"),
        ({"batch_size": -1}, "batch_size -1: expected 1"),
        ({"soft": False, "crf_backend": "cuda"}, "'cuda'"),
    ],
)
def test_options_that_the_command_would_not_let_through(
    photos: Path, checkpoint: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run(photos, checkpoint, tmp_path / "cues", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("margin", "warned"), [(0.05, True), (0.9, False), (None, False)])
def test_a_polarity_that_training_did_not_decide_is_reported(
    photos: Path,
    checkpoint: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    margin: float | None,
    warned: bool,
) -> None:
    noted = {"polarity": {"rule": "border", "margin": margin, "n_images": 9, "flag": True}}
    save_checkpoint(tmp_path / "noted.pt", load_checkpoint(checkpoint).model, True, noted)
    with caplog.at_level(logging.WARNING, "c2am_plugin"):
        report = run(photos, tmp_path / "noted.pt", tmp_path / "cues", scales=(0.5,))
    assert ("training left the polarity undecided" in caplog.text) == warned
    assert report.polarity == noted["polarity"]


def test_agree_and_cams_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    for extra in (["--boundary", "agree"], ["--cams", "x"]):
        with pytest.raises(SystemExit) as stop:
            cues_main(["images", "--checkpoint", "x.pt", "-o", "out", *extra])
        assert stop.value.code == 2
        assert "must be given together" in capsys.readouterr().err


def test_cams_of_other_sizes_are_reported(
    photos: Path, checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cams").mkdir()
    np.save(tmp_path / "cams/img_0.npy", {3: np.ones((9, 9), np.float32)}, allow_pickle=True)  # type: ignore[arg-type]
    with (
        caplog.at_level(logging.WARNING, "c2am_plugin"),
        pytest.raises(InputError, match="1 failed"),
    ):
        run(photos, checkpoint, tmp_path / "cues", boundary="agree", cams=tmp_path / "cams")
    assert "img_0.npy: the CAMs have (9, 9) pixels" in caplog.text


def test_shards_make_the_cues_of_one_run(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = {"soft": True, "polarity": "border"}
    whole = run(photos, checkpoint, tmp_path / "whole", **options)
    for shard in ("2/2", "1/2"):
        run(photos, checkpoint, tmp_path / "parts", shard=shard, **options)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    ((command, merged),) = merge_reports(tmp_path / "parts", {"c2am-cues": CueReport})
    assert command == "c2am-cues"
    assert merged.written == whole.written
    assert merged.foreground == pytest.approx(whole.foreground)
    assert merged.polarity == whole.polarity
    assert "wrote" in merged.summary()


def test_more_shards_than_images(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    count = len(list(photos.iterdir())) + 1
    for index in range(1, count + 1):
        run(photos, checkpoint, tmp_path / "cues", shard=f"{index}/{count}")
    ((_, merged),) = merge_reports(tmp_path / "cues", {"c2am-cues": CueReport})
    assert merged.written == count - 1


def test_a_report_that_is_missing_is_written_again(
    photos: Path, checkpoint: Path, tmp_path: Path
) -> None:
    run(photos, checkpoint, tmp_path / "cues")
    record = tmp_path / "cues.c2am-cues.json"
    write_json(record, {"settings": read_record(record)})  # killed before the report
    run(photos, checkpoint, tmp_path / "cues")
    assert read_report(record)


def test_a_shard_cannot_agree_with_all(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = {"boundary": "agree", "cams": tmp_path, "shard": "1/2"}
    with pytest.raises(InputError, match="without `shard`"):
        run(photos, checkpoint, tmp_path / "out", **options)
