"""U15 and the command: files of every layout, in parts, with one clear line for a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranks import in_ranks
from small_classifier import write_labelled

from c2am_plugin.cams import read_cams
from c2am_plugin.classifier.cams import photo_cams
from c2am_plugin.classifier.checkpoint import load_classifier, save_classifier
from c2am_plugin.classifier.make_cams import make_cams
from c2am_plugin.classifier.report import CamReport
from c2am_plugin.classifier.split import Classifier
from c2am_plugin.cli import cams_main
from c2am_plugin.files.cam_files import cam_path, group_of
from c2am_plugin.files.photos import read_photo
from c2am_plugin.files.writing import write_json
from c2am_plugin.registry import get_adapter, layout_names
from c2am_plugin.runs.merging import merge_reports
from c2am_plugin.runs.output_folders import read_record, read_report

pytestmark = pytest.mark.slow

OF = {"i0": [1], "i1": [0], "i2": [0, 1], "i3": [], "i4": [1]}  # dots are class 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images/, labels.csv and run/last.pt."""
    folder = tmp_path_factory.mktemp("trained")
    write_labelled(folder, 5)
    torch.manual_seed(0)
    model = Classifier("squeezenet1_1", 2, 8)
    with torch.no_grad():  # features are positive, so no class's CAM is 0 throughout
        model.head.weight.abs_().mul_(20)
    save_classifier(folder / "run" / "last.pt", model, ("dots", "stripes"), {})
    return folder


def write(folder: Path, out: Path, **changes: Any) -> CamReport:
    settings: dict[str, Any] = {"scales": (0.5, 1.0), "device": "cpu", "progress": False}
    checkpoint = folder / "run" / "last.pt"
    return make_cams(
        folder / "images", folder / "labels.csv", checkpoint, out, **{**settings, **changes}
    )


@pytest.mark.parametrize("method", layout_names())
def test_files_of_every_layout_are_read_back(trained: Path, tmp_path: Path, method: str) -> None:
    report = write(trained, tmp_path / "cams", method=method)
    assert (report.written, report.empty, report.failures) == (5, 1, {})
    assert report.classes == ("dots", "stripes")
    adapter = get_adapter(method)
    for image_id, classes in OF.items():
        if not classes and group_of(adapter):
            continue  # a file per class: none
        cams = read_cams(adapter, cam_path(adapter, tmp_path / "cams", image_id), image_id)
        assert cams.class_ids.tolist() == classes
        if classes:
            photo = read_photo(trained / "images" / f"{image_id}.png")
            assert cams.maps.shape[1:] == photo.shape[:2]
            # Of a layout that stores the background, 0.2 for a classifier, the ratio counts.
            whole = 1 if cams.background is None else cams.background / 0.2
            assert (abs((cams.maps / whole).max((1, 2)) - 1) < 1e-3).all()
    fitting = {
        name
        for name in layout_names()
        if get_adapter(name).fits(adapter.load(cam_path(adapter, tmp_path / "cams", "i2")))
    }
    assert method in fitting


def test_the_command_writes_the_same_maps_in_every_layout_that_it_is_asked_for(
    trained: Path, tmp_path: Path
) -> None:
    found = {}
    for method in ("psa", "seam", "puzzlecam", "irn"):
        words = [str(trained / "images"), "--labels-file", str(trained / "labels.csv")]
        words += ["--checkpoint", str(trained / "run" / "last.pt"), "--method", method]
        out = tmp_path / method
        assert cams_main([*words, "-o", str(out), "--scales", "0.5", "1", "--device", "cpu"]) == 0
        adapter = get_adapter(method)
        found[method] = [read_cams(adapter, out / f"{image_id}.npy", image_id) for image_id in OF]
    for method, every in found.items():
        for cams, first in zip(every, found["psa"], strict=True):
            np.testing.assert_array_equal(cams.class_ids, first.class_ids)
            if len(first.class_ids):
                np.testing.assert_array_equal(cams.maps, first.maps)
        assert (every[0].strided is None) == (method in ("psa", "seam"))


