"""An empty list of ids is a mistake, and one clear line in every function that takes ids."""

from __future__ import annotations

import pytest

from c2am_plugin.bench.benchmark import benchmark
from c2am_plugin.bench.evaluate import evaluate_cams, evaluate_labels
from c2am_plugin.bench.reliability import evaluate_cues
from c2am_plugin.boxes.make_boxes import make_boxes
from c2am_plugin.errors import InputError
from c2am_plugin.files.photos import find_images
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.seeds.run import make_seeds

CALLS = {
    "refine_cams": lambda cams, cues, out: refine_cams(cams, cues, out, ids=[]),
    "make_seeds": lambda cams, cues, out: make_seeds(cams, out, cues, ids=[]),
    "make_boxes": lambda cams, cues, out: make_boxes(cues, out, ids=[]),
    "benchmark": lambda cams, cues, out: benchmark({"psa": cams}, cues, cues, out, ids=[]),
    "evaluate_cams": lambda cams, cues, out: evaluate_cams(cams, cues, ids=[]),
    "evaluate_labels": lambda cams, cues, out: evaluate_labels(cues, cues, ids=[]),
    "evaluate_cues": lambda cams, cues, out: evaluate_cues(cues, cues, ids=[]),
    # What train, make_cues, train_saliency and predict_saliency look for images with.
    "find_images": lambda cams, cues, out: find_images(cues, ids=[]),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_empty_list_is_one_clear_line(make_set, tmp_path, name):
    cams, cues = make_set(ids=("a", "b"))
    with pytest.raises(InputError, match="`ids` is empty; expected image ids"):
        CALLS[name](cams, cues, tmp_path / "out")
    assert not (tmp_path / "out").exists()
