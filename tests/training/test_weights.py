"""Checkpoints of both layouts, initial weights from any nest, and files that are none of these."""

from __future__ import annotations

import argparse
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor
from torchvision import models

from c2am_plugin.errors import InputError, UnsafeFileError
from c2am_plugin.network.checkpoint import load_checkpoint, save_checkpoint
from c2am_plugin.network.model import C2AM
from c2am_plugin.training.weights import initial_weights

SQUEEZENET = Path(__file__).parents[3] / "shared/data/squeezenet1_0_imagenet.pth"


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[k], other[k]) for k in one)


NAME = "shufflenet_v2_x0_5"  # small, and with BatchNorms


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """A torchvision state dict with values that no fresh network has."""
    torch.manual_seed(7)
    return models.get_model(NAME).state_dict()


@pytest.fixture(scope="module")
def names(published: dict[str, Tensor]) -> set[str]:
    """What of it a backbone takes, counters aside."""
    return {k for k in published if not k.startswith("fc.") and not k.endswith("_tracked")}


# Checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [True, False, None])
def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path, flag: bool | None) -> None:
    model = C2AM("squeezenet1_1", 8, dilated=True)
    info = {"recipe": "paper", "polarity": {"margin": 0.5, "rule": "border"}, "epoch": 3}
    save_checkpoint(tmp_path / "last.pt", model, flag, info)
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert loaded.flag is flag
    assert {k: loaded.info[k] for k in info} == info
    assert (loaded.model.name, loaded.model.stride, loaded.model.dilated) == (
        "squeezenet1_1",
        8,
        True,
    )
    assert not loaded.model.training
    assert equal(loaded.model.state_dict(), model.state_dict())
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(loaded.model.logits(x), model.eval().logits(x))
    assert os.listdir(tmp_path) == ["last.pt"]


@pytest.mark.slow
def test_the_released_layout_loads_and_is_written(tmp_path: Path) -> None:
    torch.manual_seed(3)
    theirs = {f"module.{k}": v for k, v in C2AM("resnet50").state_dict().items()}
    torch.save({"state_dict": theirs, "flag": True}, tmp_path / "theirs.pth")
    loaded = load_checkpoint(tmp_path / "theirs.pth")
    assert loaded.flag is True
    assert loaded.info["backbone"] == "resnet50"
    assert torch.equal(
        loaded.model.backbone.layer4[2].conv3.weight,
        theirs["module.backbone.layer4.2.conv3.weight"],
    )
    save_checkpoint(tmp_path / "ours.pt", loaded.model, loaded.flag, {})
    ours = torch.load(tmp_path / "ours.pt", weights_only=True)
    assert equal(ours["state_dict"], {k.removeprefix("module."): v for k, v in theirs.items()})
    assert ours["flag"] is True


def test_weights_in_any_memory_format_are_stored_plainly(tmp_path: Path) -> None:
    model = C2AM("squeezenet1_1").to(memory_format=torch.channels_last)
    save_checkpoint(tmp_path / "last.pt", model, False, {})
    state = torch.load(tmp_path / "last.pt", weights_only=True)["state_dict"]
    assert all(value.is_contiguous() for value in state.values())


class Code:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "flag": Code(tmp_path / "ran")}, tmp_path / "bad.pt")
    with pytest.raises(UnsafeFileError, match="mkdir") as error:
        load_checkpoint(tmp_path / "bad.pt")
    assert not (tmp_path / "ran").exists()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"hello, world", b"\x89PNG\r\n\x1a\n" + bytes(100), b"PK\x03\x04" + bytes(50)]
)
def test_files_that_torch_did_not_write(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"torch\.save") as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cut_checkpoint_and_a_missing_one(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, C2AM("squeezenet1_1"), True, {})
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(InputError, match="is truncated"):
        load_checkpoint(path)
    with pytest.raises(InputError, match="no such file"):
        load_checkpoint(tmp_path / "none.pt")
    with pytest.raises(InputError, match="directory"):
        load_checkpoint(tmp_path)


