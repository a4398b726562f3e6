"""The formula and its four properties, against exact and naive implementations of its own.

Labels are compared with the paper's rule as two kinds of pipeline apply it: one rounds t to the
dtype of its CAMs (np.pad does), one compares in float64.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from c2am_plugin.cams import ImageCams
from c2am_plugin.errors import InputError
from c2am_plugin.files.cues import read_cue
from c2am_plugin.files.labels import pseudo_label
from c2am_plugin.refine.formula import NO_NEWS, is_hard, refine

THRESHOLDS = (0.15, 0.20, 0.26, 0.30, 0.5)
ANY_THRESHOLD = st.one_of(
    st.sampled_from(THRESHOLDS),
    st.integers(1, 254).map(lambda k: k / 255),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
)
DTYPES = (np.float16, np.float32, np.float64)


def paper_label(maps, cue):
    """argmax([b, cam]), in float64, which holds every input exactly."""
    return np.concatenate([cue[None].astype(np.float64), maps.astype(np.float64)]).argmax(axis=0)


def own_label(maps, t):
    """A pipeline that pads its CAMs with t, as PuzzleCAM and IRN do."""
    return np.pad(maps, ((1, 0), (0, 0), (0, 0)), constant_values=t).argmax(axis=0)


def float64_label(maps, t):
    """A pipeline that compares in float64."""
    return own_label(maps.astype(np.float64), t)


def exact_top(m, b, t):
    """m' as an exact fraction, for m, b and t exactly as they are stored."""
    m, b, t = Fraction(float(m)), Fraction(float(b)), Fraction(t)
    if m == 0:
        return Fraction(0)
    if m == 1 and b == 1:
        return t
    for_it, against = m * t * (1 - b), (1 - m) * b * (1 - t)
    return for_it / (for_it + against)


def naive_refine(maps, cue, t, strength):
    """The formula as DESIGN writes it, one pixel at a time, in odds and Python floats."""
    refined = maps.astype(np.float64)
    for y, x in np.ndindex(cue.shape):
        m, b = float(maps[:, y, x].max()), float(cue[y, x])
        if m in (0, 1) or b in (0, 1):
            new = 0 if m == 0 else (t if b == 1 else 1) if m == 1 else 1 - b
        else:
            log_odds = np.log(m / (1 - m)) + strength * np.log(t / (1 - t) * (1 - b) / b)
            new = 1 / (1 + np.exp(-log_odds))
        refined[:, y, x] *= new / m if m else 1
    return refined


def values_of(kind, t, dtype):
    """A strategy of single values in [0, 1]."""
    width = np.dtype(dtype).itemsize * 8
    if kind == "random":
        return st.floats(0, 1, width=width)
    if kind == "quantised":
        return st.integers(0, 255).map(lambda k: float(np.asarray(k / 255, dtype)))
    near = np.asarray(t, dtype)
    pool = [near, np.nextafter(near, dtype(0)), np.nextafter(near, dtype(1)), 0, 1, 0.5]
    return st.sampled_from([float(np.asarray(value, dtype)) for value in pool])


@st.composite
def images(draw, dtypes=DTYPES, thresholds=None, max_classes=80):
    """(maps K×H×W, cue H×W float32, t), random, k/255-quantised or full of exact ties."""
    t = draw(ANY_THRESHOLD if thresholds is None else thresholds)
    dtype = draw(st.sampled_from(dtypes))
    classes = draw(st.sampled_from([0, 1, 2, 3, 20, 80]).filter(lambda k: k <= max_classes))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 5)))
    kinds = st.sampled_from(["random", "quantised", "tied"])
    maps = draw(hnp.arrays(dtype, (classes, *shape), elements=values_of(draw(kinds), t, dtype)))
    cue = draw(hnp.arrays(np.float32, shape, elements=values_of(draw(kinds), t, np.float32)))
    if classes and draw(st.booleans()):
        # Exact ties of a class with the cue, and of two classes.
        cue[0] = maps[-1, 0].astype(np.float32)
        maps[0] = maps[-1]
    return maps, cue, t


# --- property 1: the paper's labels, exactly -----------------------------------------------------


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(images())
def test_labels_are_the_papers_for_a_pipeline_that_rounds_t(image):
    maps, cue, t = image
    assume(maps.dtype.type(t) < 1)
    np.testing.assert_array_equal(own_label(refine(maps, cue, t), t), paper_label(maps, cue))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(images())
