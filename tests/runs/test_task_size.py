"""What travels to another process for one image: its own paths, however many images there are."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
from small_files import write_png

from c2am_plugin.bench.benchmark import benchmark
from c2am_plugin.bench.evaluate import evaluate_cams, evaluate_labels
from c2am_plugin.bench.reliability import evaluate_cues
from c2am_plugin.boxes.make_boxes import make_boxes
from c2am_plugin.describe.run import describe_cues
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.runs import parallel
from c2am_plugin.seeds.run import make_seeds

pytestmark = pytest.mark.slow

COUNT = 10_000
# Bytes of a task; the paths of all images would have 50 times as many.
LARGEST = 10_000


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """COUNT images with everything that a command can ask for: links of one file of each kind."""
    base = tmp_path_factory.mktemp("many")
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.save(base / "cams.npy", {3: pixels.astype(np.float32) / 11})
    write_png(base / "cues.png", pixels * 23)
    write_png(base / "gt.png", np.where(pixels > 5, 4, 0))
    write_png(base / "photos.png", np.repeat(pixels[..., None], 3, axis=2))
    for name in ("cams", "cues", "gt", "photos"):
        (base / name).mkdir()
        (original,) = base.glob(f"{name}.*")
        for index in range(COUNT):
            os.link(original, base / name / f"{index:05d}{original.suffix}")
    images = [{"id": i, "file_name": f"{i:05d}.png"} for i in range(COUNT)]
    annotations = [{"image_id": i, "category_id": 1, "bbox": [0, 0, 2, 2]} for i in range(COUNT)]
    (base / "coco.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return base


def run_refine(base, out):
    options = {"crf": True, "images": base / "photos", "labels": out / "labels", "calibrate": "on"}
    refine_cams(base / "cams", base / "cues", out / "refined", **options, seeds=out / "seeds")


def run_bench(base, out):
    options = {"crf": True, "images": base / "photos", "calibrate": "on", "pictures": 0}
    benchmark({"psa": base / "cams"}, base / "cues", base / "gt", out / "bench", **options)


COMMANDS = {
    "refine": (run_refine, ["calibrating", "refining", "seeds"]),
    "bench": (run_bench, ["background score", "calibrating", "thresholds", "rows"]),
    "seeds": (lambda base, out: make_seeds(base / "cams", out, base / "photos"), ["seeds"]),
    "boxes": (
        lambda base, _: make_boxes(base / "cues", gt=base / "coco.json", images=base / "photos"),
        ["boxes"],
    ),
    "describe": (lambda base, _: describe_cues(base / "cues", base / "cams"), ["cues"]),
    "cues": (lambda base, _: evaluate_cues(base / "cues", base / "gt"), ["evaluating"]),
    "cams": (lambda base, _: evaluate_cams(base / "cams", base / "gt"), ["evaluating"]),
    "labels": (lambda base, _: evaluate_labels(base / "gt", base / "gt"), ["evaluating"]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_task_has_one_images_paths(folders, tmp_path, monkeypatch, command):
    sizes, start = [], parallel._start

    def measure(work, items, workers, prefer, hand):
        assert len(items) >= 3
        sizes.append(max(len(pickle.dumps((work, item))) for item in (items[0], items[-1])))
        return start(work, items[:3], 1, prefer, hand)  # three show that the work can be done

    monkeypatch.setattr(parallel, "_start", measure)
    run, stages = COMMANDS[command]
    run(folders, tmp_path)
    assert len(sizes) == len(stages)
    assert max(sizes) < LARGEST, dict(zip(stages, sizes, strict=True))
