"""Several processes as one: the same loss and gradient, batches, files and bytes; no hang."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranks import Ended, in_ranks
from small_cues import checkpoint, run  # noqa: F401
from small_cues import photos as cue_photos  # noqa: F401
from small_files import contents
from small_training import (
    Brightness,
    assert_same_gradients,
    batch,
    gradients,
    settled,
    small_train,
    write_images,
    write_photos,
)
from torch import nn
from training_contract import rows, same_state

from c2am_plugin.cli import train_main
from c2am_plugin.errors import InputError
from c2am_plugin.network.gradient import loss_gradient
from c2am_plugin.network.inference import fast_copy
from c2am_plugin.network.loss import c2am_loss
from c2am_plugin.network.model import Output
from c2am_plugin.network.polarity import decide
from c2am_plugin.network.recipes import make_recipe
from c2am_plugin.network.trainer import Trainer
from c2am_plugin.runs import ranks
from c2am_plugin.runs.ranks import Ranks, joined
from c2am_plugin.training.batches import BatchOrder
from c2am_plugin.training.devices import pick_device

CPU = torch.device("cpu")

pytestmark = pytest.mark.torchrun


def values(ended: list[Ended]) -> list[Any]:
    assert all(not one.error for one in ended), ended
    return [one.value for one in ended]


def split(n: int, count: int) -> list[int]:
    """Which image is where, when ranks' shares are put one behind the other."""
    return [index for rank in range(count) for index in Ranks(rank, count).share(range(n))]


# Sharing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "count"), [(7, 3), (4, 2), (2, 3), (0, 2)])
def test_shares_are_disjoint_complete_and_alike(n: int, count: int) -> None:
    shares = [Ranks(rank, count).share(range(n)) for rank in range(count)]
    assert sorted(index for share in shares for index in share) == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_ranks_see_the_batches_of_one_process() -> None:
    """An uneven batch too, and a run that goes on; what is left of an epoch stays out."""
    for first_step in (0, 3):
        alone = list(BatchOrder(11, 5, epochs=3, seed=1, first_step=first_step))
        orders = [BatchOrder(11, 5, 3, 1, first_step, Ranks(rank, 2)) for rank in range(2)]
        for whole, *shares in zip(alone, *orders, strict=True):
            assert [len(share) for share in shares] == [3, 2]
            assert sorted(key for share in shares for key in share) == sorted(whole)


def talk() -> tuple[Any, ...]:
    with joined() as ranks:
        said = ranks.first(lambda: f"from {ranks.rank}")
        numbers = torch.tensor([1.0, ranks.rank])
        ranks.add([numbers])
        mean = torch.tensor(float(ranks.rank))
        ranks.average([mean])
        rows = torch.full((ranks.rank + 1, 2), float(ranks.rank))
        (whole, twice), mine = ranks.gather(rows, 2 * rows[:, :1])
        heard = ranks.collect(ranks.rank)
        own = torch.equal(whole[mine], rows) and torch.equal(twice, 2 * whole[:, :1])
    with joined() as again:  # a second run of the same processes
        return (
            said,
            numbers.tolist(),
            float(mean),
            heard,
            whole[:, 0].tolist(),
            own,
            again.collect(1),
        )


def test_what_ranks_tell_each_other() -> None:
    expected = ("from 0", [3.0, 3.0], 1.0, [0, 1, 2], [0.0, 1.0, 1.0, 2.0, 2.0, 2.0], True, [1] * 3)
    assert values(in_ranks(talk, count=3)) == [expected] * 3


def test_alone_everything_is_ones_own() -> None:
    with joined() as ranks:
        assert (ranks.rank, ranks.count, ranks.first(lambda: 5), ranks.collect(7)) == (0, 1, 5, [7])
        rows = torch.rand(3, 2)
        [whole], mine = ranks.gather(rows)
        ranks.average([whole])
        assert torch.equal(whole[mine], rows)


# The gradient of a batch ----------------------------------------------------------------------


