"""Folders against ground truth; the released system's own figures are among the references."""

from __future__ import annotations

import json

import numpy as np
import pytest
from adapter_contract import shrunk, stored
from PIL import Image

from c2am_plugin.bench.evaluate import THRESHOLDS, evaluate_cams, evaluate_labels
from c2am_plugin.bench.metrics import confusion, scores
from c2am_plugin.errors import InputError
from c2am_plugin.files.labels import pseudo_label, read_label, write_label
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.registry import get_adapter

METHODS = ("psa", "sc_cam", "seam", "puzzlecam", "advcam")


@pytest.fixture
def make_truth(tmp_path):
    """Ground truth for the files of a CAM folder: their own labels at 0.5, spoilt a little."""

    def make(cam_dir, method="psa"):
        rng, adapter = np.random.default_rng(0), get_adapter(method)
        for path in sorted(cam_dir.rglob("*.npy")):
            image_id = str(path.relative_to(cam_dir).with_suffix(""))
            cams = adapter.parse(adapter.load(path), image_id)
            label = pseudo_label(cams.maps, cams.class_ids, 0.5)
            label[rng.random(label.shape) < 0.1] = 255
            write_label(tmp_path / "truth" / f"{image_id}.png", label)
        return tmp_path / "truth"

    return make


@pytest.fixture(scope="module")
def real_set(coco_voc, tmp_path_factory):
    """The 50 real images as files of one pipeline: real_set(method) → folder."""
    root = tmp_path_factory.mktemp("real")

    def make(method):
        folder = root / method
        if not folder.exists():
            folder.mkdir()
            for path in sorted((coco_voc / "cams").iterdir()):
                twin = np.load(path)
                maps = twin["cam"].astype(np.float32)
                content = stored(method, twin["keys"], maps, shrunk(maps))
                np.save(folder / f"{path.stem}.npy", content)
        return folder

    return make


@pytest.mark.parametrize("method", METHODS)
def test_a_sweep_is_the_labels_at_every_threshold(make_set, make_truth, tmp_path, method):
    cam_dir, _ = make_set(method, ids=("a", "b", "val/c"))
    truth = make_truth(cam_dir, method)
    thresholds = (0.1, 0.2, 0.5, 0.9)
    swept = evaluate_cams(cam_dir, truth, method=method, thresholds=thresholds, progress=False)
    adapter = get_adapter(method)
    for t, result in zip(thresholds, swept, strict=True):
        total = 0
        for image_id in ("a", "b", "val/c"):
            cams = adapter.parse(adapter.load(cam_dir / f"{image_id}.npy"), image_id)
            label = pseudo_label(cams.maps, cams.class_ids, t)
            write_label(tmp_path / f"labels{t}" / f"{image_id}.png", label)
            total = total + confusion(label, read_label(truth / f"{image_id}.png"), 21)
        np.testing.assert_array_equal(result.iou, scores(total).iou)
        of_labels = evaluate_labels(tmp_path / f"labels{t}", truth, progress=False)
        np.testing.assert_array_equal(of_labels.iou, result.iou)
        np.testing.assert_array_equal(of_labels.fp, result.fp)
    assert swept[2].miou == 1


def test_workers_and_image_order_do_not_matter(make_set, make_truth):
    cam_dir, _ = make_set()
    truth = make_truth(cam_dir)
    one = evaluate_cams(cam_dir, truth, workers=1, progress=False)
    two = evaluate_cams(cam_dir, truth, workers=2, ids=["d", "b", "a", "c"], progress=False)
    assert [each.miou for each in one] == [each.miou for each in two]
    assert len(one) == len(THRESHOLDS) == 60


def test_the_class_count_is_free(make_set, make_truth):
    cam_dir, _ = make_set()
    truth = make_truth(cam_dir)
    (result,) = evaluate_cams(cam_dir, truth, thresholds=[0.5], n_classes=81, progress=False)
    assert result.iou.shape == (81,)
    assert result.miou == 1
    with pytest.raises(InputError, match=r"\w\.png: .*the 3 classes.*; set `n_classes`"):
        evaluate_cams(cam_dir, truth, n_classes=3, progress=False)