def test_labels_are_the_papers_for_a_pipeline_that_compares_in_float64(image):
    maps, cue, t = image
    expected = paper_label(maps, cue)
    label = float64_label(refine(maps, cue, t), t)
    # A cue that 8 bits or float32 cannot tell from t is t: then the pipeline's own label stays.
    as_t = np.abs(cue.astype(np.float64) - t) <= 2.0**-22
    expected = np.where(as_t & (label != expected), float64_label(maps, t), expected)
    np.testing.assert_array_equal(label, expected)


@pytest.mark.parametrize("t", THRESHOLDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_of_every_pair_of_8_bit_values(t, dtype):
    levels = np.arange(256) / 255
    maps = np.broadcast_to(levels.astype(dtype), (256, 256))
    maps = np.stack([maps * dtype(0.5), maps])
    cue = np.broadcast_to(levels.astype(np.float32)[:, None], (256, 256)).copy()
    refined = refine(maps, cue, t)
    expected = paper_label(maps, cue)
    np.testing.assert_array_equal(own_label(refined, t), expected)
    np.testing.assert_array_equal(pseudo_label(refined, np.array([0, 1]), t), expected)
    off = np.abs(cue - t) > 1e-6
    np.testing.assert_array_equal(float64_label(refined, t)[off], expected[off])


@pytest.mark.parametrize("t", THRESHOLDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_are_exact_where_map_cue_and_t_are_neighbours(t, dtype):
    near = dtype(t)
    values = [np.nextafter(near, dtype(0)), near, np.nextafter(near, dtype(1))]
    cues = [*map(float, values), t, np.nextafter(t, 0), np.nextafter(t, 1)]
    maps, cue = np.array([values] * 6, dtype)[None], np.array([cues] * 3).T
    np.testing.assert_array_equal(own_label(refine(maps, cue, t), t), paper_label(maps, cue))


def test_a_tie_is_background_even_for_a_float64_comparison():
    # float32 0.2 lies above 0.2: a tie left there would be foreground.
    value = np.float32(0.3)
    refined = refine(np.full((1, 1, 1), value), np.full((1, 1), value), 0.2)
    assert float(refined[0, 0, 0]) <= 0.2


@pytest.mark.parametrize("t", [1e-50, 1e-9, 0.2, 1 / 3, 0.9997, 1 - 2.0**-24, 1 - 2.0**-30])
@pytest.mark.parametrize("dtype", DTYPES)
def test_thresholds_that_the_dtype_cannot_hold(t, dtype):
    """Values next to t on either side of both t and its rounding (`_around`'s promise)."""
    rng = np.random.default_rng(0)
    maps, cue = rng.random((2, 8, 8)).astype(dtype), rng.random((8, 8)).astype(np.float32)
    cue[0] = maps.max(axis=0)[0]
    expected = paper_label(maps, cue)
    refined = refine(maps, cue, t)
    np.testing.assert_array_equal(float64_label(refined, t), expected)
    if dtype(t) < 1:
        np.testing.assert_array_equal(own_label(refined, t), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("t", THRESHOLDS)
@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_a_hard_cue_is_decided_exactly_as_the_formula_would(n_classes, t, dtype):
    """One grey pixel takes the whole image through the formula: the others must not notice."""
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 6, (n_classes, 40, 50)).astype(dtype) / 5
    cue = rng.integers(0, 2, (40, 50)).astype(np.float32)
    grey = cue.copy()
    grey[0, 0] = 0.5
    decided, computed = refine(maps, cue, t), refine(maps, grey, t)
    assert decided[:, 1:].tobytes() == computed[:, 1:].tobytes()
    assert decided[:, 0, 1:].tobytes() == computed[:, 0, 1:].tobytes()


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(images(dtypes=(np.float32, np.float64)))
def test_labels_are_exact_in_half_precision(image):
    maps, cue, t = image
    assume(0 < np.float16(t) < 1)
    half = refine(maps, cue, t, dtype=np.float16)
    assert half.dtype == np.float16
    expected = paper_label(maps, cue)
    np.testing.assert_array_equal(own_label(half, t), expected)
    np.testing.assert_array_equal(float64_label(half, t), expected)


@pytest.mark.parametrize(("strength", "cue"), [(0, 0.2), (1, 0.2), (0, 0.0), (0, 1.0)])
def test_no_news_in_half_precision_keeps_the_label_and_rounds(strength, cue):
    maps = np.random.default_rng(0).random((3, 60, 60)).astype(np.float32)
    # Next to t: half precision rounds these to the other side of it.
    maps[0, :9], maps[1:, :9] = 0.2 + np.linspace(-4e-5, 4e-5, 60), 0.1
    half = refine(maps, np.full((60, 60), cue), 0.2, strength, np.float16)
    np.testing.assert_array_equal(own_label(half, 0.2), own_label(maps, 0.2))
    np.testing.assert_array_equal(float64_label(half, 0.2), own_label(maps, 0.2))
    assert np.abs(half - maps).max() < 2**-10


@pytest.mark.parametrize("b", [0.2, 0.1, 0.0])
def test_the_class_that_won_wins_in_half_precision(b):
    """Where half precision cannot tell it from the class before."""
    maps = np.array([0.5 - 1e-6, 0.5, 0.5 - 1e-6], np.float32).reshape(3, 1, 1)
    half = refine(maps, np.full((1, 1), b), 0.2, dtype=np.float16)
    assert half.argmax(axis=0) == 1


# --- property 2 and 3: no news, no change --------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(images(dtypes=(np.float32, np.float64)))
def test_a_cue_of_t_changes_nothing(image):
    maps, _, t = image
    cue = np.full(maps.shape[1:], t, maps.dtype)
    assert refine(maps, cue, t).tobytes() == maps.tobytes()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("stored", ["8 bit", "16 bit", "float32", "float64"])
def test_a_stored_cue_of_one_fifth_changes_nothing(tmp_path, stored, flip):
    """0.20 is 51/255 and 13107/65535: what PSA and PuzzleCAM compare with, byte for byte."""
    level = 0.2 if flip else 0.8
    path = tmp_path / ("cue.npy" if "float" in stored else "cue.png")
    if "float" in stored:
        np.save(path, np.full((16, 16), 1 - 0.2 if not flip else 0.2, stored))
    else:
        dtype, full = (np.uint8, 255) if stored == "8 bit" else (np.uint16, 65535)
        Image.fromarray(np.full((16, 16), round(level * full), dtype)).save(path)
    cue = read_cue(path, flip=flip)
    maps = (np.arange(256).reshape(1, 16, 16) / 255).astype(np.float32)
    maps = np.concatenate([maps, maps[:, ::-1], np.random.default_rng(1).random(maps.shape)])
    for dtype in (np.float32, np.float64):
        assert refine(maps.astype(dtype), cue, 0.20).tobytes() == maps.astype(dtype).tobytes()


@pytest.mark.parametrize(("b", "t"), [(0, 2.0**-23), (1, 1 - 2.0**-23)])
def test_a_hard_cue_beside_t_changes_nothing(b, t):
    maps = np.full((1, 2, 2), 0.5)
    np.testing.assert_array_equal(refine(maps, np.full((2, 2), float(b)), t), maps)


def test_no_news_reaches_only_as_far_as_rounding():
    maps = np.full((1, 1, 1), 0.5, np.float32)
    for step in (1e-6, -1e-6):
        moved = refine(maps, np.full((1, 1), 0.2 + step), 0.2)
        assert (moved < maps) if step > 0 else (moved > maps)
    assert NO_NEWS < 1e-6


# --- property 4: ratios, monotone, range ---------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(images(max_classes=20), st.sampled_from([1.0, 0.3, 2.0]))
def test_range_and_class_order(image, strength):
    maps, cue, t = image
    refined = refine(maps, cue, t, strength)
    assert (refined.dtype, refined.shape) == (maps.dtype, maps.shape)
    assert np.all((refined >= 0) & (refined <= 1))  # false for NaN
    if len(maps) and refined.size:
        alive = refined.max(axis=0) > 0
        np.testing.assert_array_equal(refined.argmax(0)[alive], maps.argmax(0)[alive])


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(images(dtypes=(np.float32, np.float64), max_classes=3))
def test_class_ratios_are_kept(image):
    maps, cue, t = image
    refined = refine(maps, cue, t)
    if not len(maps):
        return
    tiny = np.finfo(maps.dtype).tiny
    top, new = maps.max(axis=0).astype(np.float64), refined.max(axis=0).astype(np.float64)
    expected = np.where(top > 0, maps / np.where(top > 0, top, 1) * new, 0)
    off = 4 * np.finfo(maps.dtype).eps
    np.testing.assert_allclose(refined, expected, rtol=off, atol=tiny)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    images(dtypes=(np.float32,), max_classes=1),
    st.floats(0, 1, width=32),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_the_maximum_falls_as_the_cue_rises(image, other, strength):
    maps, cue, t = image
    low, high = np.minimum(cue, other), np.maximum(cue, other)
    assert np.all(refine(maps, low, t, strength) >= refine(maps, high, t, strength))


def test_the_maximum_falls_over_a_fine_ramp_through_t():
    cue = np.sort(np.concatenate([np.linspace(0, 1, 4001), 0.2 + np.arange(-200, 200) * 1e-8]))
    for m in (1e-30, 0.1, 0.2, 0.7, 1 - 2.0**-24, 1.0):
        refined = refine(np.full((1, 1, len(cue)), m, np.float32), cue[None], 0.2)[0, 0]
        assert np.all(np.diff(refined) <= 0)


# --- the values themselves -----------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(images(dtypes=(np.float32,), max_classes=3, thresholds=st.sampled_from(THRESHOLDS)))
def test_the_new_maximum_is_the_formula_to_one_rounding(image):
    maps, cue, t = image
    if not len(maps):
        return
    refined = refine(maps, cue, t).max(axis=0)
    for index in np.ndindex(cue.shape):
        exact = exact_top(maps[(slice(None), *index)].max(), cue[index], t)
        nearest = np.float32(float(exact))
        step = max(np.spacing(nearest), np.float32(3e-7) * np.float32(t))  # ties, and cues like t
        assert abs(float(refined[index]) - float(exact)) <= 2 * step


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0, 1.7, 2.0, 4.0])
def test_strength_is_the_exponent_of_the_cues_odds_ratio(strength):
    rng = np.random.default_rng(3)
    maps, cue = rng.random((3, 9, 11)), rng.random((9, 11))
    for t in THRESHOLDS:
        np.testing.assert_allclose(
            refine(maps, cue, t, strength), naive_refine(maps, cue, t, strength), rtol=1e-12
        )