@pytest.mark.slow
def test_files_that_hold_something_else(tmp_path: Path, published: dict[str, Tensor]) -> None:
    path = tmp_path / "last.pt"
    torch.save(published, path)
    with pytest.raises(InputError, match="initial weights"):
        load_checkpoint(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="a list"):
        load_checkpoint(path)
    small = C2AM("squeezenet1_1").state_dict()
    torch.save({"state_dict": small, "flag": False}, path)
    with pytest.raises(InputError, match=r"resnet50.*324"):
        load_checkpoint(path)
    small.pop("ac_head.bn_head.weight")
    info = {"backbone": "squeezenet1_1"}
    torch.save({"state_dict": small, "flag": False, "info": info}, path)
    with pytest.raises(InputError, match=r"1 of .*ac_head\.bn_head\.weight"):
        load_checkpoint(path)


def test_layouts_that_torch_save_does_not_write_never_reach_torch_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old .tar files (run by torch before 2.6), TorchScript, and archives that expand."""
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load was called"))
    path = tmp_path / "last.pt"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    files = [path.read_bytes()]
    for name, method in (("a/constants.pkl", zipfile.ZIP_STORED), ("a/1", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(path, "w", method) as packed:
            packed.writestr("a/data.pkl", bytes(10_000))
            packed.writestr(name, bytes(10_000))
        files.append(path.read_bytes())
    for data in files:
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"torch\.save"):
            load_checkpoint(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        {"flag": []},
        {"info": [1]},
        {"info": {"backbone": []}},
        {"info": {"dilated": "x"}},
        {"info": {"output_stride": 7}},
        {"info": {"backbone": "x" * 5000}},
        {"state_dict": {1: torch.ones(2)}},
        {"state_dict": {"a\nb": torch.ones(2), "x" * 5000: torch.ones(2)}},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_what_no_checkpoint_holds_gives_one_line(tmp_path: Path, wrong: dict[str, Any]) -> None:
    state = C2AM("squeezenet1_1").state_dict()
    content = {"state_dict": state, "flag": True, "info": {"backbone": "squeezenet1_1"}} | wrong
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(InputError) as error:
        load_checkpoint(tmp_path / "last.pt")
    assert str(error.value).startswith(f"{tmp_path / 'last.pt'}: ")
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("resize", value) for value in ("512", -5, 0, 1.5, float("nan"), True, 10**9)),
        *(("crop", value) for value in ([448], -3, 10**7)),
        *(("polarity", value) for value in (3, [True], {}, {"margin": 0.5}, {"rule": None})),
        ("polarity", {"rule": "border", "margin": "large"}),
    ],
)
def test_damaged_notes_of_training_are_reported(tmp_path: Path, name: str, value: Any) -> None:
    """c2am-cues would run into them, or take a square of 10⁷ pixels a side at its word."""
    save_checkpoint(tmp_path / "last.pt", C2AM("squeezenet1_1"), True, {name: value})
    with pytest.raises(InputError, match=rf"last\.pt: is damaged: its {name} is"):
        load_checkpoint(tmp_path / "last.pt")


def test_the_older_layout_of_torch_save_is_read(tmp_path: Path) -> None:
    model = C2AM("squeezenet1_1")
    content = {
        "state_dict": model.state_dict(),
        "flag": True,
        "info": {"backbone": "squeezenet1_1"},
    }
    torch.save(content, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(tmp_path / "old.pt")
    assert equal(load_checkpoint(tmp_path / "old.pt").model.state_dict(), model.state_dict())
    content["flag"] = Code(tmp_path / "ran")  # type: ignore[assignment]
    torch.save(content, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(UnsafeFileError, match="mkdir"):
        load_checkpoint(tmp_path / "old.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "damage", [b"", b"junk", b"\x80\x02\xff.", b"\x80\x02K\x01Q.", b"\x80\x02)."]
)
def test_the_older_layout_damaged(tmp_path: Path, damage: bytes) -> None:
    """Cut short, an unknown opcode, a tensor of no storage, and what is no dict."""
    torch.save({}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "old.pt").read_bytes()
    start = content.index(b".", content.index(b"type_sizes")) + 1  # where the content begins
    (tmp_path / "old.pt").write_bytes(content[:start] + damage)
    with pytest.raises(
        InputError, match=r"old\.pt: (was not written by torch\.save|is not a C2AM checkpoint)"
    ):
        load_checkpoint(tmp_path / "old.pt")


@pytest.mark.filterwarnings("ignore:(Sparse|Validating)")
@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_sparse_tensors_are_not_copied(tmp_path: Path, layout: str) -> None:
    """Their indices could point anywhere: torch checks them late or never."""
    state = C2AM("squeezenet1_1").state_dict()
    name = next(name for name, value in state.items() if value.ndim == 4)
    state[name] = getattr(state[name], layout)()
    info = {"backbone": "squeezenet1_1"}
    torch.save({"state_dict": state, "flag": True, "info": info}, tmp_path / "sparse.pt")
    with pytest.raises(
        InputError, match=r"sparse\.pt: (has tensors that cannot be|was not written by)"
    ):
        load_checkpoint(tmp_path / "sparse.pt")
    with pytest.raises(
        InputError, match=r"sparse\.pt: (has tensors that cannot be|was not written by)"
    ):
        initial_weights(C2AM("squeezenet1_1"), str(tmp_path / "sparse.pt"))


def test_a_small_file_that_names_a_huge_network_builds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "get_model", lambda *_, **__: pytest.fail("it was built"))
    wide = {"ac_head.activation_head.weight": torch.zeros(1).expand(10**5, 10**5)}
    torch.save({"state_dict": wide, "info": {"backbone": "regnet_y_128gf"}}, tmp_path / "last.pt")
    with pytest.raises(InputError, match=r"does not fit regnet_y_128gf.*644,812,894 parameters"):
        load_checkpoint(tmp_path / "last.pt")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg11", "regnet_y_400mf"])
def test_backbones_much_smaller_than_their_classifier_come_back(tmp_path: Path, name: str) -> None:
    save_checkpoint(tmp_path / "last.pt", C2AM(name), True, {})
    assert load_checkpoint(tmp_path / "last.pt").info["backbone"] == name


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_network_that_would_say_nan_is_refused(tmp_path: Path, value: float) -> None:
    """Its cues would be all background, without a word."""
    model = C2AM("squeezenet1_1", 16)
    with torch.no_grad():
        model.backbone.features[0].weight[0, 0, 0, 0] = value
    save_checkpoint(tmp_path / "last.pt", model, False, {})
    said = r"last\.pt: contains NaN or infinite numbers \(backbone\.features\.0\.weight\)"
    with pytest.raises(InputError, match=said):
        load_checkpoint(tmp_path / "last.pt")
    with pytest.raises(InputError, match=r"last\.pt: contains NaN or infinite numbers"):
        initial_weights(C2AM("squeezenet1_1", 16), str(tmp_path / "last.pt"))


def test_weights_that_lie_in_themselves(tmp_path: Path) -> None:
    content: dict[str, Any] = {"epoch": 1}
    content["state_dict"] = content
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match=NAME):
        initial_weights(C2AM(NAME), str(tmp_path / "w.pth"))


# Initial weights ------------------------------------------------------------------------------


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def zeros(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(value) for name, value in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nest", "prefix"),
    [
        (None, ""),  # torchvision
        ("state_dict", "module.encoder_q."),  # MoCo v2, DetCo
        ("model", ""),
        ("teacher", "backbone."),  # DINO
        ("student", "module.backbone."),
        (None, "module."),  # SwAV
    ],
)
def test_weights_are_found_in_any_nest(
    tmp_path: Path,
    published: dict[str, Tensor],
    names: set[str],
    nest: str | None,
    prefix: str,
) -> None:
    content: dict[str, Any] = prefixed(prefix, published)
    if nest:
        content = {"epoch": 200, nest: content, "optimizer": {"state": {}}}
    torch.save(content, tmp_path / "weights.pth")
    model = C2AM(NAME)
    report = initial_weights(model, str(tmp_path / "weights.pth"))
    assert report.matched == len(names)
    assert report.missing == ()
    assert set(report.unexpected) == {"fc.weight", "fc.bias"}
    loaded = model.backbone.state_dict()
    assert equal(loaded, {k: v for k, v in published.items() if not k.startswith("fc.")})


@pytest.mark.slow
def test_the_better_half_of_a_file_is_taken(tmp_path: Path, published: dict[str, Tensor]) -> None:
    path = tmp_path / "weights.pth"
    blank = zeros(published)
    moco = prefixed("module.encoder_k.", blank) | prefixed("module.encoder_q.", published)
    dino = {
        "student": prefixed("module.backbone.", blank),
        "teacher": prefixed("backbone.", published),
    }
    for content in ({"state_dict": moco}, dino):
        torch.save(content, path)
        model = C2AM(NAME)
        initial_weights(model, str(path))
        assert torch.equal(model.backbone.conv1[0].weight, published["conv1.0.weight"])


@pytest.mark.skipif(
    not hasattr(torch.serialization, "safe_globals"),
    reason="this torch has no list of safe classes",
)
def test_a_command_line_in_the_file_is_no_harm(
    tmp_path: Path, published: dict[str, Tensor], names: set[str]
) -> None:
    path = tmp_path / "dino.pth"
    torch.save({"teacher": published, "args": argparse.Namespace(arch=NAME)}, path)
    assert initial_weights(C2AM(NAME), str(path)).matched == len(names)


def test_a_file_without_counters_is_whole(
    tmp_path: Path, published: dict[str, Tensor], names: set[str]
) -> None:
    path = tmp_path / "old.pth"
    torch.save({k: v for k, v in published.items() if not k.endswith("_tracked")}, path)
    report = initial_weights(C2AM(NAME), str(path))
    assert (report.matched, report.missing) == (len(names), ())


def test_our_own_checkpoint_can_start_another(tmp_path: Path) -> None:
    first = C2AM("squeezenet1_1")
    save_checkpoint(tmp_path / "last.pt", first, True, {})
    second = C2AM("squeezenet1_1", 8)
    initial_weights(second, str(tmp_path / "last.pt"))
    assert equal(second.backbone.state_dict(), first.backbone.state_dict())


def test_what_fits_little_is_refused_and_changes_nothing(
    tmp_path: Path, published: dict[str, Tensor]
) -> None:
    half = dict(list(published.items())[: len(published) // 2])
    other = models.squeezenet1_1().state_dict()
    wide = {k: torch.cat([v, v]) if v.ndim else v for k, v in published.items()}
    model = C2AM(NAME)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for content in (half, other, wide, {}, {"epoch": 3}, [1]):
        torch.save(content, tmp_path / "weights.pth")
        with pytest.raises(InputError, match=NAME) as error:
            initial_weights(model, str(tmp_path / "weights.pth"))
        assert "\n" not in str(error.value)
    assert equal(model.state_dict(), before)


@pytest.mark.slow
def test_a_deeper_network_fills_a_shallower_one_and_is_refused(tmp_path: Path) -> None:
    torch.save(models.resnet34().state_dict(), tmp_path / "deeper.pth")
    with pytest.raises(InputError, match="expected weights of resnet18"):
        initial_weights(C2AM("resnet18"), str(tmp_path / "deeper.pth"))


def test_a_tensor_or_two_may_be_missing_and_are_reported(
    tmp_path: Path, published: dict[str, Tensor], names: set[str]
) -> None:
    torch.save({k: v for k, v in published.items() if k != "conv1.1.bias"}, tmp_path / "w.pth")
    report = initial_weights(C2AM(NAME), str(tmp_path / "w.pth"))
    assert report.missing == ("conv1.1.bias",)
    assert f"{len(names) - 1} tensors matched, 1 missing (conv1.1.bias)" in str(report)


def test_random_leaves_the_network_alone() -> None:
    model = C2AM("squeezenet1_1")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert initial_weights(model, "random").matched == 0
    assert equal(model.state_dict(), before)


@pytest.mark.skipif(not SQUEEZENET.exists(), reason=f"the real weights are not here: {SQUEEZENET}")
def test_real_weights() -> None:
    model = C2AM("squeezenet1_0")
    report = initial_weights(model, str(SQUEEZENET))
    assert (report.matched, report.missing) == (50, ())
    with pytest.raises(InputError, match="squeezenet1_1"):
        initial_weights(C2AM("squeezenet1_1"), str(SQUEEZENET))


@pytest.mark.parametrize(
    "name", ["IMAGENET1K_V1", "DEFAULT", "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"]
)
def test_torchvision_names_are_read_from_torchs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: dict[str, Tensor], name: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    cached = (
        tmp_path / "hub/checkpoints" / models.get_model_weights(NAME).DEFAULT.url.split("/")[-1]
    )
    cached.parent.mkdir(parents=True)
    torch.save(published, cached)
    model = C2AM(NAME)
    initial_weights(model, name)
    assert torch.equal(model.backbone.conv1[0].weight, published["conv1.0.weight"])


def test_a_download_that_fails_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError, match=r"https://.*shufflenet.*`weights=") as error:
        initial_weights(C2AM(NAME), "IMAGENET1K_V1")
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["IMAGENET1K_V9", "ResNet50_Weights.IMAGENET1K_V1", "weights.pth", ""]
)
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match="IMAGENET1K_V1"):
        initial_weights(C2AM(NAME), name)
