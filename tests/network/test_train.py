"""Training: the exact two-pass gradient, resuming bit for bit, and failing before it looks fine."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from small_training import (
    assert_same_gradients,
    batch,
    gradients,
    settled,
    small_train,
    write_photos,
)
from torch import Tensor, nn
from training_contract import Start, TrainingContract, rows

from c2am_plugin.cli import train_main
from c2am_plugin.errors import C2AMError, InputError, MissingDependency, TrainingError
from c2am_plugin.network.checkpoint import load_checkpoint
from c2am_plugin.network.gradient import fitting_micro_batch, loss_gradient
from c2am_plugin.network.loss import c2am_loss
from c2am_plugin.network.model import C2AM, Output
from c2am_plugin.network.polarity import decide
from c2am_plugin.network.recipes import RECIPES, learning_rate, make_recipe
from c2am_plugin.network.trainer import Trainer
from c2am_plugin.runs.ranks import ALONE, Ranks
from c2am_plugin.training.recipes import choose_recipe

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("train") / "photos", 9)


@pytest.fixture(scope="session")
def start(photos: Path) -> Start:
    return partial(small_train, photos)


# The gradient of a batch ----------------------------------------------------------------------


@pytest.mark.parametrize("micro_batch", [1, 2])
def test_two_passes_give_the_gradient_of_the_whole_batch(micro_batch: int) -> None:
    """With BatchNorm's statistics fixed; 2 leaves a part of one, which torch has got wrong."""
    model = settled("resnet18")
    whole = loss_gradient(model, batch(), 0.25)
    expected = gradients(model)
    parted = loss_gradient(model, batch(), 0.25, micro_batch=micro_batch)
    assert_same_gradients(expected, gradients(model))
    torch.testing.assert_close(parted.parts.total, whole.parts.total)
    torch.testing.assert_close(parted.p, whole.p)


def drop_at_random(squeezenet: C2AM) -> None:
    squeezenet.backbone.features[-1].expand3x3_activation = nn.Dropout(0.5)  # type: ignore[index]


def test_accumulated_gradients_are_another_loss() -> None:
    model = settled("resnet18")
    whole = loss_gradient(model, batch(4), 0.25).parts.total
    expected = gradients(model)["ac_head.activation_head.weight"]
    halves = [loss_gradient(model, half, 0.25).parts.total for half in batch(4).split(2)]
    accumulated = gradients(model)["ac_head.activation_head.weight"] / 2
    assert abs(float(whole - sum(halves) / 2)) > 1e-3
    assert float((accumulated - expected).norm() / expected.norm()) > 0.05


def test_with_batch_statistics_each_part_is_normalised_by_itself() -> None:
    """Exact for that loss, random layers included, and statistics move once a part."""
    torch.manual_seed(0)
    model, reference = (C2AM("squeezenet1_1").double() for _ in range(2))
    for network in (model, reference):
        drop_at_random(network)
    reference.load_state_dict(model.state_dict())
    x = batch(6)
    torch.manual_seed(5)
    parted = loss_gradient(model, x, 0.25, micro_batch=2)
    after = torch.rand(1)

    torch.manual_seed(5)
    outputs = [reference(part) for part in x.split(2)]
    whole = Output(*map(torch.cat, zip(*outputs, strict=True)))
    expected = c2am_loss(whole.foreground, whole.background, 0.25).total
    expected.backward()
    torch.testing.assert_close(parted.parts.total, expected.detach())
    assert_same_gradients(gradients(reference), gradients(model))
    assert torch.equal(after, torch.rand(1))
    for (name, one), other in zip(
        model.state_dict().items(), reference.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, msg=name)


def test_a_micro_batch_of_all_is_the_plain_gradient() -> None:
    model = settled("squeezenet1_1")
    loss_gradient(model, batch(4), 0.25)
    expected = gradients(model)
    loss_gradient(model, batch(4), 0.25, micro_batch=9)
    found = gradients(model)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


