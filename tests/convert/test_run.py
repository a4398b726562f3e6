"""CAM files of every layout written in every other, and read again by the pipelines' own rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adapter_contract import consumed
from small_files import contents, results, smooth_maps

from c2am_plugin import convert_cams
from c2am_plugin.cams import read_cams
from c2am_plugin.cli import convert_main
from c2am_plugin.convert.report import ConvertReport
from c2am_plugin.errors import InputError, OutputError
from c2am_plugin.registry import get_adapter
from c2am_plugin.runs.merging import merge_reports

NAMES = ("psa", "sc_cam", "seam", "puzzlecam", "advcam")


def read(folder, name, image_id="a"):
    return read_cams(get_adapter(name), folder / f"{image_id}.npy", image_id)


@pytest.mark.parametrize("to", NAMES)
@pytest.mark.parametrize("method", NAMES)
def test_there_and_back_is_the_same(make_set, tmp_path, method, to):
    cam_dir, _ = make_set(method)
    convert_cams(cam_dir, tmp_path / "there", to=to, method=method, progress=False)
    convert_cams(tmp_path / "there", tmp_path / "back", to=method, method=to, progress=False)
    for image_id in "abcd":
        before, there, after = (
            read(folder, name, image_id)
            for folder, name in (
                (cam_dir, method),
                (tmp_path / "there", to),
                (tmp_path / "back", method),
            )
        )
        np.testing.assert_array_equal(there.class_ids, before.class_ids)
        np.testing.assert_array_equal(there.maps, before.maps)
        np.testing.assert_array_equal(after.class_ids, before.class_ids)
        np.testing.assert_array_equal(after.maps, before.maps)
        if before.strided is not None and there.strided is not None:
            np.testing.assert_array_equal(after.strided, before.strided)


@pytest.mark.parametrize("to", NAMES)
def test_the_targets_next_stage_reads_the_labels(make_set, tmp_path, to):
    cam_dir, _ = make_set("psa")
    convert_cams(cam_dir, tmp_path / "out", to=to, method="psa", progress=False)
    for image_id in "abcd":
        wanted = consumed("psa", cam_dir / f"{image_id}.npy", 0.2)
        np.testing.assert_array_equal(consumed(to, tmp_path / f"out/{image_id}.npy", 0.2), wanted)


@pytest.mark.parametrize("to", ["puzzlecam", "advcam"])
def test_the_quarter_size_is_made_as_the_pipelines_make_it(tmp_path, to):
    rng = np.random.default_rng(0)
    (tmp_path / "cams").mkdir()
    coarse = torch.tensor(smooth_maps(rng, 2, 12, 17))[None]
    size = (185, 267)
    # Both sizes of one coarse map, each class divided by its maximum.
    full, small = (
        torch.nn.functional.interpolate(coarse, shape, mode="bilinear", align_corners=False)[0]
        for shape in (size, (47, 67))
    )
    full, small = (each / each.amax((1, 2), keepdim=True) for each in (full, small))
    np.save(tmp_path / "cams/a.npy", dict(enumerate(full.numpy())))
    convert_cams(tmp_path / "cams", tmp_path / "out", to=to, method="psa", progress=False)
    content = np.load(tmp_path / "out/a.npy", allow_pickle=True).item()
    assert isinstance(content["cam"], torch.Tensor)
    assert content["cam"].dtype == torch.float32
    # Within the step of a sixteenth of a pixel of the coarse map.
    np.testing.assert_allclose(content["cam"].numpy(), small.numpy(), atol=0.03)
    assert content["cam"].amax((1, 2)).numpy() == pytest.approx(1, abs=1e-5)


def test_folding_gives_the_labels_at_the_targets_own_score(make_set, tmp_path):
    cam_dir, _ = make_set("psa")
    report = convert_cams(
        cam_dir, tmp_path / "out", to="advcam", method="weaktr", fold=True, progress=False
    )
    assert report.background_score == 0.15
    for image_id in "abcd":
        wanted = consumed("psa", cam_dir / f"{image_id}.npy", 0.43)
        found = consumed("advcam", tmp_path / f"out/{image_id}.npy", 0.15)
        np.testing.assert_array_equal(found, wanted)


def test_values_that_stay_are_reported_with_their_score(make_set, tmp_path, capfd):
    cam_dir, _ = make_set("psa")
    out = tmp_path / "out"
    code = convert_main(
        [str(cam_dir), "--to", "advcam", "--method", "weaktr", "-o", str(out), "--workers", "1"]
    )
    told = capfd.readouterr()
    assert code == 0
    assert "compare these CAMs with t = 0.43" in told.out
    assert "compare them with t = 0.43 of weaktr, not with advcam's 0.15" in told.err


def test_folding_without_a_constant_is_refused(make_set, tmp_path):
    cam_dir, _ = make_set("psa")
    with pytest.raises(InputError, match="mctformer has no constant background score"):
        convert_cams(cam_dir, tmp_path / "out", to="irn", method="mctformer", fold=True)
    with pytest.raises(InputError, match="mctformer has no constant background score"):
        convert_cams(cam_dir, tmp_path / "out", to="mctformer", method="psa", fold=True)
    assert not (tmp_path / "out").exists()


def test_a_stored_background_goes_into_the_cams_and_back(make_set, tmp_path):
    rng = np.random.default_rng(5)
    cam_dir, there, back = tmp_path / "cams", tmp_path / "there", tmp_path / "back"
    cam_dir.mkdir()
    maps = smooth_maps(rng, 3, 21, 30)
    content = {"keys": np.array([0, 4, 9]), "IS_CAM": maps}  # channel 0 is the background
    np.save(cam_dir / "a.npy", content)
    wanted = content["keys"][maps.argmax(axis=0)]
    convert_cams(cam_dir, there, to="irn", method="sipe", progress=False)
    np.testing.assert_array_equal(consumed("advcam", there / "a.npy", 0.15), wanted)
    convert_cams(there, back, to="sipe", method="irn", progress=False)
    again = np.load(back / "a.npy", allow_pickle=True).item()
    assert again["keys"].tolist() == [0, 4, 9]
    np.testing.assert_array_equal(again["keys"][again["IS_CAM"].argmax(axis=0)], wanted)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_the_target_gets_its_own_dtype(tmp_path, dtype):
    (tmp_path / "cams").mkdir()
    maps = smooth_maps(np.random.default_rng(0), 2, 20, 24).astype(dtype)
    np.save(tmp_path / "cams/a.npy", dict(enumerate(maps)))
    convert_cams(tmp_path / "cams", tmp_path / "out", to="irn", method="psa", progress=False)
    content = np.load(tmp_path / "out/a.npy", allow_pickle=True).item()
    assert content["high_res"].dtype == np.float32
    np.testing.assert_array_equal(content["high_res"], maps.astype(np.float32))


@pytest.mark.parametrize("to", NAMES)
def test_an_image_without_a_class_stays_one(make_set, tmp_path, to):
    cam_dir, _ = make_set("psa")
    np.save(cam_dir / "none.npy", {})
    report = convert_cams(cam_dir, tmp_path / "out", to=to, method="psa", progress=False)
    assert report.without_class == 1
    assert len(read(tmp_path / "out", to, "none").class_ids) == 0


def test_a_run_continues_and_shards_give_the_bytes_of_one_run(make_set, tmp_path):
    cam_dir, _ = make_set("seam")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = {"to": "irn", "method": "seam", "progress": False}
    convert_cams(cam_dir, whole, **options)
    for part in ("1/2", "2/2"):
        convert_cams(cam_dir, parts, shard=part, **options)
    [(command, merged)] = merge_reports(parts, {"c2am-convert": ConvertReport})
    assert (command, merged.converted) == ("c2am-convert", 4)
    assert results(parts) == results(whole)
    (whole / "b.npy").unlink()
    again = convert_cams(cam_dir, whole, **options)
    assert (again.converted, again.already_there) == (1, 3)
    assert results(parts) == results(whole)


def test_a_bad_file_is_named_and_the_others_are_converted(make_set, tmp_path, capfd):
    cam_dir, _ = make_set("psa")
    (cam_dir / "b.npy").write_bytes(b"\x93NUMPY")
    out = tmp_path / "out"
    assert convert_main([str(cam_dir), "--to", "irn", "--method", "psa", "-o", str(out)]) == 1
    assert f"{cam_dir / 'b.npy'}: " in capfd.readouterr().err
    assert {path.stem for path in out.iterdir()} == {"a", "c", "d"}


def test_nothing_is_destroyed(make_set, tmp_path):
    cam_dir, _ = make_set("psa")
    before = contents(cam_dir)
    options = {"to": "irn", "method": "psa", "progress": False}
    for out in (cam_dir, cam_dir / "below"):
        with pytest.raises(InputError, match=r"is (inside )?the input"):
            convert_cams(cam_dir, out, **options)
    out = tmp_path / "out"
    convert_cams(cam_dir, out, **options)
    with pytest.raises(OutputError, match="overwrite"):
        convert_cams(cam_dir, out, **{**options, "to": "puzzlecam"})
    convert_cams(cam_dir, out, **{**options, "to": "puzzlecam"}, overwrite=True)
    assert "hr_cam" in np.load(out / "a.npy", allow_pickle=True).item()
    assert contents(cam_dir) == before


def test_an_unknown_target_is_refused_with_the_known_ones(make_set, tmp_path):
    cam_dir, _ = make_set("psa")
    with pytest.raises(InputError, match=r"nowhere.*known are"):
        convert_cams(cam_dir, tmp_path / "out", to="nowhere")
