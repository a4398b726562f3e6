"""Which images, and what is cut from them: the same for any worker count and after any break."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from c2am_plugin.errors import InputError
from c2am_plugin.files.photos import find_images
from c2am_plugin.training.batches import (
    BatchOrder,
    TrainingImages,
    training_loader,
)
from c2am_plugin.training.normalisation import IMAGENET, normalise


def write_photo(path: Path, seed: int = 0, size: tuple[int, int] = (50, 40)) -> Path:
    """A smooth random photograph, width×height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(9):
        write_photo(tmp_path / "photos" / f"{i:02d}.png", seed=i)
    return tmp_path / "photos"


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    root = tmp_path / "VOC2012"
    for name in ("2007_000032", "2007_000039", "2008_000001"):
        write_photo(root / "JPEGImages" / f"{name}.jpg")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\n")
    (lists / "val.txt").write_text("2008_000001\n2007_000039\n")
    return root


# Which images ---------------------------------------------------------------------------------


def test_a_folder_gives_all_its_images_or_those_of_a_list(folder: Path, tmp_path: Path) -> None:
    assert list(find_images(folder)) == [f"{i:02d}" for i in range(9)]
    (tmp_path / "ids.txt").write_text("07\n02\n")
    assert find_images(folder, tmp_path / "ids.txt") == {
        "07": folder / "07.png",
        "02": folder / "02.png",
    }


def test_a_voc_root_gives_its_training_list(voc: Path) -> None:
    assert list(find_images(voc)) == ["2007_000032"]
    (voc / "ImageSets/Segmentation/train_aug.txt").write_text(
        "/JPEGImages/2007_000039.jpg /SegmentationClassAug/2007_000039.png\n"
    )
    assert list(find_images(voc)) == ["2007_000039"]
    assert list(find_images(voc, "val")) == ["2008_000001", "2007_000039"]
    assert list(find_images(voc, voc / "ImageSets/Segmentation/train.txt")) == ["2007_000032"]
    assert len(find_images(voc / "JPEGImages")) == 3


def test_a_voc_root_without_lists_gives_all_its_photographs(voc: Path) -> None:
    for path in (voc / "ImageSets/Segmentation").iterdir():
        path.unlink()
    assert list(find_images(voc)) == ["2007_000032", "2007_000039", "2008_000001"]


def test_missing_images_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("01\nnone_a\nnone_b\n")
    with pytest.raises(InputError, match=r"2 of 3 ids.*none_a, none_b"):
        find_images(folder, tmp_path / "ids.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="contains no image"):
        find_images(tmp_path / "empty")
    with pytest.raises(InputError, match="no such folder"):
        find_images(tmp_path / "nowhere")


# What is cut from them ------------------------------------------------------------------------


def test_normalise_is_torchvisions() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    expected = transforms.normalize(images.float() / 255, *map(list, IMAGENET))
    torch.testing.assert_close(normalise(images), expected)


def views_of(images: TrainingImages, n: int) -> list[Tensor]:
    views = [images[epoch, 0] for epoch in range(n)]
    assert all(isinstance(view, Tensor) for view in views)
    return views


def test_a_view_is_a_crop_of_the_resized_image_or_its_mirror(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.png", size=(70, 45))
    square = np.asarray(Image.open(path).resize((20, 20), Image.Resampling.BILINEAR))
    crops = {}
    for top in range(7):
        for left in range(7):
            crop = square[top : top + 14, left : left + 14]
            crops[crop.tobytes()] = (top, left, False)
            crops[crop[:, ::-1].tobytes()] = (top, left, True)
    seen = set()
    for view in views_of(TrainingImages([path], resize=20, crop=14), 400):
        assert view.shape == (3, 14, 14)
        assert view.dtype == torch.uint8
        seen.add(crops[view.permute(1, 2, 0).numpy().tobytes()])
    tops, lefts, mirrored = zip(*seen, strict=True)
    assert set(tops) == set(lefts) == set(range(7))
    assert set(mirrored) == {True, False}


def test_a_view_depends_on_seed_epoch_and_image_alone(folder: Path) -> None:
    paths = list(find_images(folder).values())
    one = TrainingImages(paths, 40, 24, seed=5)
    backwards = TrainingImages(paths, 40, 24, seed=5)
    backwards.keeps = False
    keys = [(epoch, index) for epoch in range(3) for index in range(9)]
    first = {key: one[key] for key in keys}
    for key in reversed(keys):
        torch.rand(1)
        assert torch.equal(first[key], backwards[key])
    other = TrainingImages(paths, 40, 24, seed=6)
    assert any(not torch.equal(first[key], other[key]) for key in keys)
    assert any(not torch.equal(first[0, i], first[1, i]) for i in range(9))


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "1", "RGBA", "LA", "I;16"])
def test_photographs_of_any_mode(tmp_path: Path, mode: str) -> None:
    grey = np.linspace(0, 255, 30 * 40).reshape(30, 40)
    if mode == "I;16":
        image = Image.fromarray((grey * 257).astype(np.uint16))
    else:
        image = Image.fromarray(grey.astype(np.uint8)).convert("RGB").convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path)
    view = TrainingImages([path], 32, 32)[0, 0]
    assert isinstance(view, Tensor)
    assert view.shape == (3, 32, 32)
    assert view[:, :4].float().mean() < 60  # dark above,
    assert view[:, -4:].float().mean() > 195  # light below, as it was drawn