class Glutton(nn.Module):
    """A network that asks for a petabyte where more than three images come at once."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = C2AM("squeezenet1_1")

    def forward(self, images: Tensor) -> Output:
        if len(images) > 3:
            torch.empty(2**50, dtype=torch.uint8)
        return self.inner(images)


def test_out_of_memory_says_what_fits() -> None:
    model: Any = Glutton()
    plan = make_recipe("paper", batch_size=12, crop=64)
    assert fitting_micro_batch(model, batch(12).float(), 0.25) == 3
    trainer = Trainer(model, plan, 5, CPU, micro_batch=None, precision=None)
    with pytest.raises(TrainingError, match=r"12 images of 64 pixels.*`micro_batch=3`"):
        trainer.advance(torch.zeros(12, 3, 64, 64, dtype=torch.uint8))


def dropping(ranks: Ranks = ALONE) -> Trainer:
    """A trainer of a network that draws at random."""
    torch.manual_seed(0)
    model = C2AM("squeezenet1_1", 8)
    drop_at_random(model)
    plan = make_recipe("small", batch_size=4, crop=64)
    return Trainer(model, plan, 5, CPU, None, None, seed=3, ranks=ranks)


def test_what_layers_draw_depends_on_the_step_and_the_rank(tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    whole, first, again, other = dropping(), dropping(), dropping(), dropping(Ranks(1, 1))
    expected = [whole.advance(pixels).parts.total for _ in range(2)]
    assert first.advance(pixels).parts.total == expected[0]
    first.save(tmp_path / "resume.pt")
    torch.rand(3)
    again.load(tmp_path / "resume.pt")
    assert again.advance(pixels).parts.total == expected[1]
    assert other.advance(pixels).parts.total != expected[0]


# Recipes --------------------------------------------------------------------------------------


def test_the_schedules() -> None:
    paper, released = RECIPES["paper"], RECIPES["released"]
    assert learning_rate(paper, 0, 100) == pytest.approx(1e-4)
    assert learning_rate(paper, 50, 100) == pytest.approx(0.5e-4)
    assert learning_rate(paper, 99, 100) == pytest.approx(1e-4 * (1 + math.cos(0.99 * math.pi)) / 2)
    assert learning_rate(released, 0, 100) == pytest.approx(1e-3)
    assert learning_rate(released, 50, 100) == pytest.approx(1e-3 * 0.5**0.9)
    assert learning_rate(released, 99, 100) == pytest.approx(1e-3 * 0.01**0.9)


def test_what_is_given_replaces_the_recipes() -> None:
    recipe = make_recipe("paper", lr=0.5, epochs=None, crop=224)
    assert (recipe.lr, recipe.epochs, recipe.crop, recipe.resize) == (0.5, 10, 224, 256)
    assert make_recipe("localisation").resize == 256
    assert make_recipe("paper", crop=100, resize=100).resize == 100


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch_size": 1}, "at least 2"),
        ({"crop": 32}, "64 at output stride 16"),
        ({"crop": 300, "resize": 200}, "at most 200"),
        ({"epochs": 0}, "epochs 0"),
        ({"lr": -1.0}, "lr -1"),
        ({"lr": math.nan}, "lr nan"),
        ({"alpha": math.inf}, "alpha inf"),
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        make_recipe("paper", **changes)
    with pytest.raises(InputError, match="paper, released, localisation"):
        make_recipe("papper")


def test_released_trains_the_weights_of_convolutions_only(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = C2AM("squeezenet1_1").state_dict()
    result = small_train(photos, tmp_path / "run", recipe="released", epochs=1)
    model = load_checkpoint(result.checkpoint).model
    convolutions = {f"{k}.weight" for k, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    for name, value in model.state_dict().items():
        moved = not torch.equal(value, before[name])
        statistic = name.split(".")[-1] in ("running_mean", "running_var", "num_batches_tracked")
        assert moved == (name in convolutions or statistic), name


# A run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run. Not to be changed."""
    out = tmp_path_factory.mktemp("finished") / "run"
    small_train(photos, out, picture_every=4)
    return out


