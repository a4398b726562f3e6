"""Images through the network in batches: what fails is listed by image."""

from __future__ import annotations

import numpy as np
import pytest
from small_files import write_png

from c2am_plugin.errors import InputError
from c2am_plugin.network.stream import Stream


@pytest.fixture
def paths(tmp_path):
    """Two photographs of one size, two of another, and a broken one."""
    for name, width in {"a": 6, "b": 6, "c": 9, "d": 9}.items():
        write_png(tmp_path / f"{name}.png", np.zeros((4, width, 3)))
    (tmp_path / "e.png").write_bytes(b"no photograph")
    return {path.stem: path for path in sorted(tmp_path.iterdir())}


def test_a_batch_that_the_network_cannot_take_fails_alone(paths):
    """Memory may do for images of one size and not of another."""

    def network(photos):
        if any(photo.shape[1] == 9 for photo in photos.values()):
            raise MemoryError("too wide")
        return dict.fromkeys(photos, "logits")

    def step(image_id, photo, logits):
        if image_id == "b":
            raise InputError("b.png: does not fit")
        return photo.shape[1]

    outcome = Stream(network, paths, 2, 2, False)(step, list(paths), "images")
    assert outcome.results == {"a": 6}
    assert sorted(outcome.failures) == ["b", "c", "d", "e"]
    assert outcome.failures["b"] == "b.png: does not fit"
    assert outcome.failures["c"] == outcome.failures["d"]
    assert "too wide" in outcome.failures["c"]
    assert "e.png: cannot be read" in outcome.failures["e"]
