"""Backbones of timm: their maps, their names, their weights; and what is said without timm."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_training import small_train, write_photos
from torch import Tensor, nn

from c2am_plugin.classifier.checkpoint import load_classifier, save_classifier
from c2am_plugin.classifier.split import Classifier
from c2am_plugin.cli import train_main
from c2am_plugin.errors import InputError, MissingDependency
from c2am_plugin.files.photos import read_photo
from c2am_plugin.network import make_cues
from c2am_plugin.network.checkpoint import load_checkpoint, save_checkpoint
from c2am_plugin.network.inference import fast_copy
from c2am_plugin.network.maps import network_input
from c2am_plugin.network.model import C2AM
from c2am_plugin.saliency.checkpoint import load_saliency, save_saliency
from c2am_plugin.saliency.net import PoolNet
from c2am_plugin.training.backbone import make_backbone, synchronised
from c2am_plugin.training.normalisation import IMAGENET, Statistics, normalise
from c2am_plugin.training.timm_backbone import PREFIX
from c2am_plugin.training.weights import initial_weights

pytestmark = pytest.mark.slow


@pytest.fixture
def timm() -> Any:
    return pytest.importorskip("timm", reason="the extra timm is not installed")


def settled(model: nn.Module, *size: int) -> nn.Module:
    """In eval mode, with BatchNorm's statistics of random images, so that no layer is trivial."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.logits(torch.rand(4, 3, *size))  # type: ignore[operator]
    return model.eval()


