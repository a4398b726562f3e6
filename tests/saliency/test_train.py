"""c2am-saliency as a user runs it: it denoises cues, resumes to the same weights, says mistakes."""

from __future__ import annotations

import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model
from training_contract import Start, TrainingContract, rows

from c2am_plugin.cli import saliency_main
from c2am_plugin.errors import C2AMError, InputError, TrainingError
from c2am_plugin.files.cues import is_soft_cue, read_saliency
from c2am_plugin.files.writing import write_json
from c2am_plugin.network.checkpoint import save_checkpoint
from c2am_plugin.runs.output_folders import read_record, read_report
from c2am_plugin.saliency.checkpoint import load_saliency
from c2am_plugin.saliency.data import find_cues, read_example
from c2am_plugin.saliency.predict import predict_saliency
from c2am_plugin.saliency.recipes import RECIPES, make_recipe
from c2am_plugin.saliency.train import SaliencyResult, train_saliency
from c2am_plugin.training.recipes import choose_recipe

pytestmark = pytest.mark.slow

Sets = tuple[Path, Path, dict[str, np.ndarray]]


def draw(folder: Path, n: int, seed: int = 0) -> Sets:
    """Bright discs on dark noise, sizes of all kinds; cues of which a third is wrong, in blocks.

    Returns (images, cues, {image id: bool H×W, the truth}).
    """
    rng = np.random.default_rng(seed)
    images, cues = folder / "images", folder / "cues"
    images.mkdir(parents=True)
    cues.mkdir()
    truths = {}
    for index in range(n):
        height, width = (int(side) for side in rng.integers(50, 80, 2))
        y, x = np.mgrid[:height, :width]
        row, column = rng.uniform(0.3, 0.7, 2) * (height, width)
        truth = (y - row) ** 2 + (x - column) ** 2 < rng.uniform(14, 20) ** 2
        pixels = rng.integers(0, 80, (height, width, 3))
        pixels[truth] += rng.integers(90, 170, 3)
        blocks = rng.random((-(-height // 8), -(-width // 8))) < 1 / 3
        wrong = np.kron(blocks, np.ones((8, 8), bool))[:height, :width]
        name = f"img_{index:02d}"
        Image.fromarray(pixels.astype(np.uint8)).save(images / f"{name}.png")
        Image.fromarray(((truth ^ wrong) * 255).astype(np.uint8)).save(cues / f"{name}.png")
        truths[name] = truth
    return images, cues, truths


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    return draw(tmp_path_factory.mktemp("drawn"), 9)


@pytest.fixture(scope="session")
def start(drawn: Sets) -> Start:
    return partial(small_train, drawn)


def small_train(sets: Sets, run: Path, **changes: Any) -> SaliencyResult:
    """A run of a second: 3 epochs of 2 steps of 4 images."""
    settings: dict[str, Any] = {
        "backbone": "squeezenet1_1",
        "weights": "random",
        "accumulate": 4,
        "epochs": 3,
        "lr": 2e-3,
        "side": 64,
        "width": 8,
        "workers": 0,
        "device": "cpu",
        "progress": False,
    }
    return train_saliency(sets[0], sets[1], run, **{**settings, **changes})


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


# What it is for -------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_it_finds_the_discs_behind_wrong_cues(tmp_path: Path, flip: bool) -> None:
    """Of cues a third of which is wrong; the polarity is kept, and turned where that is asked."""
    images, cues, truths = draw(tmp_path, 24)
    if flip:
        for path in cues.iterdir():
            Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    settings: dict[str, Any] = {"epochs": 8, "flip_cues": flip, "seed": 1, "lr": 2e-3}
    result = small_train((images, cues, truths), tmp_path / "run", **settings)
    predict_saliency(images, result.checkpoint, tmp_path / "out", progress=False)
    said = {name: read_saliency(tmp_path / "out" / f"{name}.png") for name in truths}
    given = {name: read_saliency(cues / f"{name}.png", flip=flip) for name in truths}
    before = np.mean([iou(given[name] > 0.5, truths[name]) for name in truths])
    after = np.mean([iou(said[name] > 0.5, truths[name]) for name in truths])
    assert before < 0.5
    assert after > 0.8
    # A third of the cues was wrong, so the network should not be sure of more than two thirds.
    inside = np.mean([said[name][truths[name]].mean() for name in truths])
    assert 0.55 < inside < 0.8


def test_soft_cues_teach_their_greys(tmp_path: Path) -> None:
    images, cues, truths = draw(tmp_path, 12)
    for name, truth in truths.items():
        grey = np.where(truth, 204, 26).astype(np.uint8)
        Image.fromarray(grey).save(cues / f"{name}.png")
    result = small_train((images, cues, truths), tmp_path / "run", epochs=24, lr=2e-3)
    predict_saliency(images, result.checkpoint, tmp_path / "out", progress=False)
    said = {name: read_saliency(tmp_path / "out" / f"{name}.png") for name in truths}
    inside = np.mean([said[name][truth].mean() for name, truth in truths.items()])
    outside = np.mean([said[name][~truth].mean() for name, truth in truths.items()])
    assert inside == pytest.approx(0.8, abs=0.1)
    assert outside == pytest.approx(0.1, abs=0.1)


def test_where_two_cues_contradict_each_other_nothing_is_learnt(tmp_path: Path) -> None:
    """Half of each image has the wrong polarity in the first cues, and is undone by the second."""
    images, cues, truths = draw(tmp_path, 16)
    (tmp_path / "second").mkdir()
    for name, truth in truths.items():
        grey = np.where(truth, 217, 38).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / "second" / f"{name}.png")
        wrong = truth.copy()
        wrong[:, : truth.shape[1] // 2] ^= True
        Image.fromarray((wrong * 255).astype(np.uint8)).save(cues / f"{name}.png")
    found = {path.stem: path for path in sorted(images.iterdir())}
    files, forms = find_cues(cues, tmp_path / "second", found)
    for (name, path), pair in zip(found.items(), files, strict=True):
        mask = read_example(path, pair, forms)[1]
        edge = truths[name].shape[1] // 2
        assert np.isnan(mask[:, :edge]).all()
        assert (mask[:, edge:] == truths[name][:, edge:]).all()
    scores = []
    for run, second in (("alone", None), ("both", tmp_path / "second")):
        settings: dict[str, Any] = {"epochs": 24, "lr": 1e-3, "second": second}
        result = small_train((images, cues, truths), tmp_path / run, **settings)
        assert math.isfinite(result.loss)
        predict_saliency(images, result.checkpoint, tmp_path / f"{run}_out", progress=False)
        said = {n: read_saliency(tmp_path / f"{run}_out" / f"{n}.png") > 0.5 for n in truths}
        scores.append(np.mean([iou(said[name], truths[name]) for name in truths]))
    assert scores[1] > 0.75 > 0.6 > scores[0]


# A run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def finished(drawn: Sets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run. Not to be changed."""
    run = tmp_path_factory.mktemp("finished") / "run"
    small_train(drawn, run, picture_every=4)
    return run


def test_what_a_run_leaves_behind(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "last.pt",
        "log.csv",
        "pictures",
        "report.html",
    }
    log = rows(finished)
    assert [int(row["step"]) for row in log] == [1, 2, 3, 4, 5, 6]
    assert [int(row["epoch"]) for row in log] == [1, 1, 2, 2, 3, 3]
    assert float(log[0]["loss"]) == pytest.approx(np.log(2), abs=1e-4)  # undecided at first
    assert float(log[-1]["loss"]) < float(log[0]["loss"])
    assert all(0 <= float(row["agreement"]) <= 1 for row in log)
    pictures = sorted(path.name for path in (finished / "pictures").iterdir())
    assert pictures[3:] == ["step_000001.png", "step_000005.png"]
    assert Image.open(finished / "pictures" / pictures[3]).size == (4 * 128, 3 * 128)


class TestRun(TrainingContract):
    rate = 0.002


def test_images_of_their_own_sizes(drawn: Sets, tmp_path: Path) -> None:
    """The paper's recipe resizes nothing, and predicts at the image's size."""
    result = small_train(drawn, tmp_path / "run", recipe="paper", side=None)
    info = load_saliency(result.checkpoint).info
    assert (info["settings"]["recipe"], info["settings"]["side"], info["scales"]) == (
        "paper",
        0,
        (1.0,),
    )
    report = predict_saliency(drawn[0], result.checkpoint, tmp_path / "out", progress=False)
    assert (report.written, report.failures) == (9, {})


def test_recipes() -> None:
    paper = RECIPES["paper"]
    assert (paper.lr, paper.weight_decay, paper.epochs, paper.accumulate) == (5e-5, 5e-4, 9, 10)
    assert (paper.side, paper.width, paper.output_stride) == (0, 512, 16)
    assert (choose_recipe("auto", 97), choose_recipe("auto", 10_582)) == ("small", "paper")
    assert choose_recipe("paper", 97) == "paper"
    for wrong in ({"side": 16}, {"epochs": 0}, {"lr": -1.0}, {"lr": float("nan")}, {"width": 0}):
        with pytest.raises(InputError):
            make_recipe("small", **wrong)
    with pytest.raises(InputError, match="paper, small"):
        make_recipe("papper")


# Mistakes -------------------------------------------------------------------------------------


def copied(sets: Sets, folder: Path) -> Sets:
    shutil.copytree(sets[0], folder / "images")
    shutil.copytree(sets[1], folder / "cues")
    return folder / "images", folder / "cues", sets[2]


def test_an_image_without_a_cue(drawn: Sets, tmp_path: Path) -> None:
    sets = copied(drawn, tmp_path)
    (sets[1] / "img_03.png").unlink()
    with pytest.raises(InputError, match=r"1 of 9 images have no cue \(img_03\).*`ids`"):
        small_train(sets, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_cues_of_other_images(drawn: Sets, tmp_path: Path) -> None:
    sets = copied(drawn, tmp_path)
    for path in sets[1].iterdir():
        Image.new("L", (90, 30), 255).save(path)
    told = r"img_00\.png: has 90×30 pixels but its photograph has \d+×"
    with pytest.raises(InputError, match=told):
        small_train(sets, tmp_path / "run")


def test_a_cue_of_another_size_but_the_same_shape_is_resized(drawn: Sets, tmp_path: Path) -> None:
    sets = copied(drawn, tmp_path)
    for path in sets[1].iterdir():
        half = Image.open(path)
        half.resize((half.width // 2, half.height // 2)).save(path)
    assert small_train(sets, tmp_path / "run").unreadable == ()


def test_cues_of_one_value(drawn: Sets, tmp_path: Path) -> None:
    sets = copied(drawn, tmp_path)
    for path in sets[1].iterdir():
        Image.new("L", Image.open(path).size, 255).save(path)
    with pytest.raises(InputError, match=r"all 9 cues checked are constant"):
        small_train(sets, tmp_path / "run")


def test_single_bad_pairs_are_left_out_up_to_a_limit(drawn: Sets, tmp_path: Path) -> None:
    sets = copied(drawn, tmp_path)
    (sets[1] / "img_03.png").write_bytes(b"no image")
    result = small_train(sets, tmp_path / "run")
    [message] = result.unreadable
    assert "img_03.png" in message
    (sets[0] / "img_05.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"2 of 9 images or cues cannot be used"):
        small_train(sets, tmp_path / "again")


def test_a_network_without_information_is_an_error(drawn: Sets, tmp_path: Path) -> None:
    for _ in range(2):  # going on with it does not make it better
        with pytest.raises(TrainingError, match="predicts the same value for every pixel"):
            small_train(drawn, tmp_path / "run", lr=1e-9)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_a_loss_that_is_not_finite_is_an_error(drawn: Sets, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"loss is (nan|inf).*lower `lr`"):
        small_train(drawn, tmp_path / "run", lr=1e30)


def test_what_is_no_saliency_network(drawn: Sets, tmp_path: Path) -> None:
    from c2am_plugin.network.model import C2AM

    save_checkpoint(tmp_path / "c2am.pt", C2AM("squeezenet1_1"), False, {})
    with pytest.raises(InputError, match=r"c2am\.pt: is not a saliency network"):
        predict_saliency(drawn[0], tmp_path / "c2am.pt", tmp_path / "out")
    torch.save({"info": {"kind": "saliency"}, "state_dict": {}}, tmp_path / "cut.pt")
    with pytest.raises(InputError, match=r"cut\.pt: is damaged"):
        predict_saliency(drawn[0], tmp_path / "cut.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"width": 4097},
        {"width": "8"},
        {"backbone": 3},
        {"scales": None},
        {"scales": ()},
        {"scales": (20,)},
        {"scales": "64"},
        {"scales": (10**9,)},
    ],
    ids=str,
)
def test_damaged_notes_of_a_saliency_network_are_reported(
    finished: Path, drawn: Sets, tmp_path: Path, change: dict[str, Any]
) -> None:
    content = torch.load(finished / "last.pt", weights_only=True)
    content["info"] |= change
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(InputError, match=r"last\.pt: is damaged or from another version"):
        predict_saliency(drawn[0], tmp_path / "last.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_every_cue_is_there_nothing_is_done(
    finished: Path, drawn: Sets, tmp_path: Path
) -> None:
    options = {"scales": (64,), "progress": False}
    for written, already in ((9, 0), (0, 9)):
        report = predict_saliency(drawn[0], finished / "last.pt", tmp_path / "out", **options)  # type: ignore[arg-type]
        assert (report.written, report.already_there) == (written, already)
        stored = (tmp_path / "out.c2am-saliency.json").read_text()
        assert '"written": 9' in stored


def test_a_report_that_is_missing_is_written_again(
    finished: Path, drawn: Sets, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"scales": (64,), "progress": False}
    predict_saliency(drawn[0], finished / "last.pt", tmp_path / "out", **options)
    record = tmp_path / "out.c2am-saliency.json"
    write_json(record, {"settings": read_record(record)})  # killed before the report
    predict_saliency(drawn[0], finished / "last.pt", tmp_path / "out", **options)
    assert read_report(record)


# The command ----------------------------------------------------------------------------------


def arguments(sets: Sets, out: Path, *extra: str) -> list[str]:
    options = ["--backbone", "squeezenet1_1", "--weights", "random", "--epochs", "3"]
    options += ["--side", "64", "--width", "8", "--lr", "0.002", "--accumulate", "4"]
    return [str(sets[0]), str(sets[1]), "-o", str(out), "--device", "cpu", *options, *extra]


def test_the_command_trains_predicts_and_continues(
    drawn: Sets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert saliency_main(arguments(drawn, out)) == 0
    shown = capsys.readouterr()
    assert "out_run/last.pt: 6 steps" in shown.out
    assert "wrote 9 soft cues" in shown.out
    assert {path.name for path in tmp_path.iterdir()} == {
        "out",
        "out_run",
        "out.c2am-saliency.json",
        "out_run.c2am-saliency.json",
    }
    for name, truth in drawn[2].items():
        assert is_soft_cue(out / f"{name}.png")
        assert read_saliency(out / f"{name}.png").shape == truth.shape
    (out / "img_02.png").unlink()
    before = (out / "img_01.png").stat().st_mtime_ns
    assert saliency_main(arguments(drawn, out)) == 0
    assert "wrote 1 soft cues" in capsys.readouterr().out
    assert (out / "img_01.png").stat().st_mtime_ns == before
    # Another network's cues do not go into the same folder unasked.
    changed = arguments(drawn, out, "--seed", "5", "--run", str(tmp_path / "other"))
    assert saliency_main(changed) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_the_command_with_a_trained_network(
    drawn: Sets, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("img_01\nimg_04\n")
    trained = ["--checkpoint", str(finished / "last.pt"), "-o", str(tmp_path / "out")]
    assert saliency_main([str(drawn[0]), *trained, "--ids", str(ids), "--scales", "64", "1.5"]) == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"img_01.png", "img_04.png"}
    capsys.readouterr()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_bytes(b"no image")
    shutil.copy(drawn[0] / "img_00.png", tmp_path / "bad" / "y.png")
    elsewhere = [*trained[:3], str(tmp_path / "mixed")]
    assert saliency_main([str(tmp_path / "bad"), *elsewhere]) == 1
    shown = capsys.readouterr()
    assert "wrote 1 soft cues" in shown.out
    assert "x.png: cannot be read" in shown.err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "give either CUES to train on, or --checkpoint"),
        (["cues", "--checkpoint", "x.pt"], "give either CUES to train on, or --checkpoint"),
        (["--checkpoint", "x.pt", "--epochs", "3"], "--epochs is for training only"),
    ],
)
def test_wrong_usage(given: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        saliency_main(["images", *given, "-o", "out"])
    assert stop.value.code == 2
    assert told in capsys.readouterr().err


def test_mistakes_are_one_line(
    drawn: Sets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for change, told in (
        (["--backbone", "resnet19"], "resnet19"),
        (["--device", "toaster"], "toaster"),
        (["--weights", str(tmp_path / "none.pth")], "none.pth"),
        (["--run", str(drawn[0] / "run")], "is inside the input"),
        (["--run", str(tmp_path / "out")], "is the folder of the training run"),
        (["-o", str(drawn[1])], "is the folder of the cues"),
    ):
        assert saliency_main(arguments(drawn, tmp_path / "out", *change)) == 1
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    empty = (drawn[0], tmp_path / "empty", drawn[2])
    assert saliency_main(arguments(empty, tmp_path / "out")) == 1
    assert "contains no cue" in capsys.readouterr().err
    assert not (tmp_path / "out_run").exists()


def test_a_photograph_as_cue_is_refused(drawn: Sets, tmp_path: Path) -> None:
    with pytest.raises(C2AMError):
        small_train((drawn[0], drawn[0], drawn[2]), tmp_path / "run")


def test_without_a_network_the_weights_can_come_from_a_file(
    drawn: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*args: Any, **kwargs: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError, match="download it on another machine"):
        small_train(drawn, tmp_path / "run", weights="IMAGENET1K_V1")
    assert not (tmp_path / "run").exists()
    torch.save(get_model("squeezenet1_1").state_dict(), tmp_path / "weights.pth")
    small_train(drawn, tmp_path / "run", weights=str(tmp_path / "weights.pth"))
    assert (tmp_path / "run" / "last.pt").exists()