def own_gradient(n: int, micro_batch: int | None, training: bool) -> tuple[Any, ...]:
    """This rank's share of a batch, and the sum of the gradients of all."""
    model = settled("resnet18").train(training)
    with joined() as ranks:
        images = batch(n)[ranks.rank :: ranks.count]
        result = loss_gradient(model, images, 0.25, micro_batch=micro_batch, ranks=ranks)
        ranks.add(parameter.grad for parameter in model.parameters())
    found = {name: value.numpy() for name, value in gradients(model).items()}
    return [part.item() for part in result.parts], result.p.numpy(), found


@pytest.mark.parametrize(("n", "count", "micro_batch"), [(4, 2, None), (5, 3, None), (5, 2, 2)])
def test_ranks_make_the_gradient_of_the_whole_batch(
    n: int, count: int, micro_batch: int | None
) -> None:
    """With BatchNorm's statistics fixed; uneven shares, and parts of shares, too."""
    model = settled("resnet18")
    whole = loss_gradient(model, batch(n), 0.25)
    expected = gradients(model)
    for parts, p, found in values(in_ranks(own_gradient, n, micro_batch, False, count=count)):
        np.testing.assert_allclose(parts, [part.item() for part in whole.parts], rtol=1e-10)
        np.testing.assert_allclose(p, whole.p[split(n, count)], rtol=1e-10)
        assert_same_gradients(expected, {k: torch.from_numpy(v) for k, v in found.items()})


def test_with_batch_statistics_each_rank_is_normalised_by_itself() -> None:
    """Which is exact for that loss."""
    reference = settled("resnet18").train()
    outputs = [reference(batch(5)[rank::2]) for rank in range(2)]
    whole = Output(*map(torch.cat, zip(*outputs, strict=True)))
    loss = c2am_loss(whole.foreground, whole.background, 0.25)
    loss.total.backward()
    expected = gradients(reference)
    for parts, _, found in values(in_ranks(own_gradient, 5, None, True)):
        np.testing.assert_allclose(parts, [part.item() for part in loss], rtol=1e-10)
        assert_same_gradients(expected, {k: torch.from_numpy(v) for k, v in found.items()})


STEPS = 3


def trained(training: bool) -> dict[str, np.ndarray]:
    """A network after three steps of five images, by all ranks."""
    torch.manual_seed(0)
    model = settled("squeezenet1_1").float()
    plan = make_recipe("small", batch_size=5, crop=64, epochs=STEPS, lr=1e-3)
    random = torch.Generator().manual_seed(2)
    pixels = torch.randint(0, 256, (STEPS, 5, 3, 64, 64), dtype=torch.uint8, generator=random)
    with joined() as ranks:
        trainer = Trainer(model, plan, STEPS, CPU, None, None, ranks=ranks)
        trainer.model.train(training)
        for images in pixels:
            trainer.advance(images[ranks.rank :: ranks.count])
    return {name: value.numpy() for name, value in model.state_dict().items()}


def test_ranks_train_as_one_process_does() -> None:
    alone = trained(training=False)
    one, other = values(in_ranks(trained, False))
    for name, expected in alone.items():
        assert np.array_equal(one[name], other[name]), name
        np.testing.assert_allclose(one[name], expected, rtol=1e-3, atol=2e-6, err_msg=name)


def test_ranks_stay_equal_with_statistics_of_their_own() -> None:
    one, other = values(in_ranks(trained, True))
    start = settled("squeezenet1_1").float().state_dict()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not np.array_equal(
        one["ac_head.bn_head.running_mean"], start["ac_head.bn_head.running_mean"]
    )