@pytest.mark.parametrize("stride", [16, 8])
@pytest.mark.parametrize(
    "name", ["resnet10t", "efficientnet_lite0", "convnext_atto", "vit_tiny_patch16_224"]
)
def test_maps_of_any_image_at_the_wanted_stride(timm: Any, name: str, stride: int) -> None:
    torch.manual_seed(0)
    model = settled(C2AM(PREFIX + name, stride), 96, 64)
    for height, width in ((96, 64), (75, 101)):
        with torch.no_grad():
            logits = model.logits(torch.rand(1, 3, height, width))  # type: ignore[operator]
        assert logits.shape[2:] == (-(-height // stride), -(-width // stride))
        assert logits.isfinite().all()


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet10t", "convnext_atto"])
def test_the_fast_copy_gives_the_same_logits(timm: Any, name: str) -> None:
    """timm's BatchNorms apply an activation, which folding may not lose."""
    torch.manual_seed(0)
    model = settled(C2AM(PREFIX + name, 8), 64, 64)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            fast_copy(model).logits(x),  # type: ignore[operator]
            model.logits(x),  # type: ignore[operator]
            atol=1e-4,
            rtol=1e-4,
        )


def test_synchronised_norms_keep_their_activations(timm: Any) -> None:
    torch.manual_seed(0)
    model = settled(C2AM("timm:efficientnet_lite0", 16), 64, 64)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        before = model.logits(x)  # type: ignore[operator]
        torch.testing.assert_close(synchronised(model).eval().logits(x), before)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm:resnet10", "is not a model of timm.*near are .*timm:resnet10t"),
        ("timm:", "is not a model of timm"),
        ("timm:hf-hub:somebody/model", "is not a model of timm"),
        ("timm:resnet50.no_such", "no weights 'no_such' of resnet50; expected .*a1_in1k"),
        ("timm:mixer_s16_224", "no feature maps for images of any size .*doesn't match"),
    ],
)
def test_names_that_cannot_be_had(timm: Any, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        C2AM(name)


def test_images_are_normalised_as_the_model_was_trained(timm: Any, tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224"  # not ImageNet's mean
    model = C2AM(PREFIX + name)
    own = Statistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert model.backbone.statistics == own
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    made = network_input(fast_copy(model), [photo], (32, 32))
    pixels = torch.from_numpy(photo).permute(2, 0, 1)
    torch.testing.assert_close(made[0], (pixels / 255 - 0.5) / 0.5)
    # The checkpoint's numbers count, whatever the installed timm says.
    model.backbone.statistics = Statistics((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    save_checkpoint(tmp_path / "last.pt", model, False, {})
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert loaded.model.backbone.statistics == model.backbone.statistics
    assert not torch.equal(normalise(pixels[None], loaded.model), normalise(pixels[None]))


@pytest.mark.parametrize("bad", [[0.5, 0.5], [0.5, 0.5, float("nan")], "half", [0.5, 0.5, 0.0]])
def test_damaged_statistics_are_refused(tmp_path: Path, bad: Any) -> None:
    save_checkpoint(tmp_path / "last.pt", C2AM("squeezenet1_1"), False, {})
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    content["info"]["std"] = bad
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(InputError, match="is damaged: its std"):
        load_checkpoint(tmp_path / "last.pt")


def test_checkpoints_without_statistics_are_imagenets(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", C2AM("squeezenet1_1"), False, {})
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    del content["info"]["std"], content["info"]["mean"]
    torch.save(content, tmp_path / "last.pt")
    assert load_checkpoint(tmp_path / "last.pt").model.backbone.statistics == IMAGENET


@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_224", "efficientnet_lite0"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_of_a_file_of_timm(timm: Any, tmp_path: Path, name: str, suffix: str) -> None:
    torch.manual_seed(0)
    published = timm.create_model(name)
    path = tmp_path / f"model.{suffix}"
    if suffix == "pth":
        torch.save(published.state_dict(), path)
    else:
        from safetensors.torch import save_file

        save_file(published.state_dict(), path)
    model = C2AM(PREFIX + name, 16)
    report = initial_weights(model, str(path))
    assert not report.missing
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        theirs = published.eval().forward_intermediates(image, intermediates_only=True)[-1]
        natural = make_backbone(PREFIX + name, None, False).eval()
        natural.load_state_dict(model.backbone.state_dict())
        torch.testing.assert_close(natural.stages(image)[-1], theirs)


def test_a_file_of_another_model_is_refused(timm: Any, tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match="expected"):
        initial_weights(C2AM("timm:convnext_atto"), str(tmp_path / "other.pth"))


def test_a_torn_safetensors_file(timm: Any, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(InputError, match="cannot be read as a safetensors file"):
        initial_weights(C2AM("timm:resnet10t"), str(tmp_path / "x.safetensors"))


def test_weights_that_cannot_be_downloaded(timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = C2AM("timm:resnet10t")

    def offline(*_: Any, **__: Any) -> Tensor:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(InputError, match=r"cannot be downloaded .no route.* pass the file as `wei"):
        initial_weights(model, "pretrained")
    with pytest.raises(InputError, match="neither a file nor weights of timm:resnet10t"):
        initial_weights(model, "IMAGENET1K_V1")


def test_a_small_file_that_names_a_huge_model(timm: Any, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", C2AM("squeezenet1_1"), False, {})
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    content["info"]["backbone"] = "timm:vit_giant_patch14_dinov2"
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(InputError, match="does not fit timm:vit_giant"):
        load_checkpoint(tmp_path / "last.pt")


def test_the_other_networks_take_timm_too(timm: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 64, 64)
    net = PoolNet("timm:vit_tiny_patch16_224", 16, width=32).eval()
    save_saliency(tmp_path / "saliency.pt", net, {"scales": (64.0,)})
    loaded = load_saliency(tmp_path / "saliency.pt").model
    assert loaded.backbone.statistics.mean == (0.5, 0.5, 0.5)
    classifier = Classifier("timm:resnet10t", 3, 16).eval()
    save_classifier(tmp_path / "classifier.pt", classifier, ("a", "b", "c"), {})
    again = load_classifier(tmp_path / "classifier.pt").model
    with torch.no_grad():
        torch.testing.assert_close(loaded.logits(x), net.logits(x))
        torch.testing.assert_close(again.logits(x), classifier.logits(x))
    # A trained classifier's file gives initial weights.
    report = initial_weights(C2AM("timm:resnet10t"), str(tmp_path / "classifier.pt"))
    assert not report.missing


@pytest.mark.slow
def test_from_training_to_cues(timm: Any, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 8)
    result = small_train(photos, tmp_path / "run", backbone="timm:resnet10t", epochs=1)
    report = make_cues.make_cues(
        photos, result.checkpoint, tmp_path / "cues", device="cpu", progress=False, workers=1
    )
    assert report.written == 8
    assert read_photo(photos / "000.png").shape[:2] == (30, 40)


def test_without_timm_one_line_tells_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # what an import of a missing package meets
    with pytest.raises(MissingDependency, match="pip install timm"):
        C2AM("timm:resnet10t")
    photos = write_photos(tmp_path / "photos", 4)
    command = [str(photos), "-o", str(tmp_path / "run"), "--backbone", "timm:resnet10t", "--quiet"]
    code = train_main(command)
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 1
    assert len(lines) == 1
    assert "--backbone timm:NAME needs the package timm" in lines[0]
    assert not (tmp_path / "run").exists()