@settings(max_examples=50, deadline=None)
@given(images())
def test_strength_0_changes_nothing(image):
    maps, cue, t = image
    refined = refine(maps, cue, t, strength=0)
    assert refined.tobytes() == maps.tobytes()
    assert not np.shares_memory(refined, maps)


@pytest.mark.parametrize("strength", [300.0, 1000.0, 1e6])
@pytest.mark.parametrize(("b", "expected"), [(0.0, 1), (0.1, 1), (0.3, 0), (0.9, 0), (1.0, 0)])
def test_a_huge_strength_makes_the_cue_certain(strength, b, expected):
    """Both powers vanish in float64; their ratio does not."""
    maps = np.full((1, 1, 1), 0.3)
    assert refine(maps, np.full((1, 1), b), 0.2, strength)[0, 0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0, 1000.0])
@pytest.mark.parametrize(
    ("m", "b", "expected"),
    [
        *((0.0, b, 0.0) for b in (0.0, 0.2, 0.5, 1.0)),
        *((m, 1.0, 0.0) for m in (1e-30, 0.2, 1 - 2.0**-24)),
        *((m, 0.0, 1.0) for m in (1e-30, 0.2, 1.0)),
        *((1.0, b, 1.0) for b in (0.1, 0.2, 0.9)),
        (1.0, 1.0, 0.2),
    ],
)
def test_the_0_over_0_cases(m, b, expected, strength):
    refined = refine(np.full((1, 1, 1), m, np.float32), np.full((1, 1), b), 0.2, strength)
    np.testing.assert_allclose(refined[0, 0, 0], expected, rtol=1e-6)
    # Beside a pixel whose cue is soft, for which the whole formula is worked out.
    with np.errstate(divide="raise", invalid="raise"):
        beside = refine(np.full((1, 1, 2), m, np.float32), np.array([[b, 0.7]]), 0.2, strength)
    np.testing.assert_allclose(beside[0, 0, 0], expected, rtol=1e-6)