def test_a_noted_rotation_is_not_applied(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer would turn it by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    view = TrainingImages([tmp_path / "a.jpg"], 32, 32)[0, 0]
    assert view[:, :12].min() > 200
    assert view[:, 20:].max() < 50


# Batches --------------------------------------------------------------------------------------


def test_each_epoch_is_another_order_without_repeats() -> None:
    batches = list(BatchOrder(11, 3, epochs=4, seed=1))
    assert len(batches) == len(BatchOrder(11, 3, epochs=4, seed=1)) == 12
    orders = []
    for epoch in range(4):
        keys = [key for batch in batches[3 * epoch : 3 * epoch + 3] for key in batch]
        assert {key[0] for key in keys} == {epoch}
        assert len({key[1] for key in keys}) == 9
        orders.append([key[1] for key in keys])
    assert len({tuple(order) for order in orders}) == 4
    assert set().union(*orders) == set(range(11))


@pytest.mark.parametrize("first_step", [0, 1, 3, 7, 12])
def test_going_on_gives_what_would_have_come(first_step: int) -> None:
    whole = list(BatchOrder(11, 3, epochs=4, seed=1))
    order = BatchOrder(11, 3, epochs=4, seed=1, first_step=first_step)
    assert list(order) == whole[first_step:]
    assert len(order) == 12 - first_step


@pytest.mark.slow
def test_workers_change_nothing(folder: Path) -> None:
    paths = list(find_images(folder).values())
    images, order = TrainingImages(paths, 40, 24), BatchOrder(9, 4, epochs=2)
    alone = [batch for batch, _ in training_loader(images, order, workers=0)]
    shared = [batch for batch, _ in training_loader(images, order, workers=2)]
    assert len(alone) == 4
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))


def test_an_unreadable_image_is_left_out_and_named(folder: Path) -> None:
    (folder / "03.png").write_bytes(b"no image")
    (folder / "05.png").write_bytes((folder / "05.png").read_bytes()[:200])
    paths = list(find_images(folder).values())
    loader = training_loader(TrainingImages(paths, 40, 24), BatchOrder(9, 9, epochs=1), 0)
    [(batch, errors)] = list(loader)
    assert batch.shape == (7, 3, 24, 24)
    assert len(errors) == 2
    assert {name for name in ("03.png", "05.png") for e in errors if name in e} == {
        "03.png",
        "05.png",
    }


def test_a_crop_larger_than_the_image_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="crop 41"):
        TrainingImages([], 40, 41)
