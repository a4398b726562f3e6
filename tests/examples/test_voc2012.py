"""examples/voc2012.py without the internet: VOC's layout, the five steps on a tiny folder of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import voc2012
from downloads import SMALL, said_offline
from PIL import Image
from small_files import smooth_maps, write_png

from c2am_plugin.cams import ImageCams
from c2am_plugin.errors import InputError
from c2am_plugin.registry import get_adapter

TRAIN = ("2007_000032", "2007_000039", "2007_000063", "2007_000068")
VAL = ("2007_000033", "2007_000042")
OTHER = ("2008_000001", "2008_000002")


@pytest.fixture
def voc(tmp_path):
    """Eight photographs 64×48, six of them with ground truth, laid out as VOC 2012."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "VOCdevkit" / "VOC2012"
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (folder / "JPEGImages").mkdir()
    for image_id in TRAIN + VAL + OTHER:
        photo = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(photo).save(folder / "JPEGImages" / f"{image_id}.jpg")
    for image_id in TRAIN + VAL:
        truth = np.zeros((48, 64), np.uint8)
        truth[10:40, 12:50], truth[8:10] = 12, 255
        write_png(folder / "SegmentationClass" / f"{image_id}.png", truth)
    (lists / "train.txt").write_text("\n".join(TRAIN) + "\n")
    (lists / "val.txt").write_text("\n".join(VAL) + "\n")
    return folder


@pytest.fixture
def cams(tmp_path):
    rng = np.random.default_rng(1)
    for image_id in TRAIN:
        maps = smooth_maps(rng, 1, 48, 64)
        path = tmp_path / "seam" / f"{image_id}.npy"
        path.parent.mkdir(exist_ok=True)
        get_adapter("seam").dump(ImageCams(image_id, np.array([11]), maps), path)
    return tmp_path / "seam"


def test_a_folder_that_is_there_is_not_fetched(voc, tmp_path):
    assert voc2012.prepare_voc(tmp_path / "data") == voc


def test_a_folder_that_is_not_whole_is_named(voc, tmp_path):
    (voc / "ImageSets" / "Segmentation" / "train.txt").unlink()
    with pytest.raises(InputError, match=r"not contain ImageSets/Segmentation/train\.txt; unpack"):
        voc2012.prepare_voc(tmp_path / "data")


def test_val_is_not_trained_on(voc, tmp_path, capsys):
    path = voc2012.write_unlabelled(voc, tmp_path / "out")
    assert path.read_text().split() == sorted(TRAIN + OTHER)
    assert "the 6 images that are not in val" in capsys.readouterr().out
    listed = voc / "ImageSets" / "Segmentation" / "train_aug.txt"
    listed.write_text("2008_000001\n")
    assert voc2012.write_unlabelled(voc, tmp_path / "out") == listed


@pytest.mark.slow
def test_a_failed_download_says_what_to_do_by_hand(tmp_path):
    """Offline, so that no test fetches 2 GB."""
    last = said_offline(voc2012, tmp_path, "--cams", "psa=cams")
    assert last.startswith("voc2012: VOC 2012 could not be fetched (")
    assert f"get {voc2012.ARCHIVE}" in last
    assert "data/VOCdevkit/VOC2012/JPEGImages is there, and run this again" in last


@pytest.mark.slow
def test_the_five_steps(voc, tmp_path, cams):
    out = tmp_path / "out"
    ids = voc2012.write_unlabelled(voc, out)
    page = voc2012.run(voc, out, {"seam": cams}, ids, SMALL, workers=1)
    settings = json.loads((out / "report" / "results.json").read_text())
    assert page.is_file()
    assert settings["image_ids"] == sorted(TRAIN)
    assert settings["pipelines"]["seam"]["published_miou_percent_voc2012_train"] == 63.9
    for folder, suffix in (("cues", "png"), ("cams/seam", "npy"), ("labels/seam", "png")):
        found = {path.stem for path in (out / folder).glob(f"*.{suffix}")}
        assert found == set(TRAIN)
    from c2am_plugin.network.checkpoint import load_checkpoint

    info = load_checkpoint(out / "c2am" / "last.pt", "cpu").info
    assert info["recipe"] == "paper"
