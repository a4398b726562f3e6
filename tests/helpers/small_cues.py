"""A checkpoint, photographs and a call of make_cues, as fixtures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from c2am_plugin.network.checkpoint import save_checkpoint
from c2am_plugin.network.make_cues import make_cues
from c2am_plugin.network.maps import mean_logit, scale_logits
from c2am_plugin.network.model import C2AM

SCALES = (0.5, 1.0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photographs of two sizes: a textured block on another texture."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(5):
        height, width = ((48, 64), (56, 40))[index % 2]
        pixels = rng.integers(0, 90, (height, width, 3))
        pixels[12:36, 10 : 26 + index] = rng.integers(120, 255, (24, 16 + index, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"img_{index}.png")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A small network whose logits are centred on these photographs; P is the background."""
    torch.manual_seed(0)
    model = C2AM("squeezenet1_0", 8).eval()
    images = [np.asarray(Image.open(path)) for path in sorted(photos.iterdir())]
    logits = [mean_logit(scale_logits(model, [image], SCALES)[0], False) for image in images]
    with torch.no_grad():
        spread = np.std(np.concatenate([z.ravel() for z in logits]))
        model.ac_head.bn_head.weight.mul_(float(2 / spread))
        centre = np.mean([z.mean() for z in logits]) * 2 / spread
        model.ac_head.bn_head.bias.sub_(float(centre))
    path = tmp_path_factory.mktemp("run") / "last.pt"
    save_checkpoint(path, model, True, {"crop": 64})
    return path


def run(photos: Path, checkpoint: Path, out: Path, **options: object):
    options = {"scales": SCALES, "progress": False, "workers": 2, **options}
    return make_cues(photos, checkpoint, out, **options)  # type: ignore[arg-type]