def test_classes_that_tie_stay_tied():
    rng = np.random.default_rng(8)
    one, other = rng.random((2, 30, 40), np.float32)
    refined = refine(np.stack([other, one, one]), rng.random((30, 40), np.float32), 0.2)
    won = one > other
    assert won.any()
    np.testing.assert_array_equal(refined[1][won], refined[2][won])


def test_a_cue_at_the_edge_of_no_news_is_none():
    maps = np.full((1, 1, 2), 0.8)
    refined = refine(maps, np.array([[0.5 + 2.0**-23, 0.5 + 2.0**-22]]), 0.5)
    assert refined[0, 0, 0] == 0.8
    assert refined[0, 0, 1] < 0.8


def test_a_large_image_is_one_of_its_pixels():
    """Rows are worked on in blocks; the blocks must not show."""
    rng = np.random.default_rng(5)
    for shape in ((301, 173), (2, 20_000), (20_000, 1), (1, 1)):
        maps, cue = rng.random((2, *shape), np.float32), rng.random(shape, np.float32)
        rows = refine(maps.reshape(2, -1, 1), cue.reshape(-1, 1), 0.3)
        np.testing.assert_array_equal(refine(maps, cue, 0.3), rows.reshape(maps.shape))


def test_the_input_is_untouched_and_may_be_read_only_and_strided():
    rng = np.random.default_rng(6)
    maps, cue = rng.random((3, 8, 10), np.float32), rng.random((8, 10), np.float32)
    expected, before = refine(maps, cue, 0.2), maps.copy()
    for odd in (np.asfortranarray(maps), maps.repeat(2, axis=2)[:, :, ::2], maps.astype(">f4")):
        odd.setflags(write=False)
        np.testing.assert_array_equal(refine(odd, cue, 0.2), expected)
    np.testing.assert_array_equal(maps, before)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maps", "cue", "options", "said"),
    [
        (np.zeros((1, 2, 2)), np.zeros((2, 3)), {}, r"\(1, 2, 2\).*\(2, 3\)"),
        (np.zeros((2, 2)), np.zeros((2, 2)), {}, "K×H×W"),
        (np.full((1, 2, 2), np.nan), np.zeros((2, 2)), {}, "^CAMs: .*NaN"),
        (np.full((1, 2, 2), 1.1), np.zeros((2, 2)), {}, "^CAMs: .*outside"),
        (np.zeros((1, 2, 2)), np.full((2, 2), np.nan), {}, "^cue: .*NaN"),
        (np.zeros((1, 2, 2)), np.full((2, 2), -0.1), {}, "^cue: .*outside"),
        *(
            (np.zeros((1, 2, 2)), np.zeros((2, 2)), {"background_score": t}, "background_score")
            for t in (0, 1, -1, 2, np.nan)
        ),
        *(
            (np.zeros((1, 2, 2)), np.zeros((2, 2)), {"strength": s}, "strength")
            for s in (-1, np.inf, np.nan)
        ),
    ],
)
def test_input_that_is_no_cam_or_cue_is_refused(maps, cue, options, said):
    with pytest.raises(InputError, match=said):
        refine(maps, cue, **{"background_score": 0.2, **options})


