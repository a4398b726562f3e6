"""Hints: CAMs that pull P towards 1, the same crop of them, and images left out to judge by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ranks import in_ranks
from small_training import assert_same_gradients, batch, gradients, settled, small_train
from torch.nn import functional as F
from training_contract import rows

from c2am_plugin import make_cues, read_label, read_photo, refine_cams
from c2am_plugin.cli import train_main
from c2am_plugin.errors import InputError
from c2am_plugin.files.cues import is_taught_cue, write_cue
from c2am_plugin.network.checkpoint import load_checkpoint
from c2am_plugin.network.gradient import BatchHints, loss_gradient
from c2am_plugin.network.hints import HintPlan, HintVote, find_hints, is_left_out
from c2am_plugin.network.loss import c2am_loss
from c2am_plugin.network.views import HintedImages
from c2am_plugin.registry import get_adapter
from c2am_plugin.runs.ranks import joined

SIDE = 48


def maps(n: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, 32, 32, generator=random, dtype=torch.float64)


def hints_of(values: torch.Tensor, weight: float = 3.0) -> BatchHints:
    return BatchHints(values, 0.5, weight)


# The gradient ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_term_is_the_mean_cross_entropy_over_the_hinted_places() -> None:
    """Written out: with label smoothing 0.1 the target is 0.95."""
    model, x, cams = settled("resnet18"), batch(4), maps(4)
    found = loss_gradient(model, x, 0.25, hints=hints_of(cams))
    own = gradients(model)
    output = model(x)
    hinted = F.adaptive_avg_pool2d(cams, output.logits.shape[2:]) >= 0.5
    assert 0 < hinted.sum() < hinted.numel()
    p = output.logits.sigmoid()[hinted]
    term = -(0.95 * p.log() + 0.05 * (1 - p).log()).mean()
    (c2am_loss(output.foreground, output.background, 0.25).total + 3 * term).backward()
    assert_same_gradients(gradients(model), own)
    torch.testing.assert_close(found.hint, 3 * term.detach())
    torch.testing.assert_close(found.total - found.hint, sum(found.parts))


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch", [1, 2])
def test_parts_give_the_gradient_of_the_whole(micro_batch: int) -> None:
    model, hints = settled("resnet18"), hints_of(maps(3))
    whole = loss_gradient(model, batch(), 0.25, hints=hints)
    expected = gradients(model)
    parted = loss_gradient(model, batch(), 0.25, micro_batch=micro_batch, hints=hints)
    assert_same_gradients(expected, gradients(model))
    torch.testing.assert_close(parted.total, whole.total)


@pytest.mark.slow
def test_without_a_hinted_place_the_term_is_zero() -> None:
    model = settled("resnet18")
    plain = loss_gradient(model, batch(), 0.25)
    expected = gradients(model)
    found = loss_gradient(model, batch(), 0.25, hints=hints_of(0 * maps(3)))
    assert_same_gradients(expected, gradients(model))
    assert found.hint == 0
    assert found.total == plain.total


def own_part(n: int) -> dict[str, np.ndarray]:
    model = settled("squeezenet1_1")
    with joined() as ranks:
        images, cams = (x[ranks.rank :: ranks.count] for x in (batch(n), maps(n)))
        result = loss_gradient(model, images, 0.25, ranks=ranks, hints=hints_of(cams))
        ranks.add(p.grad for p in model.parameters() if p.grad is not None)
    return {
        "total": result.parts.total.numpy(),
        **{k: g.numpy() for k, g in gradients(model).items()},
    }


@pytest.mark.torchrun
def test_ranks_make_the_gradient_of_the_whole_batch() -> None:
    n, model = 3, settled("squeezenet1_1")
    order = [0, 2, 1]  # the first rank's images first
    whole = loss_gradient(model, batch(n)[order], 0.25, hints=hints_of(maps(n)[order]))
    expected = gradients(model)
    for ended in in_ranks(own_part, n):
        found = {k: torch.from_numpy(np.asarray(v)) for k, v in ended.value.items()}
        torch.testing.assert_close(found.pop("total"), whole.parts.total)
        assert_same_gradients(expected, found)


# Images and CAM files -------------------------------------------------------------------------


def write_set(folder: Path, n: int, n_cams: int, off: float = 0.0, side: int = SIDE) -> list[str]:
    """Bright discs on a dark noisy ground, and PSA's CAMs of them: the disc, blurred, `off` pixels
    too far down."""
    ids = [f"image{i:02d}" for i in range(n)]
    for name in ("photos", "cams"):
        (folder / name).mkdir(parents=True)
    for index, image_id in enumerate(ids):
        rng = np.random.default_rng(index)
        y, x = np.mgrid[:side, : side + 8]
        cy, cx = rng.integers(14, side - 14, 2)
        distance = np.hypot(y - cy, x - cx)
        pixels = rng.integers(0, 60, (*y.shape, 3)) + 180 * (distance < 11)[..., None]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / f"{image_id}.png")
        part = np.hypot(y - cy - off, x - cx)  # CAMs of a part: their centre is beside the disc's
        cam = np.exp(-((part / 11) ** 2)).astype(np.float32)
        if index < n_cams:
            np.save(folder / "cams" / f"{image_id}.npy", {3: cam})
    return ids


def test_a_hint_is_cut_mirrored_and_resized_as_its_image_is(tmp_path: Path) -> None:
    ids = write_set(tmp_path, 6, 6)
    hints = find_hints(tmp_path / "cams", "auto", ids, HintPlan())
    taught = next(k for k, path in enumerate(hints.files) if path is not None)
    paths = [tmp_path / "photos" / f"{i}.png" for i in ids]
    images = HintedImages(paths, 64, 40, hints=hints)
    sides = set()
    for epoch in range(6):
        view = images[epoch, taught]
        sides.add(images.place(epoch, taught).mirrored)
        disc = view.pixels.float().mean(0) > 120  # the photograph says where the disc is
        assert disc.any()
        agreement = np.corrcoef(disc.flatten(), (view.hint[0] > 0.4).flatten())[0, 1]
        assert agreement > 0.8, epoch
    assert sides == {True, False}


def test_some_images_are_left_out_by_their_ids_alone(tmp_path: Path) -> None:
    ids = write_set(tmp_path, 20, 18)
    hints = find_hints(tmp_path / "cams", "psa", ids, HintPlan(0.3, 2.0))
    left = {i for i in ids[:18] if is_left_out(i)}
    assert left
    assert set(hints.left_out) == left == {ids[k] for k in hints.judges}
    assert [path is not None for path in hints.files] == [
        i in ids[:18] and i not in left for i in ids
    ]
    assert hints.notes() == {
        "method": "psa",
        "threshold": 0.3,
        "weight": 2.0,
        "taught": [i for i in ids[:18] if i not in left],
        "left_out": sorted(left),
    }
    share = np.mean([is_left_out(f"2008_{k:06d}") for k in range(5000)])
    assert 0.18 < share < 0.22


def test_what_is_reported_of_missing_and_extra_cams(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = write_set(tmp_path, 8, 6)
    with caplog.at_level("INFO"):
        find_hints(tmp_path / "cams", "psa", ids[1:], HintPlan())
    assert "2 of 7 images have no CAM file and get no hints (image06, image07)" in caplog.text
    assert "1 CAM files belong to no image" in caplog.text
    with pytest.raises(InputError, match="contains no CAM file of these images; its ids look"):
        find_hints(tmp_path / "cams", "psa", ["other"], HintPlan())


@pytest.mark.parametrize(("given", "said"), [((1.0, 1.0), "threshold 1.0"), ((0.4, 0.0), "weight")])
def test_numbers_that_cannot_be(given: tuple[float, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        HintPlan(*given)


def test_the_vote_on_the_polarity(tmp_path: Path) -> None:
    write_set(tmp_path, 1, 1)
    vote = HintVote(get_adapter("psa"), tmp_path / "cams" / "image00.npy", 0.4)
    cam = np.load(tmp_path / "cams" / "image00.npy", allow_pickle=True).item()[3]
    assert vote(cam) is False
    assert vote(1 - cam) is True
    np.save(tmp_path / "cams" / "image00.npy", {3: 0 * cam})
    assert vote(cam) is None
    (tmp_path / "cams" / "image00.npy").write_bytes(b"torn")
    assert vote(cam) is None


@pytest.mark.parametrize(("n", "all_vote"), [(12, True), (60, False)])
def test_few_images_that_were_left_out_do_not_decide_alone(
    tmp_path: Path, n: int, all_vote: bool
) -> None:
    ids = write_set(tmp_path, n, n)
    hints = find_hints(tmp_path / "cams", "psa", ids, HintPlan())
    assert hints.judges
    expected = set(range(n)) if all_vote else set(hints.judges)
    assert set(hints.voters(100)) == expected


# Training -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_hints_decide_which_side_is_the_foreground(tmp_path: Path, freeze: str) -> None:
    """Discs at the border too, which the border rule takes for background."""
    write_set(tmp_path, 12, 12)
    settings: dict[str, Any] = {"crop": 64, "epochs": 6, "lr": 0.005, "hint_weight": 2.0}
    result = small_train(
        tmp_path / "photos",
        tmp_path / "run",
        hints=tmp_path / "cams",
        freeze=freeze,
        **settings,
    )
    log = rows(tmp_path / "run")
    assert float(log[-1]["hint"]) < 0.9 * float(log[0]["hint"])
    assert result.polarity["rule"] == "hints"
    assert not result.flag
    loaded = load_checkpoint(result.checkpoint)
    assert loaded.flag is False
    assert loaded.info["hints"]["left_out"]
    assert loaded.info["settings"]["hint_method"] == "psa"


@pytest.mark.slow
def test_a_cam_that_cannot_be_read_leaves_its_image_out(tmp_path: Path) -> None:
    ids = write_set(tmp_path, 8, 8)
    taught = next(i for i in ids if not is_left_out(i))
    left = next(i for i in ids if is_left_out(i))
    for image_id in (taught, left):
        (tmp_path / "cams" / f"{image_id}.npy").write_bytes(b"torn")
    result = small_train(
        tmp_path / "photos", tmp_path / "run", hints=tmp_path / "cams", epochs=1, batch_size=8,
        hint_method="psa",
    )  # fmt: skip
    assert len(result.unreadable) == 1
    assert f"{taught}.npy" in result.unreadable[0]


def test_options_of_hints_need_hints(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        train_main(["I", "-o", str(tmp_path / "run"), "--hint-weight", "2"])
    assert stop.value.code == 2
    assert "--hint-weight needs --hints CAM_DIR" in capsys.readouterr().err


# Cues that their judges taught ----------------------------------------------------------------


def cams_of(folder: Path, ids: list[str]) -> dict[str, np.ndarray]:
    return {i: np.load(folder / f"{i}.npy", allow_pickle=True).item()[3] for i in ids}


@pytest.mark.slow
@pytest.mark.parametrize("noted", [True, False])
def test_cams_that_taught_the_cues_do_not_judge_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, noted: bool
) -> None:
    """The cues repeat their teachers and are noise elsewhere: they know nothing of their own."""
    ids = write_set(tmp_path, 20, 20)
    for index, (image_id, cam) in enumerate(cams_of(tmp_path / "cams", ids).items()):
        taught = not is_left_out(image_id)
        noise = np.random.default_rng(index).random(cam.shape, np.float32)
        write_cue(
            tmp_path / "cues" / f"{image_id}.png", cam if taught else noise, taught=taught and noted
        )
    refine_cams(tmp_path / "cams", tmp_path / "cues", tmp_path / "out", method="psa")
    after = cams_of(tmp_path / "out", ids)
    before = cams_of(tmp_path / "cams", ids)
    change = max(float(np.abs(after[i] - before[i]).max()) for i in ids)
    assert (change < 0.02) is noted


def test_where_all_cams_taught_it_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = write_set(tmp_path, 4, 4)
    for image_id, cam in cams_of(tmp_path / "cams", ids).items():
        write_cue(tmp_path / "cues" / f"{image_id}.png", cam, taught=True)
    refine_cams(tmp_path / "cams", tmp_path / "cues", tmp_path / "out", method="psa")
    assert "all of these CAMs taught the cues that they now judge" in caplog.text


@pytest.mark.slow
def test_cues_taught_by_other_images_do_no_harm(tmp_path: Path) -> None:
    """A network that was taught by shuffled CAMs repeats them, and knows only where CAMs usually
    are of images that it was not taught: the labels are not worse."""
    ids = write_set(tmp_path, 40, 40, off=6.0, side=150)
    true = cams_of(tmp_path / "cams", ids)
    usual = np.mean(list(true.values()), axis=0)
    for k, image_id in enumerate(ids):
        taught = not is_left_out(image_id)
        cue = true[ids[(k + 7) % len(ids)]] if taught else usual
        write_cue(tmp_path / "cues" / f"{image_id}.png", cue, taught=taught)
    refine_cams(
        tmp_path / "cams",
        tmp_path / "cues",
        tmp_path / "out",
        method="psa",
        labels=tmp_path / "labels",
    )
    before = after = 0.0
    for image_id, cam in true.items():
        photo = read_photo(tmp_path / "photos" / f"{image_id}.png")
        disc = photo.mean(axis=2) > 120
        before += iou(cam > 0.2, disc)
        after += iou(read_label(tmp_path / "labels" / f"{image_id}.png") > 0, disc)
    assert after > before - 0.005 * len(ids)


@pytest.mark.slow
def test_the_cues_say_whose_cams_taught_them(tmp_path: Path) -> None:
    ids = write_set(tmp_path, 10, 8)
    result = small_train(
        tmp_path / "photos", tmp_path / "run", hints=tmp_path / "cams", epochs=1, batch_size=10
    )
    settings: dict[str, Any] = {"device": "cpu", "workers": 1, "progress": False}
    make_cues(tmp_path / "photos", result.checkpoint, tmp_path / "cues", **settings)
    marked = {i for i in ids if is_taught_cue(tmp_path / "cues" / f"{i}.png")}
    assert marked == {i for i in ids[:8] if not is_left_out(i)}


def iou(mask: np.ndarray, other: np.ndarray) -> float:
    return float((mask & other).sum() / (mask | other).sum())
