"""The dense CRF: against a plain lattice, against pydensecrf, against symmetries of its own.

The plain lattice below and the symmetries run anywhere; the other comparisons need pydensecrf,
real photographs or the stored cues, and say so where they are skipped.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from c2am_plugin.crf.dense_crf import cue_crf, label_crf, needs_compiling, softmax_crf, warm_up
from c2am_plugin.errors import InputError, MissingDependency

DATA = Path(__file__).parents[3] / "shared" / "data"
PHOTOS = sorted((DATA / "coco-voc" / "cues_crf").glob("*.png"))[::8]
CUES = DATA / "golden" / "numerics" / "cues.npz"


@pytest.fixture
def lattice():
    pytest.importorskip("numba", reason="numba is not installed")
    from c2am_plugin.crf import lattice

    return lattice


@pytest.fixture
def reference():
    """The released system's calls, as they stand there."""
    dcrf = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf is not installed")

    def run(image, unary, sxy=50, srgb=5, gaussian_sxy=3):
        height, width = image.shape[:2]
        crf = dcrf.DenseCRF2D(width, height, len(unary))
        crf.setUnaryEnergy(np.ascontiguousarray(unary, dtype=np.float32))
        crf.addPairwiseGaussian(sxy=gaussian_sxy, compat=3)
        crf.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=np.array(image, order="C"), compat=10)
        return np.array(crf.inference(10)).reshape(-1, height, width)

    return run


def label_energy(labels, n_labels, gt_prob=0.7):
    given_label = labels.reshape(1, -1) == np.arange(n_labels)[:, None]
    return -np.log(np.where(given_label, gt_prob, (1 - gt_prob) / (n_labels - 1)))


