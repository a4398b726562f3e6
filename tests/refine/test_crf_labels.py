"""Labels after the dense CRF by a pipeline's setting, ignored where it is unsure."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from small_files import write_png

from c2am_plugin import refine_cams
from c2am_plugin.cams import read_cams
from c2am_plugin.crf.settings import crf_setting, smooth_label
from c2am_plugin.errors import InputError
from c2am_plugin.files.labels import read_label
from c2am_plugin.registry import get_adapter


@pytest.fixture
def with_photos(make_set, tmp_path):
    cam_dir, cue_dir = make_set("psa", size=(24, 32))
    rng = np.random.default_rng(2)
    for image_id in "abcd":
        write_png(tmp_path / f"photos/{image_id}.png", rng.integers(0, 256, (24, 32, 3)))
    return {"cam_dir": cam_dir, "cue_dir": cue_dir, "images": tmp_path / "photos", "crf": True}


def test_unsure_pixels_are_ignored_and_the_probability_is_written(with_photos, tmp_path):
    out, sure = tmp_path / "out", tmp_path / "sure"
    options = {**with_photos, "crf_setting": "clip_es", "method": "psa", "progress": False}
    refine_cams(
        out_dir=out, labels=tmp_path / "labels", ignore_below=0.9999, confidence=sure, **options
    )
    adapter = get_adapter("psa")
    ignored = 0
    for image_id in "abcd":
        cams = read_cams(adapter, out / f"{image_id}.npy", image_id)
        photo = np.asarray(Image.open(tmp_path / f"photos/{image_id}.png").convert("RGB"))
        label, probability = smooth_label(
            photo, cams.maps, cams.class_ids, 0.2, crf_setting("clip_es")
        )
        label[probability < 0.9999] = 255
        ignored += np.count_nonzero(label == 255)
        np.testing.assert_array_equal(read_label(tmp_path / f"labels/{image_id}.png"), label)
        grey = Image.open(sure / f"{image_id}.png")
        assert grey.mode == "L"
        np.testing.assert_allclose(np.asarray(grey) / 255, probability, atol=0.5 / 255 + 1e-6)
    assert ignored


def test_each_profile_has_its_own_setting(with_photos, tmp_path):
    from c2am_plugin.refine.run import _crf_name

    assert _crf_name(get_adapter("clip_es"), None) == "clip_es"
    assert _crf_name(get_adapter("irn"), None) == "irn"
    assert _crf_name(get_adapter("psa"), None) == "irn"
    assert _crf_name(get_adapter("clip_es"), "psa") == "psa"


@pytest.mark.parametrize(
    "extra", [{"crf_setting": "psa"}, {"ignore_below": 0.9}, {"confidence": "sure"}]
)
def test_they_need_the_crf(with_photos, tmp_path, extra):
    options = {**with_photos, "crf": False, "labels": tmp_path / "labels"}
    with pytest.raises(InputError, match="need `crf`"):
        refine_cams(**options, **extra)


def test_an_unknown_setting_is_refused_before_anything_is_written(with_photos, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="'best' is unknown; expected irn"):
        refine_cams(
            **with_photos, labels=tmp_path / "labels", out_dir=out, crf_setting="best", method="psa"
        )
    assert not out.exists()