def test_what_a_run_leaves_behind(finished: Path, photos: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "last.pt",
        "log.csv",
        "pictures",
        "report.html",
    }
    log = rows(finished)
    assert [int(row["step"]) for row in log] == [1, 2, 3, 4, 5, 6]
    assert [int(row["epoch"]) for row in log] == [1, 1, 2, 2, 3, 3]
    for row in log:
        parts = ("positive_foreground", "negative", "positive_background")
        assert float(row["loss"]) == pytest.approx(sum(float(row[k]) for k in parts), rel=1e-4)
        assert 0 < float(row["p_mean"]) < 1
        assert float(row["images_per_second"]) > 0
    expected = [learning_rate(make_recipe("paper", lr=0.01), step, 6) for step in range(6)]
    np.testing.assert_allclose([float(row["lr"]) for row in log], expected, rtol=1e-4)
    pictures = sorted(path.name for path in (finished / "pictures").iterdir())
    assert pictures[3:] == ["step_000001.png", "step_000005.png"]
    assert Image.open(finished / "pictures" / pictures[3]).size == (4 * 128, 2 * 128)


def test_the_checkpoint_says_how_it_was_made(finished: Path, photos: Path) -> None:
    checkpoint = load_checkpoint(finished / "last.pt")
    info = checkpoint.info
    assert (info["recipe"], info["backbone"], info["crop"]) == ("paper", "squeezenet1_1", 64)
    assert (info["epoch"], info["finished"]) == (3, True)
    again = decide(checkpoint.model, sorted(photos.iterdir()), size=64)
    assert checkpoint.flag == again.flag == info["polarity"]["flag"]
    assert info["polarity"]["margin"] == pytest.approx(again.margin)
    assert info["polarity"]["n_images"] == 9


def test_training_lowers_the_loss(photos: Path, tmp_path: Path) -> None:
    small_train(photos, tmp_path / "run", epochs=6, lr=0.02)
    loss = [float(row["loss"]) for row in rows(tmp_path / "run")]
    assert np.mean(loss[-3:]) < np.mean(loss[:3]) - 0.05


class TestRun(TrainingContract):
    rate = 0.01
    resume: ClassVar[dict[str, Any]] = {"resume": True}