def picture(kind, height, width, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    if kind == "noise":
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "flat":
        return np.full((height, width, 3), 127, np.uint8)
    if kind == "gradient":
        ramp = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1)
        return ramp.astype(np.uint8)
    blobs = 90 * np.sin(x / 17 + seed) * np.cos(y / 13) + 120
    return np.clip(blobs[..., None] + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


def patches(height, width, n_labels=2, seed=0):
    """Labels in rough patches, wrong at one pixel in ten."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, n_labels, (height // 16 + 1, width // 16 + 1))
    labels = coarse.repeat(16, 0).repeat(16, 1)[:height, :width]
    return np.where(rng.random((height, width)) < 0.1, rng.integers(0, n_labels), labels)


# --- the lattice --------------------------------------------------------------------------------


def plain_filter(features, values):
    """The normalised permutohedral filter, point by point, in float64, with a dict."""
    d, count = features.shape
    scaled = features.astype(np.float64) * (
        np.sqrt(2 / 3) * (d + 1) / np.sqrt([[i * (i + 1)] for i in range(1, d + 1)])
    )
    embed = np.vstack([np.ones(d), np.eye(d)])
    for i in range(1, d + 1):
        embed[i] = [0] * (i - 1) + [-i] + [1] * (d - i)
    shares = []
    for point in (embed @ scaled).T:
        corner = np.round(point / (d + 1)) * (d + 1)
        order = np.argsort(-(point - corner), kind="stable")
        excess = int(corner.sum()) // (d + 1)
        corner[order[d + 1 - excess :] if excess > 0 else order[:-excess]] -= (d + 1) * np.sign(
            excess
        )
        order = np.argsort(-(point - corner), kind="stable")
        rest = (point - corner)[order] / (d + 1)
        weights = [1 - rest[0] + rest[d], *(rest[:-1] - rest[1:])[::-1]]
        share = {tuple(corner): weights[0]}
        for r in range(1, d + 1):
            corner = corner + 1
            corner[order[d + 1 - r]] -= d + 1
            share[tuple(corner)] = weights[r]
        shares.append(share)

    def filtered(signal):
        grid = {}
        for share, value in zip(shares, signal, strict=True):
            for vertex, weight in share.items():
                grid[vertex] = grid.get(vertex, 0) + weight * value
        for axis in range(d + 1):
            step = np.ones(d + 1)
            step[axis] -= d + 1
            grid = {
                vertex: value
                + 0.5 * grid.get(tuple(vertex + step), 0)
                + 0.5 * grid.get(tuple(vertex - step), 0)
                for vertex, value in grid.items()
            }
        return np.array([sum(w * grid[v] for v, w in share.items()) for share in shares])

    norm = 1 / np.sqrt(filtered(np.ones(count)))
    return norm * filtered(norm * values)


@pytest.mark.slow
@pytest.mark.parametrize(("d", "width"), [(2, 1), (3, 4), (5, 2), (5, 8)])
@pytest.mark.parametrize("reach", [0.0, 0.5, 5.0, 300.0])
def test_filters_as_a_plain_lattice_does(lattice, d, width, reach):
    rng = np.random.default_rng(d)
    features = (rng.random((d, 150)) * reach).astype(np.float32)
    values = rng.normal(size=(150, width)).astype(np.float32)
    out = np.ones((150, width), np.float32)
    lattice.add_filtered(lattice.build(features), values, 2.0, out)
    expected = np.stack([1 + 2 * plain_filter(features, column) for column in values.T], axis=1)
    np.testing.assert_allclose(out, expected, atol=2e-3 if reach > 99 else 2e-5)


@pytest.mark.slow
def test_the_exponential_is_as_precise_as_float32():
    mean_field = pytest.importorskip("c2am_plugin.crf.mean_field", reason="numba is not installed")
    for x in np.linspace(-100, 0, 20_001, dtype=np.float32):
        expected = np.exp(np.float64(max(x, np.float32(-87))))
        assert mean_field._exp(x) == pytest.approx(expected, rel=2e-7)


def test_keys_too_wide_to_pack_change_nothing(lattice, monkeypatch):
    rng = np.random.default_rng(0)
    features = (rng.random((5, 3000)) * 6).astype(np.float32)
    exact = lattice.build(features)
    monkeypatch.setattr(lattice, "_strides", lambda reach: lattice._RANDOM_STRIDES[: len(reach)])
    for array, same in zip(lattice.build(features), exact, strict=True):
        np.testing.assert_array_equal(array, same)


def test_keys_are_packed_only_where_they_fit(lattice):
    assert lattice._strides(np.array([40.0, 30, 70, 60, 50]))[0] == 1
    assert lattice._strides(np.full(5, 1e5))[0] == lattice._RANDOM_STRIDES[0]


def test_many_more_vertices_than_points(lattice):
    features = np.random.default_rng(0).random((5, 20_000), dtype=np.float32) * 4000
    made = lattice.build(features)
    assert made.neighbours.shape[2] > 5 * 20_000
    assert made.corners.min() == 1
    assert made.corners.max() == made.neighbours.shape[2] - 1


# --- the CRF, without a reference ---------------------------------------------------------------


@pytest.mark.parametrize("value", [False, True])
def test_labels_without_a_border_stay(value):
    labels = np.full((20, 30), value)
    assert (cue_crf(picture("blobs", 20, 30), labels) == value).all()


def test_a_lone_wrong_pixel_goes_and_an_edge_stays():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:] = 200
    truth = image[..., 0] > 0
    noisy = truth.copy()
    noisy[::7, ::7] ^= True
    np.testing.assert_array_equal(cue_crf(image, noisy), truth)


def test_foreground_and_background_are_treated_alike():
    image, labels = picture("blobs", 70, 90), patches(70, 90).astype(bool)
    np.testing.assert_array_equal(cue_crf(image, ~labels), ~cue_crf(image, labels))


def test_the_names_of_labels_do_not_matter():
    image, labels = picture("blobs", 70, 90), patches(70, 90, 4)
    names = np.array([20, 255, 0, 7], np.uint8)
    renamed = label_crf(image, names[labels])
    assert renamed.dtype == np.uint8
    assert np.mean(renamed == names[label_crf(image, labels)]) > 0.999


@pytest.mark.parametrize("names", [[-7, 0, 300, 70_000], [2, 4, 254, 255], [0, 1, 2, 256]])
def test_labels_may_be_any_integers(names):
    image, labels = picture("blobs", 20, 30), patches(20, 30, 4)
    names = np.array(names)
    np.testing.assert_array_equal(label_crf(image, names[labels]), names[label_crf(image, labels)])


def test_a_mirrored_image_gives_nearly_mirrored_labels():
    image, labels = picture("blobs", 90, 120), patches(90, 120).astype(bool)
    mirrored = cue_crf(image[:, ::-1], labels[:, ::-1])[:, ::-1]
    assert np.mean(mirrored == cue_crf(image, labels)) > 0.98


def test_two_labels_as_scores_are_two_labels():
    image, labels = picture("blobs", 60, 80), patches(60, 80)
    scores = np.stack([np.where(labels == k, 0.7, 0.3) for k in (0, 1)])
    probabilities = softmax_crf(image, scores, bilateral_sxy=50, bilateral_srgb=5)
    np.testing.assert_array_equal(probabilities.argmax(0), label_crf(image, labels))


def test_labels_that_do_not_occur_take_part_only_when_counted():
    image, labels = picture("blobs", 60, 80), patches(60, 80) * 2
    np.testing.assert_array_equal(label_crf(image, labels), label_crf(image, labels // 2) * 2)
    counted = label_crf(image, labels, 3)
    assert not np.array_equal(counted, label_crf(image, labels))
    assert set(np.unique(counted)) <= {0, 1, 2}


def test_no_iterations_change_nothing():
    image, labels = picture("noise", 20, 30), patches(20, 30, 3)
    np.testing.assert_array_equal(label_crf(image, labels, iterations=0), labels)


def test_threads_give_what_one_gives():
    work = [
        (picture("blobs", 60 + 10 * (i % 2), 80, i), patches(60 + 10 * (i % 2), 80, 3, i))
        for i in range(8)
    ]
    alone = [label_crf(image, labels) for image, labels in work]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pair: label_crf(*pair), work * 3))
    for made, expected in zip(together, alone * 3, strict=True):
        np.testing.assert_array_equal(made, expected)


def test_read_only_arrays_and_views_of_any_layout_will_do():
    image, labels = picture("blobs", 40, 60), patches(40, 60)
    image.flags.writeable = labels.flags.writeable = False
    view = image[::-1, ::-1].copy()[::-1, ::-1]
    np.testing.assert_array_equal(
        label_crf(view, np.asfortranarray(labels)), label_crf(image, labels)
    )


scale = st.sampled_from([1e-9, 0.01, 0.13, 1.0, 7.0, 1e4, 1e30])


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    n_labels=st.integers(1, 12),
    seed=st.integers(0, 99),
    scales=st.tuples(scale, scale, scale),
)
def test_any_small_image_and_any_scale_give_probabilities(height, width, n_labels, seed, scales):
    scores = np.random.default_rng(seed).random((n_labels, height, width))
    names = ("gaussian_sxy", "bilateral_sxy", "bilateral_srgb")
    result = softmax_crf(
        picture("noise", height, width, seed), scores, **dict(zip(names, scales, strict=True))
    )
    assert result.shape == scores.shape
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.sum(axis=0), 1, atol=1e-5)
    assert (result >= 0).all()


# --- against pydensecrf -------------------------------------------------------------------------

SHAPES = [(1, 1), (2, 3), (1, 200), (150, 1), (97, 131)]


@pytest.mark.parametrize("kind", ["noise", "flat", "gradient", "blobs"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_labels", [2, 3])
def test_generated_images_as_pydensecrf(reference, kind, shape, n_labels):
    image, labels = picture(kind, *shape), patches(*shape, n_labels)
    expected = reference(image, label_energy(labels, n_labels)).argmax(axis=0)
    assert (label_crf(image, labels, n_labels) != expected).sum() <= 2


@pytest.mark.slow
@pytest.mark.parametrize("sxy", [0.05, 1, 1000])
@pytest.mark.parametrize("srgb", [0.2, 1, 500])
def test_extreme_kernels_as_pydensecrf(reference, sxy, srgb):
    image, labels = picture("blobs", 60, 80), patches(60, 80)
    expected = reference(image, label_energy(labels, 2), sxy, srgb).argmax(axis=0)
    assert (label_crf(image, labels, bilateral_sxy=sxy, bilateral_srgb=srgb) != expected).sum() <= 2


@pytest.mark.slow
def test_a_large_image_as_pydensecrf(reference):
    image, labels = picture("blobs", 240, 1600), patches(240, 1600)
    expected = reference(image, label_energy(labels, 2)).argmax(axis=0)
    assert (label_crf(image, labels) != expected).sum() <= 10


@pytest.mark.slow
@pytest.mark.parametrize("n_labels", [1, 2, 3, 4, 6, 9, 21])
def test_scores_as_pydensecrf(reference, n_labels):
    image = picture("blobs", 97, 131)
    scores = np.random.default_rng(0).random((n_labels, 97, 131)).astype(np.float32) ** 4
    expected = reference(image, -np.log(np.clip(scores, 1e-5, 1)).reshape(n_labels, -1), 80, 13)
    np.testing.assert_allclose(softmax_crf(image, scores), expected, atol=2e-4)


def test_the_fallback_is_pydensecrf(reference, monkeypatch):
    image, labels = picture("blobs", 60, 80), patches(60, 80, 3)
    image.flags.writeable = labels.flags.writeable = False
    expected = reference(image, label_energy(labels, 3)).argmax(axis=0)
    np.testing.assert_array_equal(label_crf(image, labels, backend="pydensecrf"), expected)
    monkeypatch.setitem(sys.modules, "numba", None)
    np.testing.assert_array_equal(label_crf(image, labels), expected)
    warm_up()
    assert not needs_compiling()


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS, reason=f"no photographs in {DATA / 'coco-voc'}")
@pytest.mark.parametrize("cue", PHOTOS, ids=lambda path: path.stem)
def test_photographs_as_pydensecrf(reference, cue):
    image = np.asarray(Image.open(DATA / "coco-voc" / "JPEGImages" / f"{cue.stem}.jpg"))
    labels = np.asarray(Image.open(cue)) > 127
    expected = reference(image, label_energy(labels, 2)).argmax(axis=0)
    assert (cue_crf(image, labels) != expected).sum() <= 2


@pytest.mark.skipif(not CUES.exists(), reason=f"no stored cues at {CUES}")
@pytest.mark.parametrize("i", range(4))
def test_the_released_systems_cues(i):
    stored = np.load(CUES)
    cue = cue_crf(stored[f"{i}_image"], stored[f"{i}_map"] > stored[f"{i}_threshold"])
    assert np.mean(cue * 255 == stored[f"{i}_cue"]) >= 0.999


# --- what does not fit --------------------------------------------------------------------------

IMAGE, LABELS = picture("flat", 4, 5), np.zeros((4, 5), int)


@pytest.mark.parametrize(
    ("image", "labels", "options", "message"),
    [
        (IMAGE / 255.0, LABELS, {}, "uint8"),
        (IMAGE[..., 0], LABELS, {}, "H×W×3"),
        (IMAGE, LABELS.T, {}, r"\(4, 5\).*\(5, 4\)"),
        (IMAGE[:0], LABELS[:0], {}, "labels"),
        (IMAGE, LABELS * 0.5, {}, "integers"),
        (IMAGE, LABELS + 2, {"n_labels": 2}, "n_labels 2, expected 0 to 1"),
        (IMAGE, LABELS - 1, {"n_labels": 2}, "-1"),
        (IMAGE, LABELS, {"gt_prob": 1.0}, "gt_prob"),
        (IMAGE, LABELS, {"bilateral_srgb": 0}, "srgb"),
        (IMAGE, LABELS, {"gaussian_sxy": float("nan")}, "sxy"),
        (IMAGE, LABELS, {"n_labels": 2, "backend": "cuda"}, "cuda"),
    ],
)
def test_what_does_not_fit_is_reported(image, labels, options, message):
    with pytest.raises(InputError, match=message):
        label_crf(image, labels, **options)


def test_an_image_too_large_for_its_kernel_is_reported(lattice):
    wide = np.zeros((1, 20_000, 3), np.uint8)
    with pytest.raises(InputError, match="too large for sxy"):
        cue_crf(wide, wide[..., 0], bilateral_sxy=0.01)


@pytest.mark.parametrize(
    "scores", [np.zeros((4, 5)), np.zeros((0, 4, 5)), np.full((2, 4, 5), np.nan)]
)
def test_scores_that_do_not_fit_are_refused(scores):
    with pytest.raises(InputError, match="probabilities"):
        softmax_crf(IMAGE, scores)


def test_without_any_backend_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(MissingDependency, match="pip install numba"):
        cue_crf(IMAGE, LABELS)


def test_without_a_place_for_the_cache_every_process_compiles(monkeypatch):
    """numba refuses where neither the package's folder nor the user's cache can be written."""
    numba = pytest.importorskip("numba", reason="numba is not installed")
    from c2am_plugin.crf.jit import jit

    njit = numba.njit

    def without_a_place(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", without_a_place)
    compiled = jit(lambda number: number + 1)
    assert compiled(2) == 3
    assert compiled.signatures


def test_warming_up_compiles_once():
    warm_up()
    assert not needs_compiling()
