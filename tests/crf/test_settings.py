"""The CRF by the names of pipelines, and labels with their probability."""

from __future__ import annotations

import numpy as np
import pytest
from small_files import smooth_maps

from c2am_plugin.crf.dense_crf import label_crf, label_probabilities, softmax_crf
from c2am_plugin.crf.settings import (
    SETTINGS,
    background_alpha,
    crf_setting,
    smooth_label,
)
from c2am_plugin.errors import InputError
from c2am_plugin.files.labels import pseudo_label

IDS = np.array([2, 11])


@pytest.fixture
def scene():
    rng = np.random.default_rng(3)
    maps = smooth_maps(rng, 2, 24, 32)
    colours = rng.integers(0, 256, (3, 3))
    region = np.digitize(maps.max(axis=0), [0.3, 0.6])
    photo = np.clip(colours[region] + rng.integers(-4, 5, (24, 32, 3)), 0, 255).astype(np.uint8)
    return photo, maps


@pytest.mark.parametrize("name", ["irn", "c2am"])
def test_hard_settings_give_the_label_crf_of_the_label(scene, name):
    photo, maps = scene
    label, probability = smooth_label(photo, maps, IDS, 0.3, crf_setting(name))
    hard = pseudo_label(maps, IDS, 0.3)
    np.testing.assert_array_equal(label, label_crf(photo, hard))
    values, found = label_probabilities(photo, hard)
    assert values.tolist() == sorted({*values.tolist()} & {0, 3, 12})
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(probability, found.max(axis=0))


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("psa", {}),
        (
            "clip_es",
            {
                "gaussian_sxy": 1,
                "gaussian_compat": 3,
                "bilateral_sxy": 67,
                "bilateral_srgb": 3,
                "bilateral_compat": 4,
            },
        ),
    ],
)
def test_soft_settings_give_the_softmax_crf_of_the_scores(scene, name, kernels):
    photo, maps = scene
    # t = 0.5 is CLIP-ES's own (1 − max)^1.
    scores = np.concatenate([1 - maps.max(axis=0, keepdims=True), maps])
    wanted = softmax_crf(photo, scores, **kernels)
    label, probability = smooth_label(photo, maps, IDS, 0.5, crf_setting(name))
    np.testing.assert_array_equal(label, np.array([0, 3, 12], np.uint8)[wanted.argmax(axis=0)])
    np.testing.assert_allclose(probability, wanted.max(axis=0), atol=1e-5)


@pytest.mark.parametrize("t", [0.08, 0.2, 0.382, 0.5, 0.8])
def test_the_exponent_puts_the_background_where_t_puts_it(t):
    maps = np.linspace(0, 1, 4001)
    maps = maps[np.abs(maps - t) > 1e-6]
    np.testing.assert_array_equal(maps > (1 - maps) ** background_alpha(t), maps > t)
    assert t == pytest.approx((1 - t) ** background_alpha(t))


@pytest.mark.parametrize("name", SETTINGS)
def test_an_image_without_a_class_is_background(scene, name):
    photo, _ = scene
    none = np.zeros((0, 0, 0), np.float32)
    label, probability = smooth_label(photo, none, np.zeros(0, int), 0.3, crf_setting(name))
    assert label.shape == probability.shape == photo.shape[:2]
    assert not label.any()
    assert (probability == 1).all()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_class_that_fits_no_label_is_named(scene, name):
    photo, maps = scene
    with pytest.raises(InputError, match="class 254 does not fit"):
        smooth_label(photo, maps, np.array([1, 254]), 0.3, crf_setting(name))


def test_an_unknown_setting_is_refused_with_the_known_names():
    with pytest.raises(InputError, match="irn, c2am, psa, clip_es"):
        crf_setting("deeplab")
