"""U14 and the run around it: training learns, goes on to the same weights, and says mistakes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranks import in_ranks
from small_classifier import CLASSES, small_classifier, write_labelled
from torchvision.models import get_model
from training_contract import Start, TrainingContract, rows

from c2am_plugin.classifier.checkpoint import load_classifier
from c2am_plugin.classifier.recipes import RECIPES, learning_rate, make_recipe
from c2am_plugin.errors import InputError, TrainingError
from c2am_plugin.training.weights import initial_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    write_labelled(folder, 9)
    return folder


@pytest.fixture(scope="session")
def start(labelled: Path) -> Start:
    return partial(small_classifier, labelled)


@pytest.fixture(scope="session")
def finished(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    start(run)
    return run


class TestClassifier(TrainingContract):
    """An interrupt in the first step is before SupportNet begins, one in the third after it."""

    rate = 1e-3


def test_the_log_shows_what_the_losses_do(finished: Path) -> None:
    log = rows(finished)
    assert [bool(row["rcm"]) for row in log] == [False, False, True, True, True, True]
    for row in log:
        values = {k: float(v) for k, v in row.items() if v}
        assert all(np.isfinite(v) for v in values.values())
        assert 0 <= values["label_accuracy"] <= 1
    assert float(log[-1]["distance"]) > 0
    assert (finished / "classes.txt").read_text() == "background\ndots\nstripes\n"
    assert list((finished / "pictures").glob("*.png"))


def test_it_learns_which_classes_an_image_shows(labelled: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"rcm": 0.0, "mam": 0.0, "turns": True, "jitter": False}
    result = small_classifier(labelled, tmp_path / "run", epochs=40, lr=3e-3, **settings)
    log = rows(tmp_path / "run")
    assert result.loss < 0.9 * float(log[0]["classification"])
    assert not any(row["rcm"] or row["mam"] for row in log)


def test_a_checkpoint_is_trained_further_and_serves_c2am_train(
    labelled: Path, finished: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"backbone": None, "start": None, "mam": 0.0}
    result = small_classifier(
        labelled, tmp_path / "on", checkpoint=finished / "last.pt", **settings
    )
    assert rows(tmp_path / "on")[0]["rcm"]  # from the first step on
    loaded = load_classifier(result.checkpoint)
    assert loaded.classes == tuple(sorted(CLASSES))
    assert loaded.info["settings"]["backbone"] == "squeezenet1_1"
    report = initial_weights(loaded.model, str(result.checkpoint))
    assert report.missing == ()


def test_ranks_end_with_the_weights_of_one_process(
    labelled: Path, finished: Path, tmp_path: Path
) -> None:
    """BatchNorm has no part in SqueezeNet; sums of another order move the last digits."""
    for ended in in_ranks(small_classifier, labelled, tmp_path / "run"):
        assert not ended.error, ended.text
    for found, expected in zip(rows(tmp_path / "run"), rows(finished), strict=True):
        for name in ("loss", "rcm", "mam", "foreground", "regions", "similarity"):
            if expected[name]:
                assert float(found[name]) == pytest.approx(float(expected[name]), rel=1e-2)


# What cannot be ------------------------------------------------------------------------------


def test_mistakes_are_reported_before_anything_is_written(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("i0,stripes\n")
    (tmp_path / "none.csv").write_text("".join(f"i{k},\n" for k in range(9)) + "z,cat\n")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"labels": tmp_path / "few.csv"}, "8 of 9 images have no label"),
        ({"labels": tmp_path / "none.csv"}, "no label of the 9 images names a class"),
        ({"batch_size": 10}, "no batch would ever be full"),
        ({"recipe": "paper"}, "recipe 'paper' is unknown"),
        ({"scope": "world"}, "scope 'world' is none of batch, image, mixed"),
        ({"tau": 0.0}, "tau 0.0"),
        ({"tau": "x"}, "tau 'x': expected float"),
        ({"sharpness": 1}, "'sharpness' is not a number of a recipe"),
        ({"scales": (9.0,)}, "scale 9: expected a factor"),
        ({"rcm": -1.0}, "rcm -1.0"),
        ({"threshold": 1.5}, "threshold 1.5"),
        ({"weights": "nothing"}, "nothing: is neither a file"),
        ({"backbone": "vit_b_16"}, "vit_b_16"),
        ({"checkpoint": labelled / "labels.csv"}, "was not written by torch.save"),
        ({"device": "gpu"}, "device 'gpu'"),
        ({"resume": True}, "no interrupted run"),
    ]
    for changes, message in wrong:
        with pytest.raises(InputError, match=message) as raised:
            small_classifier(labelled, tmp_path / "run", **changes)
        assert "\n" not in str(raised.value)
    assert not list((tmp_path / "run").glob("*")) if (tmp_path / "run").exists() else True


def test_one_image_is_too_few(tmp_path: Path) -> None:
    write_labelled(tmp_path, 1)
    with pytest.raises(InputError, match="one image"):
        small_classifier(tmp_path, tmp_path / "run")


def test_a_loss_that_is_not_finite_ends_the_run(labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"the loss is (nan|inf) at step \d+; take a lower `lr`"
    ):
        small_classifier(labelled, tmp_path / "run", lr=1e30)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_too_many_unreadable_images_end_the_run(tmp_path: Path) -> None:
    images, _ = write_labelled(tmp_path, 9)
    for name in ("i3", "i5", "i7"):
        (images / f"{name}.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="of 9 images cannot be read"):
        small_classifier(tmp_path, tmp_path / "run")


# Other checkpoints -----------------------------------------------------------------------------


def test_a_torchvision_classifier_is_taken_with_its_names(tmp_path: Path) -> None:
    network = get_model("resnet18", weights=None, num_classes=2).eval()
    torch.save(network.state_dict(), tmp_path / "r.pth")
    loaded = load_classifier(
        tmp_path / "r.pth", backbone="resnet18", classes=("a", "b"), output_stride=32
    )
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded.model.logits(images), network(images), atol=1e-4, rtol=1e-4
        )
    with pytest.raises(InputError, match="has 2 classes and 3 are named"):
        load_classifier(tmp_path / "r.pth", backbone="resnet18", classes=("a", "b", "c"))
    with pytest.raises(InputError, match=r"does not fit a resnet34|is missing|no class head"):
        load_classifier(tmp_path / "r.pth", backbone="resnet34", classes=("a", "b"))


def test_irns_names_are_mapped_and_psas_resnet38_is_refused(tmp_path: Path) -> None:
    network = get_model("resnet50", weights=None).state_dict()
    irn = {f"resnet50.{k}": v for k, v in network.items()}
    irn |= {f"stage1.{k}": v for k, v in network.items() if k.startswith("conv1")}
    irn["classifier.weight"] = torch.rand(4, 2048, 1, 1)
    torch.save(irn, tmp_path / "res50_cam.pth")
    loaded = load_classifier(tmp_path / "res50_cam.pth", classes=("a", "b", "c", "d"))
    assert torch.equal(loaded.model.head.weight, irn["classifier.weight"])
    assert torch.equal(loaded.model.backbone.conv1.weight, network["conv1.weight"])
    psa = {"conv1a.weight": torch.rand(64, 3, 3, 3), "fc8.weight": torch.rand(20, 4096, 1, 1)}
    torch.save(psa, tmp_path / "res38_cls.pth")
    with pytest.raises(InputError, match="ResNet-38d of PSA or SEAM, which torchvision does not"):
        load_classifier(tmp_path / "res38_cls.pth", classes=("a",) * 20)


# The table -------------------------------------------------------------------------------------


def test_recipes_and_their_rates() -> None:
    assert set(RECIPES) == {"voc", "ppc", "small"}
    assert (make_recipe("ppc").tau, make_recipe("ppc").rcm) == (0.1, 0.1)
    voc, small = make_recipe("voc"), make_recipe("small", crop=160)
    assert small.long_side == (128, 224)
    assert learning_rate(voc, 0, 100) == voc.lr
    rates = [learning_rate(small, step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(small.lr, rel=1e-3)
    assert rates.index(max(rates)) == 30
    assert rates[0] == pytest.approx(small.lr / 25)
    assert rates[-1] < small.lr / 100
