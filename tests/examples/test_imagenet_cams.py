"""examples/imagenet_cams.py: another classifier's CAMs of the same photographs."""

from __future__ import annotations

from itertools import chain

import imagenet_cams as module
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from c2am_plugin.classifier.cams import photo_cams

pytestmark = pytest.mark.slow


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    torch.save(models.squeezenet1_0().state_dict(), tmp_path / "squeezenet.pth")
    return tmp_path / "squeezenet.pth"


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def test_no_class_of_imagenet_stands_for_two_of_voc():
    indices = list(chain(*module.GROUPS.values()))
    assert len(indices) == len(set(indices))
    assert set(module.GROUPS) == set(range(20)) - {14}  # ImageNet has no persons
    assert 0 <= min(indices) <= max(indices) < module.N_IMAGENET
    names = models.SqueezeNet1_0_Weights.DEFAULT.meta["categories"]
    assert {names[i] for i in module.GROUPS[18]} >= {"bullet train", "steam locomotive"}
    assert {names[module.GROUPS[2][at]] for at in (0, -1)} == {"cock", "albatross"}


def test_a_group_of_one_is_the_packages_own_cam(weights, photo):
    model = module.imagenet_classifier("squeezenet1_0", weights)
    (horse,) = module.GROUPS[12]
    [(expected, _)] = photo_cams(model, [photo], [np.array([horse])], module.SCALES)
    np.testing.assert_allclose(module.group_cams(model, photo, [12]), expected, atol=1e-5)


def test_the_folder_is_what_compare_training_reads(weights, photo, tmp_path, monkeypatch):
    data = tmp_path / "set"
    for name in ("JPEGImages", "SegmentationClass", "cams"):
        (data / name).mkdir(parents=True)
    Image.fromarray(photo).save(data / "JPEGImages" / "a.jpg")
    Image.fromarray(photo[..., 0] // 200).save(data / "SegmentationClass" / "a.png")
    stored = {"keys": np.array([3, 11]), "cam": np.zeros((2, 60, 80), np.float16)}
    np.savez(data / "cams" / "a.npz", **stored)
    words = [data, "--backbone", "squeezenet1_0", "--weights", weights, "--out", tmp_path / "out"]
    monkeypatch.setattr("sys.argv", ["imagenet_cams.py", *map(str, words)])
    module.main()
    module.main()  # again, over the links that are there
    made = tmp_path / "out" / "set"
    with np.load(made / "cams" / "a.npz") as found:
        assert found["keys"].tolist() == [3, 11]
        assert found["cam"].shape == (2, 60, 80)
        np.testing.assert_allclose(found["cam"].max(axis=(1, 2)), 1, atol=0.001)
        assert not np.array_equal(*found["cam"])
        psa = np.load(made / "psa" / "a.npy", allow_pickle=True).item()
        np.testing.assert_allclose(np.stack(list(psa.values())), found["cam"], atol=0.001)
    for name in ("JPEGImages/a.jpg", "SegmentationClass/a.png"):
        assert (made / name).read_bytes() == (data / name).read_bytes()