def test_a_classifier_of_one_class_has_cams(tmp_path: Path) -> None:
    write_labelled(tmp_path, 2)
    (tmp_path / "labels.csv").write_text("i0,dots\ni1,dots\n")
    torch.manual_seed(0)
    model = Classifier("squeezenet1_1", 1, 8).eval()
    with torch.no_grad():
        model.head.weight.abs_().mul_(20)
    save_classifier(tmp_path / "run" / "last.pt", model, ("dots",), {})
    report = write(tmp_path, tmp_path / "cams")
    assert (report.written, report.failures) == (2, {})
    photo = read_photo(tmp_path / "images" / "i0.png")
    ((expected, _),) = photo_cams(model, [photo], [np.array([0])], (0.5, 1.0))
    cams = read_cams(get_adapter("psa"), tmp_path / "cams" / "i0.npy", "i0")
    np.testing.assert_allclose(cams.maps, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["psa", "puzzlecam", "sipe"])
def test_cams_that_are_0_everywhere_are_counted_in_one_line(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    loaded = load_classifier(trained / "run" / "last.pt")
    with torch.no_grad():  # features are positive, so the class scores below 0 throughout
        loaded.model.head.weight[0].abs_().neg_()
    save_classifier(tmp_path / "other" / "last.pt", loaded.model, loaded.classes, {})
    arguments = (trained / "images", trained / "labels.csv", tmp_path / "other" / "last.pt")
    small: dict[str, Any] = {"scales": (1.0,), "device": "cpu", "progress": False}
    report = make_cams(*arguments, tmp_path / "cams", method=method, **small)
    assert report.written == 5
    assert report.zero == {"i1": ["dots"], "i2": ["dots"]}
    lines = [r.getMessage() for r in caplog.records if "0 everywhere" in r.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("2 CAMs in 2 images are 0 everywhere (dots in 2)")
    # Two parts, joined, name what the whole named.
    for part in ("1/2", "2/2"):
        make_cams(*arguments, tmp_path / "parts", method=method, shard=part, **small)
    merged = dict(merge_reports(tmp_path / "parts", {"c2am-cams": CamReport}))["c2am-cams"]
    assert merged.zero == report.zero


def test_all_is_well_without_such_a_line(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert write(trained, tmp_path / "cams").zero == {}
    assert "0 everywhere" not in caplog.text


def test_a_cam_is_the_sum_over_scales_and_mirrors(trained: Path) -> None:
    """In the plain network, in float64, by the formula."""
    model = load_classifier(trained / "run" / "last.pt").model
    photo = read_photo(trained / "images" / "i2.png")
    classes = np.array([0, 1])
    maps, strided = photo_cams(model, [photo], [classes], (1.0,))[0]
    height, width = photo.shape[:2]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = torch.tensor(
        ((photo / 255 - mean) / std).transpose(2, 0, 1)[None], dtype=torch.float32
    )
    total = dict.fromkeys(((height, width), (-(-height // 4), -(-width // 4))), 0.0)
    for mirrored in (False, True):
        image = pixels.flip(-1) if mirrored else pixels
        with torch.inference_mode():
            scores = model.scores(model.features(image)).double().relu()
        scores = scores.flip(-1) if mirrored else scores
        for size in total:
            total[size] += torch.nn.functional.interpolate(scores, size, mode="bilinear")[0].numpy()
    for found, size in ((maps, (height, width)), (strided, strided.shape[1:])):
        expected = total[size] / (total[size].max((1, 2), keepdims=True) + 1e-5)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_images_of_one_size_together_give_what_each_gives_alone(trained: Path) -> None:
    model = load_classifier(trained / "run" / "last.pt").model
    photo = read_photo(trained / "images" / "i2.png")
    photos = [photo, photo[::-1].copy()]
    classes = [np.array([1]), np.zeros(0, int)]
    (one, _), (none, _) = photo_cams(model, photos, classes, (0.5, 1.0))
    alone = photo_cams(model, [photo], [np.array([1])], (0.5, 1.0))[0][0]
    np.testing.assert_allclose(one, alone, atol=1e-5)
    assert none.shape == (0, *photo.shape[:2])


def test_what_is_there_is_skipped_and_parts_make_the_whole(trained: Path, tmp_path: Path) -> None:
    write(trained, tmp_path / "whole")
    assert write(trained, tmp_path / "whole").already_there == 5
    for part in ("1/2", "2/2"):
        write(trained, tmp_path / "parts", shard=part)
    ((command, merged),) = merge_reports(tmp_path / "parts", {"c2am-cams": CamReport})
    assert (command, merged.written, merged.empty) == ("c2am-cams", 5, 1)
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "parts" / path.name).read_bytes()


def test_more_shards_than_images_and_a_report_that_is_missing(
    trained: Path, tmp_path: Path
) -> None:
    for index in range(1, 7):
        write(trained, tmp_path / "cams", shard=f"{index}/6")
    ((_, merged),) = merge_reports(tmp_path / "cams", {"c2am-cams": CamReport})
    assert merged.written == 5
    write(trained, tmp_path / "whole")
    record = tmp_path / "whole.c2am-cams.json"
    write_json(record, {"settings": read_record(record)})  # killed before the report
    assert write(trained, tmp_path / "whole").already_there == 5
    assert read_report(record)


def test_ranks_write_what_one_process_writes(trained: Path, tmp_path: Path) -> None:
    write(trained, tmp_path / "alone")
    for ended in in_ranks(write, trained, tmp_path / "shared"):
        assert not ended.error, ended.text
        assert ended.value.written == 5
    for path in (tmp_path / "alone").iterdir():
        assert path.read_bytes() == (tmp_path / "shared" / path.name).read_bytes()


# The command ------------------------------------------------------------------------------------


def command(*arguments: object) -> int:
    try:
        return cams_main([str(each) for each in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_images_and_labels_become_cam_files(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained and written by one command, then written in another layout by a second one."""
    out = tmp_path / "cams"
    given = (trained / "images", "--labels-file", trained / "labels.csv", "--device", "cpu")
    training = ("--backbone", "squeezenet1_1", "--weights", "random", "--epochs", 1, "--crop", 48)
    recipe = ("--rcm", "--mam", "--threshold", 0.15, "--set", "tau=0.1", "--set", "scales=(0.5, 1)")
    assert command(*given, "-o", out, "--scales", 1, *training, *recipe) == 0
    assert "wrote 5 CAM files for psa" in capsys.readouterr().out
    settings = torch.load(f"{out}_run/last.pt", weights_only=True)["info"]["settings"]
    assert (settings["rcm"], settings["mam"], settings["threshold"]) == (1.0, 1.0, 0.15)
    assert (settings["tau"], settings["scales"]) == (0.1, (0.5, 1.0))
    checkpoint = ("--checkpoint", f"{out}_run/last.pt", "--scales", 1)
    assert command(*given, "-o", tmp_path / "more", "--method", "puzzlecam", *checkpoint) == 0
    one = read_cams(get_adapter("psa"), out / "i2.npy", "i2")
    other = read_cams(get_adapter("puzzlecam"), tmp_path / "more" / "i2.npy", "i2")
    assert np.array_equal(one.maps, other.maps)


def test_wrong_usage_is_reported_with_the_usage(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (trained / "images", "--labels-file", trained / "labels.csv", "-o", tmp_path / "cams")
    last = trained / "run" / "last.pt"
    for more, message in (
        (("--checkpoint", last, "--epochs", 3), "add --train-further"),
        (("--train-further",), "needs --checkpoint FILE"),
        (("--shard", "1/2"), "--shard needs --checkpoint FILE"),
        (("--set", "tau"), "not NAME=VALUE"),
        (("--method", "sem"), "'sem' is unknown"),
    ):
        assert command(*given, *more) == 2
        assert message in capsys.readouterr().err


def test_a_mistake_is_one_line_in_the_commands_words(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "few.csv").write_text("i0,stripes\n")
    (tmp_path / "other.csv").write_text("".join(f"i{k},emu\n" for k in range(5)))
    last = trained / "run" / "last.pt"
    for labels, more, message in (
        (tmp_path / "few.csv", (), "name the images that have one with --ids"),
        (tmp_path / "other.csv", ("--checkpoint", last), "names emu, which the 2 known classes"),
        (trained / "labels.csv", ("--batch-size", 9), "take --batch-size 5 or less"),
        (
            trained / "labels.csv",
            ("--checkpoint", trained / "labels.csv"),
            "was not written by torch.save",
        ),
        (trained / "labels.csv", ("--run", tmp_path / "cams"), "choose another --run"),
    ):
        arguments = (trained / "images", "--labels-file", labels, "-o", tmp_path / "cams", *more)
        assert command(*arguments, "--device", "cpu") == 1
        lines = capsys.readouterr().err.strip().splitlines()
        assert message in lines[-1]
        assert not any("Traceback" in line for line in lines)
    assert not (tmp_path / "cams").exists()
