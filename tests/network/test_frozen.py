"""The frozen backbone: what is stored, which crops are read of it; the head alone moves."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import small_train, write_photos
from training_contract import Start, TrainingContract

from c2am_plugin.cli import train_main
from c2am_plugin.errors import InputError, OutputError
from c2am_plugin.network import frozen
from c2am_plugin.network.checkpoint import load_checkpoint
from c2am_plugin.network.model import C2AM
from c2am_plugin.network.views import HintedImages
from c2am_plugin.runs.ranks import ALONE
from c2am_plugin.training.normalisation import normalise

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("frozen") / "photos", 9)


@pytest.fixture(scope="session")
def start(photos: Path) -> Start:
    return partial(small_train, photos, freeze="backbone")


@pytest.fixture(scope="session")
def finished(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    start(out, picture_every=4)
    return out


class TestFrozen(TrainingContract):
    rate = 0.01


def views_of(photos: Path, run: Path, crop: int = 64) -> tuple[frozen.FrozenViews, HintedImages]:
    torch.manual_seed(0)
    images = HintedImages(sorted(photos.iterdir()), 96, crop)
    model = C2AM("squeezenet1_1", 16).eval()
    made = frozen.frozen_views(
        run, {"seed": 0}, model, images, where=CPU, ranks=ALONE, progress=False
    )
    return made, images


def test_a_crop_of_the_features_lies_where_the_crop_of_the_image_does(
    photos: Path, tmp_path: Path
) -> None:
    """Found again: each view is its place in the map of the whole image, or of its mirror."""
    views, images = views_of(photos, tmp_path)
    torch.manual_seed(0)
    model = C2AM("squeezenet1_1", 16).eval()
    sides = set()
    for epoch in range(8):
        place, view = images.place(epoch, 3), views[epoch, 3]
        sides.add(place.mirrored)
        square = images.decoded(3)
        if place.mirrored:
            square = square[:, ::-1]
        pixels = torch.from_numpy(square.transpose(2, 0, 1).copy())[None]
        with torch.no_grad():
            whole = model.features(normalise(pixels))[0]
        left = 96 - 64 - place.left if place.mirrored else place.left
        top, left = round(place.top / 16), round(left / 16)
        expected = whole[:, top : top + 4, left : left + 4]
        torch.testing.assert_close(view.features.float(), expected, atol=0.02, rtol=0.01)
    assert sides == {True, False}


def test_only_the_head_moves(photos: Path, start: Start, tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = C2AM("squeezenet1_1").state_dict()
    result = start(tmp_path / "run", epochs=1)
    after = load_checkpoint(result.checkpoint).model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("ac_head.") for name in moved)
    assert not (tmp_path / "run" / "features").exists()


def test_features_of_an_interrupted_run_are_used_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = views_of(photos, tmp_path)
    kept = np.array(first.features)
    monkeypatch.setattr(frozen, "_compute", None)  # would fail
    again, _ = views_of(photos, tmp_path)
    assert np.array_equal(again.features, kept)


def test_without_room_on_the_disk_nothing_is_left(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(frozen.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OutputError, match=r"the features of 9 images take .* GiB, but 0\.0 GiB"):
        views_of(photos, tmp_path / "run")
    assert not (tmp_path / "run" / "features").exists()


def test_an_unreadable_image_is_left_out(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 9)
    (photos / "004.png").write_bytes(b"no picture")
    result = small_train(photos, tmp_path / "run", freeze="backbone", epochs=1, batch_size=9)
    assert len(result.unreadable) == 1
    assert "004.png" in result.unreadable[0]


def test_another_part_cannot_be_frozen(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(InputError, match="freeze 'head': expected none or backbone"):
        small_train(photos, tmp_path / "run", freeze="head")
    with pytest.raises(SystemExit) as stop:
        train_main([str(photos), "-o", str(tmp_path / "run"), "--freeze", "head"])
    assert stop.value.code == 2
