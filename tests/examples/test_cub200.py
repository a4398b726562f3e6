"""examples/cub200.py without the internet: CUB's layout, the four steps on a tiny folder of it."""

from __future__ import annotations

import json

import cub200
import numpy as np
import pytest
from downloads import SMALL, said_offline
from small_files import write_png

from c2am_plugin.errors import InputError
from c2am_plugin.network.recipes import RECIPES

TRAIN = ("001.Albatross/A_0001_1", "001.Albatross/A_0002_2", "002.Auk/B_0003_3", "002.Auk/B_0004_4")
TEST = ("001.Albatross/A_0005_5", "002.Auk/B_0006_6")


@pytest.fixture
def cub(tmp_path):
    """Six photographs 64×48 in two classes, laid out as CUB-200-2011."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "CUB_200_2011"
    lines = {"images": [], "train_test_split": [], "bounding_boxes": []}
    for number, image_id in enumerate((*TRAIN, *TEST), 1):
        write_png(folder / "images" / f"{image_id}.jpg", rng.integers(0, 256, (48, 64, 3)))
        lines["images"].append(f"{number} {image_id}.jpg")
        lines["train_test_split"].append(f"{number} {int(image_id in TRAIN)}")
        lines["bounding_boxes"].append(f"{number} 10.0 5.0 {30 + number}.0 40.0")
    for name, content in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(content) + "\n")
    (folder / "classes.txt").write_text("1 001.Albatross\n2 002.Auk\n")
    return folder


def test_the_recipe_is_the_papers():
    recipe = RECIPES["localisation"]
    found = (recipe.resize, recipe.crop, recipe.batch_size, recipe.epochs, recipe.alpha)
    assert found == (256, 224, 16, 20, 0.05)
    assert (recipe.lr, recipe.momentum, recipe.weight_decay) == (1e-4, 0.9, 1e-4)
    assert recipe.schedule == "cosine"
    assert not recipe.convolutions_only
    assert (recipe.head_steps, recipe.least_steps) == (0, 0)
    assert cub200.MAP_SIDE == 448
    assert cub200._parser().parse_args(["-o", "out"]).alpha is None


def test_a_folder_that_is_there_is_not_fetched(cub, tmp_path):
    assert cub200.prepare_cub(tmp_path / "data") == cub


def test_a_folder_that_is_not_whole_is_named(cub, tmp_path):
    (cub / "bounding_boxes.txt").unlink()
    with pytest.raises(InputError, match=r"does not contain bounding_boxes\.txt; unpack"):
        cub200.prepare_cub(tmp_path / "data")


@pytest.mark.slow
def test_a_failed_download_says_what_to_do_by_hand(tmp_path):
    """Offline, so that no test fetches 1 GB."""
    last = said_offline(cub200, tmp_path)
    assert last.startswith("cub200: CUB-200-2011 could not be fetched (")
    assert f"get {cub200.ARCHIVE}" in last
    assert "data/CUB_200_2011/images.txt is there, and run this again" in last


@pytest.mark.slow
def test_the_four_steps(cub, tmp_path):
    out = tmp_path / "out"
    report = cub200.run(cub, out, SMALL, workers=1)
    assert report.localisation.images == report.images == len(TEST)
    assert (out / "train.txt").read_text().split() == [f"{name}.jpg" for name in TRAIN]
    for_psol = json.loads((out / "psol" / "train.json").read_text())
    assert set(for_psol) == {str(cub / "images" / f"{name}.jpg") for name in TRAIN}
    boxes = json.loads((out / "test.json").read_text())
    assert [each["file_name"] for each in boxes["images"]] == [f"{name}.jpg" for name in TEST]
    found = {path.relative_to(out / "maps").as_posix() for path in (out / "maps").rglob("*.npy")}
    assert found == {f"{name}.npy" for name in TRAIN + TEST}
    from c2am_plugin.network.checkpoint import load_checkpoint

    info = load_checkpoint(out / "c2am" / "last.pt", "cpu").info
    assert info["recipe"] == "localisation"
    settings = json.loads((tmp_path / "out" / "cues.c2am-cues.json").read_text())["settings"]
    assert settings["scales"] == [448.0]