def test_nothing_to_resume(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no interrupted run"):
        small_train(photos, tmp_path / "run", resume=True)


def test_bfloat16_and_parts_run_too(photos: Path, tmp_path: Path) -> None:
    small_train(photos, tmp_path / "run", epochs=1, amp=True, micro_batch=2, batch_size=8)
    [row] = rows(tmp_path / "run")
    assert math.isfinite(float(row["loss"]))
    weight = load_checkpoint(tmp_path / "run" / "last.pt").model.ac_head.activation_head.weight
    assert weight.dtype == torch.float32


def test_few_images_shrink_the_recipes_batch_but_not_ours(photos: Path, tmp_path: Path) -> None:
    result = small_train(photos, tmp_path / "run", batch_size=None, epochs=1)
    assert load_checkpoint(result.checkpoint).info["settings"]["batch_size"] == 9
    with pytest.raises(InputError, match="`batch_size=9` or less"):
        small_train(photos, tmp_path / "none", batch_size=10)
    with pytest.raises(InputError, match="one image"):
        small_train(write_photos(tmp_path / "one", 1), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_unreadable_images_are_left_out_up_to_a_limit(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", 8)
    (folder / "003.png").write_bytes(b"no image")
    result = small_train(folder, tmp_path / "run")
    assert len(result.unreadable) == 1
    assert "003.png" in result.unreadable[0]
    (folder / "005.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"2 of 8 images cannot be read.*003\.png.*005\.png"):
        small_train(folder, tmp_path / "again", epochs=9)


def test_a_constant_p_is_an_error_and_no_checkpoint(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", 8, same=True)
    with pytest.raises(TrainingError, match=r"P has become constant.*Nothing was kept"):
        small_train(folder, tmp_path / "run")
    assert not (tmp_path / "run" / "last.pt").exists()
    assert not (tmp_path / "run" / "resume.pt").exists()


def test_a_loss_that_is_not_finite_is_an_error(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"loss is nan.*lower `lr`"):
        small_train(photos, tmp_path / "run", lr=1e30)
    assert not (tmp_path / "run" / "resume.pt").exists()


def test_tensorboard_is_optional_and_said(photos: Path, tmp_path: Path) -> None:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependency, match="pip install tensorboard"):
            small_train(photos, tmp_path / "run", epochs=1, tensorboard=True)
    else:
        small_train(photos, tmp_path / "run", epochs=1, tensorboard=True)
        assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"device": "cuda:99"}, "cuda:99"),
        ({"device": "toaster"}, "toaster"),
        ({"seed": -1}, "seed -1"),
        ({"micro_batch": 0}, "micro_batch 0"),
        ({"workers": -1}, "workers -1"),
        ({"backbone": "resnet19"}, "resnet19"),
    ],
)
def test_mistakes_are_one_line(
    photos: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(C2AMError, match=told) as error:
        small_train(photos, tmp_path / "run", **changes)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


# The command ----------------------------------------------------------------------------------


def test_the_command(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("000\n001\n002\n003\n")
    arguments = [str(photos), "-o", str(tmp_path / "run"), "--ids", str(ids), "--device", "cpu"]
    arguments += ["--backbone", "squeezenet1_1", "--weights", "random", "--epochs", "1"]
    arguments += ["--crop", "64"]
    assert train_main([*arguments, "--batch-size", "4"]) == 0
    shown = capsys.readouterr()
    assert "last.pt: 1 steps; P is high on the" in shown.out
    assert "4 images, 1 epochs of 1 steps" in shown.err
    assert train_main([*arguments, "--batch-size", "1"]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("c2am-train: batch size 1")
    assert shown.err.count("\n") == 1
    with pytest.raises(SystemExit) as usage:
        train_main([str(photos)])
    assert usage.value.code == 2


def test_few_images_take_the_small_recipe_and_enough_steps(photos: Path, tmp_path: Path) -> None:
    small = RECIPES["small"]
    assert (choose_recipe("auto", 97), choose_recipe("auto", 10_582)) == ("small", "paper")
    assert choose_recipe("released", 97) == "released"
    assert small.epochs_for(97) * (97 // small.batch_size) >= small.least_steps
    assert small.epochs_for(100_000) == small.epochs
    assert make_recipe("small", epochs=3).epochs_for(97) == 3
    result = small_train(photos, tmp_path / "run", recipe="auto", epochs=1)
    assert load_checkpoint(result.checkpoint).info["recipe"] == "small"


def test_the_head_starts_alone(photos: Path) -> None:
    plan = make_recipe("small", batch_size=4, crop=64, epochs=4)
    plan = replace(plan, head_steps=2)
    torch.manual_seed(0)
    model = C2AM("squeezenet1_1", plan.output_stride)
    trainer = Trainer(model, plan, 4, torch.device("cpu"), None, None)
    before = {name: value.clone() for name, value in model.named_parameters()}
    batch = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    moved = []
    for _ in range(3):
        trainer.advance(batch)
        now = dict(model.named_parameters())
        moved.append(
            {name.split(".")[0] for name in now if not torch.equal(before[name], now[name])}
        )
    assert moved == [{"ac_head"}, {"ac_head"}, {"ac_head", "backbone"}]
    assert [learning_rate(plan, step, 4) for step in range(3)] == [0.01, 0.01, 0.001]
