"""Looking for the part of a batch that fits into memory; the gradient itself is in test_train."""

from __future__ import annotations

import pytest
import torch

from c2am_plugin.network import gradient as module
from c2am_plugin.network.gradient import fitting_micro_batch

IMAGES = torch.zeros(12, 3, 8, 8)
FULL = (
    torch.cuda.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
)


@pytest.fixture
def tried(monkeypatch):
    """Parts that were tried; those above `tried.room` raise `tried.error`."""

    class Tried(list):
        room, error = 0, FULL[0]

    found = Tried()

    def gradient(model, images, alpha, micro_batch, precision):
        found.append(micro_batch)
        if micro_batch > found.room:
            raise found.error

    monkeypatch.setattr(module, "loss_gradient", gradient)
    return found


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("room", "fits", "parts"), [(0, None, 3), (1, 1, 3), (5, 3, 2), (12, 6, 1)]
)
def test_the_largest_part_that_fits_is_found(tried, error, room, fits, parts):
    tried.room, tried.error = room, error
    assert fitting_micro_batch(torch.nn.Linear(1, 1), IMAGES, 0.25) == fits
    assert tried == [6, 3, 1][:parts]


def test_another_error_is_not_taken_for_full_memory(tried):
    tried.error = RuntimeError("shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes"):
        fitting_micro_batch(torch.nn.Linear(1, 1), IMAGES, 0.25)
    assert tried == [6]
