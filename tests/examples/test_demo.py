"""examples/demo.py: the generated images are what they claim, and the whole path runs on few."""

from __future__ import annotations

import json
import shutil

import demo
import numpy as np
import pytest
import torch
from demo import FORMATS
from generated import CLASSES, SIDE, make_image
from PIL import Image

from c2am_plugin.files.folders import find_files
from c2am_plugin.files.labels import read_label
from c2am_plugin.registry import get_adapter

pytestmark = pytest.mark.slow


def otsu(channel):
    """Where a channel is above the threshold that parts it best in two."""
    share = np.bincount(channel.ravel(), minlength=256) / channel.size
    weight, mean = np.cumsum(share), np.cumsum(share * np.arange(256))
    between = (mean[-1] * weight - mean) ** 2 / np.maximum(weight * (1 - weight), 1e-12)
    return channel > between.argmax()


def test_images_come_from_their_seed_alone():
    photo, truth = make_image(7)
    again = make_image(7)
    np.testing.assert_array_equal(photo, again[0])
    np.testing.assert_array_equal(truth, again[1])
    assert photo.shape == (SIDE, SIDE, 3)
    assert photo.dtype == truth.dtype == np.uint8
    assert not np.array_equal(photo, make_image(8)[0])


def test_every_class_occurs_and_every_image_has_one():
    present = [set(np.unique(make_image(seed)[1])) - {0} for seed in range(60)]
    assert set().union(*present) == set(range(1, len(CLASSES)))
    assert {len(classes) for classes in present} == {1, 2}


def test_a_threshold_on_colour_does_not_find_the_bodies():
    """Otsu's on each channel of RGB and HSV, its better side, against all bodies."""
    best = []
    for seed in range(40):
        photo, truth = make_image(seed)
        hsv = np.asarray(Image.fromarray(photo).convert("HSV"))
        body = truth > 0
        ious = []
        for channel in np.moveaxis(np.concatenate([photo, hsv], axis=2), 2, 0):
            for side in (otsu(channel), ~otsu(channel)):
                ious.append((side & body).sum() / (side | body).sum())
        best.append(ious)
    assert np.mean(best, axis=0).max() < 0.4


@pytest.fixture
def threads():
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.mark.usefixtures("threads")
def test_the_whole_path_on_few_images(tmp_path, capsys):
    out = tmp_path / "demo"
    demo.run_generated(out, count=32, epochs=1, c2am_epochs=1, photographs=False)
    printed = capsys.readouterr().out
    assert f"{out}/report/report.html" in printed
    ids = list(find_files(out / "JPEGImages", (".png",)))
    assert len(ids) == 32
    for name in FORMATS:
        adapter = get_adapter(name)
        for folder in (out / "cams" / name, out / "cams" / f"{name}_c2am"):
            content = adapter.load(folder / "0000.npy")
            assert adapter.fits(content)
            cams = adapter.parse(content, "0000")
            assert cams.maps.shape[1:] == (SIDE, SIDE)
            truth = read_label(out / "SegmentationClass" / "0000.png")
            assert set(cams.class_ids + 1) == set(np.unique(truth)) - {0}
    results = json.loads((out / "report" / "results.json").read_text())
    assert sorted(results["pipelines"]) == sorted(FORMATS)
    assert results["images"] == 32

    # Your own images and CAM files: here eight of those just made.
    own, photos = tmp_path / "own", tmp_path / "photos"
    photos.mkdir()
    for image_id in ids[:8]:
        shutil.copy(out / "JPEGImages" / f"{image_id}.png", photos)
    for image_id in ids[8:]:
        (out / "cams" / "puzzlecam" / f"{image_id}.npy").unlink()
    words = ["-o", str(own), "--images", str(photos), "--gt"]
    words += [str(out / "SegmentationClass"), "--cams", str(out / "cams" / "puzzlecam")]
    words += ["--classes", str(out / "names.txt"), "--backbone", "shufflenet_v2_x0_5"]
    words += ["--weights", str(out / "classifier" / "last.pt"), "--epochs", "1"]
    assert demo.main(words) == 0
    assert {path.stem for path in (own / "refined").glob("*.npy")} == set(ids[:8])
    results = json.loads((own / "report" / "results.json").read_text())
    assert list(results["pipelines"]) == ["puzzlecam"]


def test_a_folder_of_somebody_elses_is_not_emptied(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("precious")
    assert demo.main(["-o", str(tmp_path)]) == 1
    assert "the demo did not write" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize("word", ["--images", "--cams"])
def test_images_and_cams_belong_together(word, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        demo.main([word, str(tmp_path)])
    assert stop.value.code == 2
    assert "belong together" in capsys.readouterr().err
