"""Images through the network in batches: what fails is listed by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_files import write_png

from c2am_plugin.errors import InputError
from c2am_plugin.network.stream import Stream
from c2am_plugin.training.devices import is_out_of_memory


@pytest.fixture
def paths(tmp_path):
    """Two photographs of one size, two of another, and a broken one."""
    for name, width in {"a": 6, "b": 6, "c": 9, "d": 9}.items():
        write_png(tmp_path / f"{name}.png", np.zeros((4, width, 3)))
    (tmp_path / "e.png").write_bytes(b"no photograph")
    return {path.stem: path for path in sorted(tmp_path.iterdir())}


class Wide:
    """A network that asks the real allocator for too much where an image is wide."""

    scales = (0.5, 2.0)

    def __init__(self, together=9):
        self.together = together

    def __call__(self, photos):
        if any(photo.shape[1] >= 9 for photo in photos.values()) or len(photos) > self.together:
            torch.empty(2**50)
        return dict.fromkeys(photos, "logits")


def step(image_id, photo, logits):
    if image_id == "b":
        raise InputError("b.png: does not fit")
    return photo.shape[1]


def test_out_of_memory_names_the_image_the_scale_and_what_to_do(paths):
    outcome = Stream(Wide(), paths, 2, 2, False)(step, list(paths), "images")
    assert outcome.results == {"a": 6}
    assert sorted(outcome.failures) == ["b", "c", "d", "e"]
    assert outcome.failures["b"] == "b.png: does not fit"
    assert outcome.failures["c"] == (
        "c: out of memory with an image of 9×4 at scale 2; take smaller `scales`, or `workers=1`"
    )
    assert outcome.failures["d"].startswith("d: out of memory")
    assert "e.png: cannot be read" in outcome.failures["e"]
    alone = Stream(Wide(), paths, 1, 1, False)(step, list(paths), "images")
    assert alone.failures["c"].endswith("at scale 2; take smaller `scales`")


def test_images_that_fit_alone_but_not_together_go_one_by_one(paths):
    outcome = Stream(Wide(together=1), paths, 2, 1, False)(step, ["a", "b"], "images")
    assert (outcome.results, list(outcome.failures)) == ({"a": 6}, ["b"])


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError("out of memory"), False),
    ],
)
def test_what_says_that_memory_is_full(error, full):
    assert is_out_of_memory(error) is full
