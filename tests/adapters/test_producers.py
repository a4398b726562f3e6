"""Files by the producers' own rules: read, refined, written back, and evaluated as they do it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from producers import PRODUCERS, c2am, evaluate, random_logits, seam, shifted_seam
from small_files import write_png

from c2am_plugin.bench.evaluate import evaluate_cams
from c2am_plugin.errors import InputError
from c2am_plugin.files.labels import palette
from c2am_plugin.refine.binary import harden
from c2am_plugin.refine.image import refine_image
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.registry import choose_adapter, get_adapter

SIZES = [(37, 50), (33, 32), (16, 21), (5, 7)]
SEAMS = {"seam": seam, "shifted_seam": shifted_seam}


def producer(name):
    return SEAMS.get(name) or PRODUCERS[name]


def layers(content):
    """Every stored map of a file, in order."""
    found = [content[key] for key in content if key != "keys"]
    return [np.asarray(each) for each in found]


def method_of(name):
    return "seam" if name in SEAMS else name


ALL = [*PRODUCERS, "shifted_seam"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ALL)
def test_files_of_a_producer_are_read_without_a_flag(tmp_path, name, size):
    logits, label = random_logits(size)
    np.save(tmp_path / "a.npy", producer(name)(logits, label))
    adapter = choose_adapter(method_of(name), [tmp_path / "a.npy"])
    cams = adapter.parse(adapter.load(tmp_path / "a.npy"), "a")
    assert cams.class_ids.tolist() == [0, 4]
    assert cams.maps.shape == (2, *size)
    stored = layers(np.load(tmp_path / "a.npy", allow_pickle=True).item())
    expected = stored[-1] if stored[-1].ndim == 3 else np.stack(stored)
    np.testing.assert_array_equal(cams.maps, np.maximum(expected, 0) / adapter.file_scale)


@pytest.mark.parametrize("name", ALL)
def test_without_news_the_stored_bytes_stay(tmp_path, name):
    """Values below 0 included, in both resolutions; where the cue has news they are refined."""
    logits, label = random_logits()
    np.save(tmp_path / "a.npy", producer(name)(logits, label))
    before = np.load(tmp_path / "a.npy", allow_pickle=True).item()
    adapter = choose_adapter(method_of(name), [tmp_path / "a.npy"])
    t = adapter.background_score
    cams = adapter.parse(adapter.load(tmp_path / "a.npy"), "a")
    adapter.dump(cams, tmp_path / "c.npy")
    cue = np.full(cams.maps.shape[1:], t, np.float32)
    adapter.dump(refine_image(cams, cue, t), tmp_path / "b.npy")
    for path in (tmp_path / "b.npy", tmp_path / "c.npy"):
        after = np.load(path, allow_pickle=True).item()
        assert [type(key) for key in after] == [type(key) for key in before]
        for one, other in zip(layers(before), layers(after), strict=True):
            assert one.tobytes() == other.tobytes()
    cue[:, 20:] = 1
    refined = refine_image(cams, cue, t)
    adapter.dump(harden(refined, t) if adapter.binary else refined, tmp_path / "b.npy")
    after = np.load(tmp_path / "b.npy", allow_pickle=True).item()
    for one, other in zip(layers(before)[-2:], layers(after)[-2:], strict=True):
        if one.shape[-1] == 50:
            assert (
                np.ascontiguousarray(one[..., :20]).tobytes()
                == np.ascontiguousarray(other[..., :20]).tobytes()
            )
            assert (other[..., 20:] == 0).all()


def test_a_class_without_a_response_is_minus_one_and_no_class(tmp_path):
    logits, label = random_logits(negative=(4,))
    content = seam(logits, label)
    assert (content[4] == -1).all()
    np.save(tmp_path / "a.npy", content)
    adapter = get_adapter("seam")
    cams = adapter.parse(content, "a")
    assert cams.below_zero
    assert (cams.maps[1] == 0).all()
    for half in (np.float16, None):
        refined = refine_image(cams, np.full((37, 50), 0.26, "f4"), 0.26, float16=half is not None)
        adapter.dump(refined, tmp_path / "b.npy")
        assert (np.load(tmp_path / "b.npy", allow_pickle=True).item()[4] == -1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5])
@pytest.mark.parametrize("name", ["psa", "seam", "puzzlecam", "advcam"])
def test_what_is_above_1_or_not_finite_is_still_refused(tmp_path, name, value):
    content = PRODUCERS[name](*random_logits())
    for maps in layers(content):
        maps[..., 2, 3] = value
    adapter, t = get_adapter(name), get_adapter(name).background_score
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(InputError, match="not a CAM in"):
        adapter.parse(adapter.load(tmp_path / "a.npy"), "a")
    cams = adapter.parse(adapter.load(tmp_path / "a.npy"), "a", clip=True)
    adapter.dump(refine_image(cams, np.full((37, 50), t, "f4"), t), tmp_path / "b.npy")
    for maps in layers(np.load(tmp_path / "b.npy", allow_pickle=True).item()):
        assert np.isfinite(maps).all()
        assert maps.max() <= 1


def test_c2ams_own_maps(tmp_path):
    np.save(tmp_path / "a.npy", c2am(random_logits()[0]))
    adapter = choose_adapter("auto", [tmp_path / "a.npy"])
    assert adapter.family == "puzzlecam"
    assert adapter.parse(adapter.load(tmp_path / "a.npy"), "a").class_ids.tolist() == [0]


@pytest.mark.parametrize("name", ["puzzlecam", "advcam", "seam"])
def test_an_image_without_a_class(tmp_path, name):
    logits, label = random_logits(classes=())
    np.save(tmp_path / "a.npy", PRODUCERS[name](logits, label))
    adapter = get_adapter(name)
    cams = adapter.parse(adapter.load(tmp_path / "a.npy"), "a")
    assert cams.class_ids.tolist() == []


def a_set(tmp_path, name, count=6):
    """CAMs by a producer's rule, cues and ground truth: borders of 255, half of the files with a
    palette, as VOC's are."""
    truth = {}
    for index in range(count):
        rng = np.random.default_rng(index)
        classes = tuple(sorted(rng.choice(20, 1 + index % 3, replace=False).tolist()))
        logits, label = random_logits((33 + index, 40), classes, index)
        (tmp_path / "cams").mkdir(exist_ok=True)
        np.save(tmp_path / "cams" / f"i{index}.npy", producer(name)(logits, label))
        shown = np.maximum(logits, 0) * label[:, None, None]
        truth_ = np.where(shown.max(0) > 1, shown.argmax(0) + 1, 0).astype(np.uint8)
        truth_[:2], truth_[:, -2:] = 255, 255
        truth[f"i{index}"] = truth_
        (tmp_path / "gt").mkdir(exist_ok=True)
        picture = Image.fromarray(truth_)
        if index % 2:
            picture.putpalette(palette().tobytes())
        picture.save(tmp_path / "gt" / f"i{index}.png")
        noise = rng.random(truth_.shape) * 0.5
        write_png(tmp_path / "cues" / f"i{index}.png", 255 * ((truth_ > 0) * 0.5 + noise))
    return truth