# --- labels --------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(images())
def test_pseudo_label_is_argmax_over_t_and_the_maps(image):
    maps, _, t = image
    class_ids = np.random.default_rng(0).permutation(254)[: len(maps)]
    label = pseudo_label(maps, class_ids, t)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, np.array([0, *(class_ids + 1)])[own_label(maps, t)])


def test_a_class_that_an_8_bit_label_cannot_hold_is_refused():
    maps = np.ones((1, 2, 2), np.float32)
    assert np.all(pseudo_label(maps, np.array([253]), 0.2) == 254)
    with pytest.raises(InputError, match="class 254"):
        pseudo_label(maps, np.array([254]), 0.2)


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize("hard", [False, True])
def test_a_maximum_that_is_known_already_changes_nothing(strength, hard):
    rng = np.random.default_rng(4)
    maps, cue = rng.random((3, 40, 30), np.float32), rng.random((40, 30), np.float32)
    cue = np.round(cue) if hard else cue
    cams = ImageCams("a", [1, 2, 5], maps)
    assert np.array_equal(cams.top, maps.max(axis=0))
    found = refine(maps, cue, 0.2, strength, top=cams.top)
    assert np.array_equal(found, refine(maps, cue, 0.2, strength))


def test_the_maximum_without_a_class_is_0_everywhere():
    assert not ImageCams("a", [], np.zeros((0, 4, 6), np.float32)).top.any()
    assert ImageCams("a", [], np.zeros((0, 4, 6), np.float32)).top.shape == (4, 6)


def test_a_cue_is_hard_only_if_every_value_is_0_or_1_and_t_is_neither():
    cue = np.eye(5, dtype=np.float32)
    assert is_hard(cue, 0.2)
    assert not is_hard(cue, NO_NEWS / 2)
    assert not is_hard(cue, np.where(cue == 1, NO_NEWS / 2, 0.2))
    for row in range(5):
        soft = cue.copy()
        soft[row, 0] = 0.5
        assert not is_hard(soft, 0.2)


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.5])
def test_values_outside_their_range_are_refused_where_the_maximum_is_given(wrong):
    maps = np.full((2, 2, 3), 0.5, np.float32)
    maps[1, 0, 0] = wrong
    with pytest.raises(InputError, match="CAMs: values outside"):
        refine(maps, np.full((2, 3), 0.5), background_score=0.2, top=maps.max(axis=0))
