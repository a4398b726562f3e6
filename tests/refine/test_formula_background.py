"""The formula where t is a map: the properties of the constant, at each pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from c2am_plugin.errors import InputError
from c2am_plugin.files.labels import pseudo_label
from c2am_plugin.refine.formula import NO_NEWS, refine, with_constant

pytestmark = pytest.mark.slow

DTYPES = (np.float16, np.float32, np.float64)


def label_of(background, maps):
    """argmax([background, maps]), in float64, which holds every input exactly."""
    layers = [background[None].astype(np.float64), maps.astype(np.float64)]
    return np.concatenate(layers).argmax(axis=0)


def values(dtype):
    """Random, quantised and neighbouring values in [0, 1], ties included."""
    near = [0, 1, 0.2, 0.5, np.nextafter(dtype(0.2), dtype(1)), np.nextafter(dtype(0.2), dtype(0))]
    return st.one_of(
        st.floats(0, 1, width=np.dtype(dtype).itemsize * 8),
        st.integers(0, 255).map(lambda k: float(dtype(k / 255))),
        st.sampled_from([float(dtype(value)) for value in near]),
    )


@st.composite
def images(draw, dtypes=DTYPES):
    """(maps K×H×W, cue H×W float32, t(x) H×W below 1 of the dtype of the maps)."""
    dtype = draw(st.sampled_from(dtypes))
    classes = draw(st.sampled_from([0, 1, 2, 5]))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 5)))
    maps = draw(hnp.arrays(dtype, (classes, *shape), elements=values(dtype)))
    background = draw(hnp.arrays(dtype, shape, elements=values(dtype)))
    background = np.minimum(background, np.nextafter(dtype(1), dtype(0)))
    cue = draw(hnp.arrays(np.float32, shape, elements=values(np.float32)))
    if classes and draw(st.booleans()):
        cue[0] = maps[-1, 0].astype(np.float32)
        background[-1] = np.minimum(maps[0, -1], background[-1])
    return maps, cue, background


@settings(max_examples=400, deadline=None)
@given(images())
def test_labels_are_the_papers_against_the_background_of_the_file(image):
    maps, cue, background = image
    label, expected = label_of(background, refine(maps, cue, background)), label_of(cue, maps)
    # A cue that float32 cannot tell from t is t: then the pipeline's own label stays.
    as_t = np.abs(cue.astype(np.float64) - background) <= 2 * NO_NEWS
    kept = as_t & (label != expected)
    np.testing.assert_array_equal(label, np.where(kept, label_of(background, maps), expected))


@settings(max_examples=200, deadline=None)
@given(images())
def test_a_cue_of_the_background_changes_nothing(image):
    maps, _, background = image
    assert refine(maps, background, background).tobytes() == maps.tobytes()


@settings(max_examples=200, deadline=None)
@given(images(), st.sampled_from([0.3, 1.0, 2.0]))
def test_range_order_and_ratios(image, strength):
    maps, cue, background = image
    refined = refine(maps, cue, background, strength)
    assert (refined.dtype, refined.shape) == (maps.dtype, maps.shape)
    assert np.all((refined >= 0) & (refined <= 1))
    if len(maps):
        alive = refined.max(axis=0) > 0
        np.testing.assert_array_equal(refined.argmax(0)[alive], maps.argmax(0)[alive])


@settings(max_examples=200, deadline=None)
@given(images(), st.sampled_from([0.15, 0.2, 0.5]), st.sampled_from([0.5, 1.0]))
def test_a_constant_map_is_the_constant(image, t, strength):
    maps, cue, _ = image
    everywhere = np.full(cue.shape, t)
    expected = refine(maps, cue, t, strength)
    assert refine(maps, cue, everywhere, strength).tobytes() == expected.tobytes()


@settings(max_examples=200, deadline=None)
@given(images(), st.booleans())
def test_each_pixel_is_refined_with_its_own_background(image, hard):
    maps, cue, background = image
    cue = (cue > 0.5).astype(np.float32) if hard else cue
    whole = refine(maps, cue, background)
    for y, x in np.ndindex(cue.shape):
        if not 0 < background[y, x] < 1:
            continue
        at = (slice(y, y + 1), slice(x, x + 1))
        one = refine(maps[(slice(None), *at)], cue[at], float(background[y, x]))
        assert one.tobytes() == whole[(slice(None), *at)].tobytes()


@settings(max_examples=200, deadline=None)
@given(images(dtypes=(np.float32, np.float64)))
def test_labels_hold_in_half_precision_against_the_background_as_stored(image):
    maps, cue, background = image
    refined = refine(maps, cue, background, dtype=np.float16)
    assert refined.dtype == np.float16
    far = np.abs(cue.astype(np.float64) - background) > 2 * NO_NEWS
    expected = label_of(cue, maps)
    np.testing.assert_array_equal(label_of(background, refined)[far], expected[far])


@settings(max_examples=200, deadline=None)
@given(images(), st.sampled_from([0.2, 0.5]))
def test_a_background_becomes_a_constant_with_the_same_labels(image, t):
    maps, _, background = image
    far = np.abs(background.astype(np.float64) - t) > 2 * NO_NEWS
    label = label_of(np.full(background.shape, t), with_constant(maps, background, t))
    np.testing.assert_array_equal(label[far], label_of(background, maps)[far])


def test_a_large_image_is_one_of_its_pixels():
    rng = np.random.default_rng(0)
    maps, cue, background = (rng.random(shape) for shape in ((2, 300, 200), (300, 200), (300, 200)))
    whole = refine(maps, cue, background)
    rows = [refine(maps[:, [y]], cue[[y]], background[[y]]) for y in range(300)]
    np.testing.assert_array_equal(whole, np.concatenate(rows, axis=1))


@settings(max_examples=100, deadline=None)
@given(images())
def test_pseudo_label_takes_a_map(image):
    maps, _, background = image
    label = pseudo_label(maps, np.arange(len(maps)), background)
    np.testing.assert_array_equal(label, label_of(background, maps))


@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5, np.nan])
def test_a_background_outside_0_to_1_is_refused(value):
    background = np.full((2, 2), 0.2)
    background[1, 1] = value
    with pytest.raises(InputError, match=r"background map: values outside \[0, 1\)"):
        refine(np.zeros((1, 2, 2)), np.zeros((2, 2)), background)