# A run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("train") / "photos", 9)


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run of two ranks. Not to be changed."""
    out = tmp_path_factory.mktemp("finished") / "run"
    one, other = values(in_ranks(run_train, photos, out))
    assert one == other
    return out


def run_train(photos: Path, out: Path, changes: dict[str, Any] | None = None) -> tuple[Any, ...]:
    result = small_train(photos, out, **{"picture_every": 4, "batch_size": 3, **(changes or {})})
    return result.checkpoint, result.polarity, result.steps, result.loss, result.unreadable


def test_the_first_rank_writes(finished: Path, photos: Path, tmp_path: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "last.pt",
        "log.csv",
        "pictures",
        "report.html",
    }
    assert [int(row["step"]) for row in rows(finished)] == list(range(1, 10))
    assert len(list((finished / "pictures").glob("step_*"))) == 3
    assert len(list((finished / "pictures").glob("same_*"))) == 3
    run_train(photos, tmp_path / "alone")
    together, alone = (
        [float(row["loss"]) for row in rows(out)] for out in (finished, tmp_path / "alone")
    )
    np.testing.assert_allclose(together, alone, rtol=0.05)  # statistics differ, images do not


def interrupted_train(photos: Path, out: Path, rank: str) -> None:
    """One rank alone is asked to end, as soon as there are two rows."""

    def ask() -> None:
        while not (out / "log.csv").exists() or len(rows(out)) < 2:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)

    if os.environ["RANK"] == rank:
        threading.Thread(target=ask, daemon=True).start()
    run_train(photos, out, {"workers": 1})


@pytest.mark.parametrize("rank", ["0", "1"])
def test_one_interrupted_rank_ends_all_and_the_run_continues(
    photos: Path, finished: Path, tmp_path: Path, rank: str
) -> None:
    """With the same number of processes to the same weights; with another one, to the end."""
    out = tmp_path / "run"
    ended = in_ranks(interrupted_train, photos, out, rank)
    assert sorted((one.error, one.code) for one in ended) == [
        ("KeyboardInterrupt", None),
        ("SystemExit", 130),
    ]
    assert (out / "resume.pt").exists()
    assert 2 <= len(rows(out)) < 9
    if rank == "0":
        run_train(photos, out, {"resume": True})
    else:
        values(in_ranks(run_train, photos, out, {"resume": True}))
        assert same_state(out / "last.pt", finished / "last.pt")
        assert [row["loss"] for row in rows(out)] == [row["loss"] for row in rows(finished)]
    assert [int(row["step"]) for row in rows(out)] == list(range(1, 10))
    assert not (out / "resume.pt").exists()


def failing_train(photos: Path, out: Path, how: str) -> None:
    """Rank 1 does not come through its second step."""
    advance = Trainer.advance

    def fail(self: Trainer, images: torch.Tensor) -> Any:
        if self.step == 1 and self.ranks.rank == 1:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise InputError("a sentence for the user") if how == "error" else ZeroDivisionError
        return advance(self, images)

    Trainer.advance = fail  # type: ignore[method-assign]
    run_train(photos, out)


@pytest.mark.parametrize("how", ["error", "bug", "killed"])
def test_a_rank_that_fails_ends_all_with_one_message(
    photos: Path, tmp_path: Path, how: str
) -> None:
    first, second = in_ranks(failing_train, photos, tmp_path / "run", how)
    if how == "killed":
        assert second.error == "killed"
        assert first.error == "LostRank"
        assert "another process of this run has ended" in first.text
        assert "\n" not in first.text
    else:
        assert second.error == {"error": "InputError", "bug": "ZeroDivisionError"}[how]
        assert (first.error, first.code) == ("SystemExit", 1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch_size": 10}, "9` or less"),
        ({"batch_size": 2}, "batch size 2 for 3 processes"),
        ({"sync_bn": True}, "`sync_bn` needs GPUs"),
        ({"weights": "no such weights"}, "no such weights"),
        ({"device": "cuda:0"}, "expected cuda"),
        ({"resume": True}, "no interrupted run"),
    ],
)
def test_a_mistake_is_reported_once(
    photos: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    ended = in_ranks(run_train, photos, tmp_path / "run", changes, count=3)
    texts = [one.text for one in ended if one.error == "InputError"]
    assert [told in text for text in texts] == [True], ended
    assert all((one.error, one.code) == ("SystemExit", 1) for one in ended if one.text not in texts)


def test_unreadable_images_of_all_ranks_are_counted(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", 8)
    (folder / "003.png").write_bytes(b"no image")
    settings = {"batch_size": 8, "epochs": 1}
    for result in values(in_ranks(run_train, folder, tmp_path / "run", settings)):
        assert "003.png" in result[-1][0]
    (folder / "006.png").write_bytes(b"no image")
    ended = in_ranks(run_train, folder, tmp_path / "again", settings)
    [text] = [one.text for one in ended if one.error == "InputError"]
    assert "2 of 8 images cannot be read" in text
    assert "003.png" in text
    assert "006.png" in text


def vote(paths: list[Path]) -> Any:
    with joined() as ranks:
        return decide(Brightness(), paths, size=64, batch_size=2, ranks=ranks)


def test_the_images_of_all_ranks_vote_on_the_polarity(tmp_path: Path) -> None:
    paths = write_images(tmp_path, [True, True, False, True, False])
    assert values(in_ranks(vote, paths)) == [decide(Brightness(), paths, size=64)] * 2


# Synchronised BatchNorm -----------------------------------------------------------------------


def test_synchronised_batchnorm_keeps_names_and_maps() -> None:
    """What can be seen of it without a GPU: the layers, the checkpoint, the fast copy."""
    model = settled("resnet18").float()
    names, images = set(model.state_dict()), batch(2).float()
    with torch.no_grad():
        expected = model.logits(images)
    plan = make_recipe("paper", batch_size=4, crop=64)
    trainer = Trainer(model, plan, 1, CPU, None, None, sync_bn=True)
    assert isinstance(trainer.model.ac_head.bn_head, nn.SyncBatchNorm)
    assert set(trainer.model.state_dict()) == names
    found = fast_copy(trainer.model).logits(images)  # type: ignore[operator]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


# Devices and cores ----------------------------------------------------------------------------


def test_processes_of_one_machine_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert (ranks.cores(), ranks.local_rank(), ranks.is_first()) == (
        16,
        None,
        True,
    )
    launched = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}
    for name, value in (launched | {"MASTER_ADDR": "a", "MASTER_PORT": "1"}).items():
        monkeypatch.setenv(name, value)
    assert (ranks.cores(), ranks.local_rank(), ranks.is_first()) == (4, 1, False)
    with pytest.raises(InputError, match="each process takes the GPU of its number"):
        pick_device("cuda:1")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="start one process per GPU"):
            pick_device("cuda")
    assert pick_device("cpu") == CPU


# Cues -----------------------------------------------------------------------------------------


def share_cues(photos: Path, checkpoint: Path, out: Path, options: dict[str, Any]) -> Any:  # noqa: F811
    report = run(photos, checkpoint, out, workers=1, **options)
    report.seconds = report.images_per_second = 0
    return report


@pytest.fixture
def cues(cue_photos: Path, checkpoint: Path, tmp_path: Path) -> Callable[..., Any]:  # noqa: F811
    """cues(name, ranks, **options) → the report of a run into a folder of that name."""

    def make(name: str, count: int, **options: Any) -> Any:
        arguments = cue_photos, checkpoint, tmp_path / name, options
        if count == 1:
            return share_cues(*arguments)
        reports = values(in_ranks(share_cues, *arguments, count=count))
        assert all(report == reports[0] for report in reports)
        return reports[0]

    return make


@pytest.mark.parametrize("boundary", ["boundary", "agree"])
def test_ranks_make_the_same_cues(cues: Callable[..., Any], tmp_path: Path, boundary: str) -> None:
    cues("first", 1, boundary=0.3, maps=tmp_path / "cams")
    cams = {"cams": tmp_path / "cams"} if boundary == "agree" else {}
    options = {"boundary": boundary, "polarity": "border", **cams}
    alone = cues("alone", 1, maps=tmp_path / "maps_alone", **options)
    together = cues("together", 2, maps=tmp_path / "maps_together", **options)
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")
    assert contents(tmp_path / "maps_together") == contents(tmp_path / "maps_alone")
    together.out = alone.out
    assert together == alone
    stored = json.loads((tmp_path / "together.c2am-cues.json").read_text())["report"]
    assert (stored["written"], stored["mean_boundary"]) == (5, alone.mean_boundary)
    assert not list(tmp_path.glob("*logits*"))


def test_ranks_go_on_with_what_is_missing(cues: Callable[..., Any], tmp_path: Path) -> None:
    cues("cues", 3)
    whole = contents(tmp_path / "cues")
    for name in ("img_0.png", "img_1.png"):
        (tmp_path / "cues" / name).unlink()
    again = cues("cues", 2)
    assert (again.written, again.already_there) == (2, 3)
    assert contents(tmp_path / "cues") == whole
    assert "are already done" in cues("cues", 2).summary()


def test_failures_of_all_ranks_are_reported(
    cue_photos: Path,  # noqa: F811
    checkpoint: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for path in cue_photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "a.png").write_bytes(b"broken")
    (folder / "b.png").write_bytes(b"broken")
    for report in values(in_ranks(share_cues, folder, checkpoint, tmp_path / "cues", {})):
        assert list(report.failures) == ["a", "b"]
        assert report.written == 5


# The commands ---------------------------------------------------------------------------------


def command(photos: Path, out: Path, batch_size: str) -> tuple[int, str]:
    """The exit code of c2am-train in one of several processes, and what it has said."""
    said = io.StringIO()
    arguments = [str(photos), "-o", str(out), "--backbone", "squeezenet1_1", "--weights", "random"]
    arguments += ["--crop", "64", "--epochs", "1", "--batch-size", batch_size, "--device", "cpu"]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = train_main(arguments)
        except SystemExit as end:
            code = end.code  # type: ignore[assignment]
    return code, said.getvalue()


def test_the_command_speaks_once(photos: Path, tmp_path: Path) -> None:
    ended = values(in_ranks(command, photos, tmp_path / "run", "1"))
    assert [code for code, _ in ended] == [1, 1]
    [text] = [said for _, said in ended if said]
    assert text.startswith("c2am-train: batch size 1: the loss compares")
    assert text.count("\n") == 1
    (first, text), other = values(in_ranks(command, photos, tmp_path / "run", "9"))
    assert (first, other) == (0, (0, ""))
    assert "by 2 processes" in text
    assert "last.pt: 1 steps; P is high on the" in text


# torchrun itself ------------------------------------------------------------------------------


def torchrun(arguments: list[str], **options: Any) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--no-python", "--standalone"]
    command += ["--nproc-per-node", "2", str(Path(sys.executable).with_name("c2am-train"))]
    return subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def ours(text: str) -> list[str]:
    """The lines of the command itself, perhaps behind its bar; torchrun says much besides."""
    return re.findall(r"(?:^|(?<=\]))c2am-train: .*$", text.replace("\r", "\n"), re.MULTILINE)


def test_the_command_under_torchrun(photos: Path, tmp_path: Path) -> None:
    """Asked to end, it ends at a step, with one word."""
    out = tmp_path / "run"
    arguments = [str(photos), "-o", str(out), "--backbone", "squeezenet1_1", "--weights", "random"]
    arguments += ["--crop", "64", "--epochs", "2000", "--batch-size", "5", "--device", "cpu"]
    arguments += ["--workers", "1"]  # which torchrun's signal reaches, too
    process = torchrun(arguments)
    for _ in range(int(300 / 0.01)):
        if (out / "log.csv").exists() and len(rows(out)) >= 2:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, text = process.communicate(timeout=300)
    assert [line for line in ours(text) if "interrupted" in line] == [
        "c2am-train: interrupted; run the same command again to continue"
    ], text
    assert sum("by 2 processes" in line for line in ours(text)) == 1
    assert (out / "resume.pt").exists()