@pytest.mark.parametrize("name", ALL)
def test_the_pipelines_own_evaluator_agrees(tmp_path, name):
    truth, method = a_set(tmp_path, name), method_of(name)
    report = refine_cams(
        tmp_path / "cams", tmp_path / "cues", method=method, calibrate="on", progress=False
    )
    assert report.refined == len(truth)
    t = get_adapter(method).background_score
    for folder in (tmp_path / "cams", tmp_path / "cams_c2am"):
        theirs = evaluate(method, folder, truth, t)
        (ours,) = evaluate_cams(
            folder, tmp_path / "gt", method=method, thresholds=[t], progress=False
        )
        classes = ours.iou
        if method in ("psa", "seam", "puzzlecam"):
            # They count a class that no image shows as an IoU of 0.
            assert theirs == pytest.approx(100 * np.nansum(classes) / 21, abs=1e-6)
        elif method == "advcam":
            assert theirs == pytest.approx(100 * np.nanmean(classes), abs=1e-6)
        else:
            shown = np.isin(
                np.arange(21), np.unique(np.concatenate([x.ravel() for x in truth.values()]))
            )
            assert theirs == pytest.approx(100 * np.nanmean(classes[shown]), abs=1e-6)


def test_files_below_0_are_counted_once(tmp_path, caplog):
    a_set(tmp_path, "shifted_seam")
    caplog.set_level("INFO", logger="c2am_plugin")
    report = refine_cams(tmp_path / "cams", tmp_path / "cues", method="seam", progress=False)
    lines = [record.getMessage() for record in caplog.records if "below 0" in record.getMessage()]
    assert report.below_zero == 6
    assert lines == [
        "6 of 6 files have values below 0, which SEAM's normalisation leaves; they are read as 0, "
        "like background in the pipeline's own argmax"
    ]