def test_images_without_a_class_count_as_background(make_set, make_truth):
    cam_dir, _ = make_set("puzzlecam")
    truth = make_truth(cam_dir, "puzzlecam")
    np.save(cam_dir / "a.npy", {"keys": np.array([0])})
    (result,) = evaluate_cams(cam_dir, truth, thresholds=[0.5], progress=False)
    assert result.fn[1] > 0
    assert result.fp[0] > 0


def test_what_is_missing_or_bad_is_named(make_set, make_truth, tmp_path):
    cam_dir, _ = make_set()
    truth = make_truth(cam_dir)
    options = {"progress": False, "method": "psa"}
    with pytest.raises(InputError, match=r"cams: 1 of 2 images are missing \(x\)"):
        evaluate_cams(cam_dir, truth, ids=["a", "x"], **options)
    with pytest.raises(InputError, match="`ids` is empty"):
        evaluate_cams(cam_dir, truth, ids=[], **options)
    (truth / "b.png").unlink()
    assert len(evaluate_cams(cam_dir, truth, **options)) == 60
    with pytest.raises(InputError, match=r"truth: 1 of 2 images are missing \(b\)"):
        evaluate_cams(cam_dir, truth, ids=["a", "b"], **options)
    write_label(truth / "b.png", np.zeros((32, 24), np.uint8))
    with pytest.raises(InputError, match=r"1 of 4 images failed.*b\.png: .*differ in shape"):
        evaluate_cams(cam_dir, truth, **options)
    Image.new("RGB", (32, 24)).save(truth / "b.png")
    with pytest.raises(InputError, match=r"b\.png: is a RGB image"):
        evaluate_cams(cam_dir, truth, **options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="contains no ground truth"):
        evaluate_cams(cam_dir, tmp_path / "empty", **options)


def printed(result):
    """As the released evaluator prints it."""
    result = result.counting_absent()
    return {
        "miou_percent": round(100 * result.miou, 3),
        "fp": round(result.mean_fp, 4),
        "fn": round(result.mean_fn, 4),
    }


@pytest.mark.slow
@pytest.mark.parametrize("method", ["puzzlecam", "advcam"])
def test_the_released_evaluators_figures(golden, coco_voc, real_set, method):
    expected = json.loads((golden / "evaluation.json").read_text())["sweep"]
    thresholds = [row["threshold"] for row in expected]
    results = evaluate_cams(
        real_set(method),
        coco_voc / "SegmentationClass",
        method=method,
        thresholds=thresholds,
        ids=coco_voc / "ids.txt",
        progress=False,
    )
    for row, result in zip(expected, results, strict=True):
        assert {"threshold": row["threshold"], **printed(result)} == row
    assert sum(np.isnan(results[0].iou)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("cues", ["cues_crf", "cues_soft"])
def test_the_released_evaluators_figures_with_cues(golden, coco_voc, real_set, tmp_path, cues):
    expected = json.loads((golden / "evaluation.json").read_text())[f"with_{cues}"]
    refine_cams(
        real_set("puzzlecam"),
        coco_voc / cues,
        tmp_path / "out",
        labels=tmp_path / "labels",
        calibrate="off",
        progress=False,
    )
    truth, ids = coco_voc / "SegmentationClass", coco_voc / "ids.txt"
    of_labels = evaluate_labels(tmp_path / "labels", truth, ids=ids, progress=False)
    (of_cams,) = evaluate_cams(tmp_path / "out", truth, thresholds=[0.2], ids=ids, progress=False)
    assert printed(of_labels) == expected
    assert printed(of_cams) == expected


def test_a_cam_that_is_none_is_named_and_can_be_clipped(make_set, make_truth):
    cam_dir, _ = make_set()
    truth = make_truth(cam_dir)
    content = np.load(cam_dir / "a.npy", allow_pickle=True).item()
    np.save(cam_dir / "a.npy", {key: layer * 3 for key, layer in content.items()})
    with pytest.raises(InputError, match=r"a\.npy: maps is not a CAM.*`clip=True`"):
        evaluate_cams(cam_dir, truth, method="psa", progress=False)
    assert len(evaluate_cams(cam_dir, truth, method="psa", clip=True, progress=False)) == 60
