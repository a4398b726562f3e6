"""What a GPU computes is what the CPU computes: a step, its micro-batches, maps and cues."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_cues import checkpoint, photos, run  # noqa: F401
from small_training import gradients, settled, small_train, write_photos

from c2am_plugin.files.photos import read_photo
from c2am_plugin.network.checkpoint import load_checkpoint
from c2am_plugin.network.gradient import loss_gradient
from c2am_plugin.network.inference import fast_copy
from c2am_plugin.network.maps import mean_logit, scale_logits
from c2am_plugin.training.devices import full_float32

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU"),
]


def test_the_gradient_is_the_cpus_in_parts_and_whole() -> None:
    images = torch.rand(6, 3, 64, 64, dtype=torch.float64)
    found = []
    for device, micro_batch in (("cpu", None), ("cuda", None), ("cuda", 2)):
        model = settled("squeezenet1_1").double().to(device)
        loss_gradient(model, images.to(device), 0.25, micro_batch=micro_batch)
        found.append({name: gradient.cpu() for name, gradient in gradients(model).items()})
    for other in found[1:]:
        for name, gradient in found[0].items():
            assert float((gradient - other[name]).norm()) <= 1e-8 * float(gradient.norm()), name


@pytest.mark.parametrize(("bf16", "allowed"), [(False, 1e-3), (True, 0.1)])
def test_maps_are_the_cpus(photos: Path, checkpoint: Path, bf16: bool, allowed: float) -> None:  # noqa: F811
    model = load_checkpoint(checkpoint).model
    image = read_photo(sorted(photos.iterdir())[0])
    found = {}
    for device in ("cpu", "cuda"):
        network = fast_copy(model, device, bf16=bf16 and device == "cuda")
        with full_float32():
            logits = scale_logits(network, [image], (0.5, 1.0))[0]
        found[device] = 1 / (1 + np.exp(-mean_logit(logits, True)))
    assert np.abs(found["cuda"] - found["cpu"]).max() < allowed


def test_cues_are_the_cpus_to_a_grey_level(photos: Path, checkpoint: Path, tmp_path: Path) -> None:  # noqa: F811
    for device in ("cpu", "cuda"):
        run(photos, checkpoint, tmp_path / device, device=device)
    for path in (tmp_path / "cpu").glob("*.png"):
        pair = [np.asarray(Image.open(tmp_path / d / path.name), int) for d in ("cpu", "cuda")]
        assert np.abs(pair[0] - pair[1]).max() <= 1


@pytest.mark.parametrize("amp", [False, True])
def test_training_runs_and_is_resumed(tmp_path: Path, amp: bool) -> None:
    images = write_photos(tmp_path / "photos", 8)
    result = small_train(images, tmp_path / "run", device="cuda", amp=amp)
    assert result.steps == 6
    assert np.isfinite(result.loss)
    assert small_train(images, tmp_path / "run", device="cuda", amp=amp).steps == 6
