"""Refined CAMs averaged within the segments of superpixel tools and of SAM-like masks."""

from __future__ import annotations

import json
import logging
import re

import numpy as np
import pytest
from PIL import Image
from small_files import contents, write_png

from c2am_plugin import show_refinement, write_cue
from c2am_plugin.errors import InputError
from c2am_plugin.files.segments import find_segments, read_segments
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.refine.segments import average_within

SHAPE = (24, 32)


def blocks(first: int = 0) -> np.ndarray:
    """Superpixels of 8×8 pixels, numbered from the top left."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] // 8
    return rows * 4 + columns + first


def by_hand(maps: np.ndarray, numbers: np.ndarray, t: float = 0.2) -> np.ndarray:
    """Odds of cam against t, as probabilities, 3/4 of the way to their mean in each segment."""
    out = maps.copy()
    for number in np.unique(numbers[numbers >= 0]):
        inside = numbers == number
        for k in range(len(maps)):
            m = maps[k][inside].astype(float)
            worth = m * (1 - t) / (m * (1 - t) + (1 - m) * t)
            worth = worth / 4 + 3 * worth.mean() / 4
            out[k][inside] = worth * t / (worth * t + (1 - worth) * (1 - t))
    return out


def run(make, tmp_path, segments, out="out", **options):
    cam_dir, cue_dir = make
    return refine_cams(
        cam_dir, cue_dir, tmp_path / out, segments=segments, progress=False, workers=1, **options
    )


def stored(path):
    content = np.load(path, allow_pickle=True).item()
    return np.stack(list(content.values()))


@pytest.fixture
def cams(make_set):
    return make_set(ids="abcd")


def write_all(folder, numbers, ids="abcd"):
    folder.mkdir(exist_ok=True)
    for image_id in ids:
        np.save(folder / f"{image_id}.npy", numbers)
    return folder


# --- the average ----------------------------------------------------------------------------------


def test_the_mean_of_each_segment_and_class():
    rng = np.random.default_rng(0)
    maps, numbers = rng.random((2, *SHAPE)).astype(np.float32), blocks()
    numbers[:8, :8] = -1
    found = average_within(maps, numbers[None], 0.2)
    np.testing.assert_allclose(found, by_hand(maps, numbers), rtol=1e-5)
    assert found.dtype == np.float32
    assert found[:, :8, :8].tobytes() == maps[:, :8, :8].tobytes()
    assert average_within(maps, numbers[None], 0.2, 0.0) is maps


def test_where_masks_overlap_a_pixel_takes_the_average_of_their_means():
    maps = np.array([[[0.9, 0.5, 0.1, 0.7]]])
    layers = np.array([[[0, 0, -1, -1]], [[-1, 1, 1, -1]]])
    np.testing.assert_allclose(
        average_within(maps, layers, 0.5, 1.0), [[[0.7, (0.7 + 0.3) / 2, 0.3, 0.7]]]
    )


@pytest.mark.parametrize("t", [0.1, 0.2, 0.45])
def test_the_majority_of_a_segment_wins_whatever_t_is(t):
    maps = (np.random.default_rng(3).random((1, *SHAPE)) < 0.6).astype(np.float32)
    maps[0, :16] = np.random.default_rng(4).random((16, 32)) < 0.3
    found = average_within(maps, blocks()[None], t, 1.0)
    for number in range(12):
        inside = blocks() == number
        assert np.unique(found[0][inside] > t).tolist() == [maps[0][inside].mean() > 0.5]


def test_a_background_in_the_files_is_what_the_cams_are_worth_against():
    maps, t = np.array([[[0.6, 0.6, 0.6]]]), np.array([[0.5, 0.0, 0.7]])
    found = average_within(maps, np.zeros((1, 1, 3), int), t, 1.0)
    odds = found / (1 - found) * (1 - t) / np.maximum(t, 1e-6)
    np.testing.assert_allclose(odds[0, 0], odds[0, 0, 0], rtol=1e-4)
    flat = average_within(maps, np.zeros((1, 1, 3), int), 0.2)
    assert flat.tobytes() == maps.tobytes()


# --- what a file means ----------------------------------------------------------------------------


def scattered() -> np.ndarray:
    """What a mask generator leaves: numbers from 1, and 0 in the gaps between them."""
    numbers = blocks(1)
    numbers[::8] = 0
    return numbers


def one_mask() -> np.ndarray:
    numbers = np.zeros(SHAPE, int)
    numbers[4:12, 4:12] = 1
    return numbers


@pytest.mark.parametrize(
    ("numbers", "none"),
    [
        (blocks(0), None),
        (blocks(1), None),
        (np.where(blocks() == 5, -1, blocks()), 5),
        (scattered(), "zero"),
        (one_mask(), "zero"),
    ],
    ids=["superpixels from 0", "from 1", "-1", "gaps", "one mask"],
)
def test_what_zero_means(tmp_path, caplog, numbers, none):
    write_all(tmp_path / "s", numbers)
    with caplog.at_level(logging.INFO, "c2am_plugin"):
        found = find_segments(tmp_path / "s", list("abcd"))
    read = read_segments(found.files["a"], SHAPE, found.zero_is_none)[0]
    outside = np.zeros(SHAPE, bool) if none is None else blocks() == 5
    if none == "zero":
        outside = numbers == 0
    np.testing.assert_array_equal(read < 0, outside)
    inside = numbers[~outside]
    assert len(np.unique(np.stack([inside, read[~outside]]), axis=1).T) == len(np.unique(inside))
    told = [record.getMessage() for record in caplog.records]
    assert bool(told) == (0 in numbers)
    assert all(("0 is not a segment" in line) == (none == "zero") for line in told)


@pytest.mark.parametrize("form", ["npy", "uint8 PNG", "uint16 PNG", "palette PNG", "masks"])
def test_every_layout_gives_the_same(cams, tmp_path, form):
    folder = tmp_path / "s"
    numbers = blocks(1)
    if form == "masks":
        for image_id in "abcd":
            for number in range(1, 13):
                write_png(folder / image_id / f"{number}.png", (numbers == number) * 255)
            (folder / image_id / "metadata.csv").write_text("id,area\n")
    else:
        write_all(tmp_path / "npy", numbers)
        folder = tmp_path / ("npy" if form == "npy" else "png")
        folder.mkdir(exist_ok=True)
        for image_id in "abcd" if form != "npy" else "":
            dtype = np.uint16 if "16" in form else np.uint8
            image = Image.fromarray(numbers.astype(dtype))
            if form.startswith("palette"):
                image.putpalette(list(range(256)) * 3)
            image.save(folder / f"{image_id}.png")
    run(cams, tmp_path, folder)
    run(cams, tmp_path, None, "plain")
    for path in (tmp_path / "plain").glob("*.npy"):
        expected = by_hand(stored(path), numbers)
        np.testing.assert_allclose(stored(tmp_path / "out" / path.name), expected, atol=1e-5)


def test_overlapping_masks_are_all_kept(tmp_path):
    masks = np.zeros((3, *SHAPE), bool)
    masks[0, :12], masks[1, 6:18], masks[2, 20:] = True, True, True
    for number, mask in enumerate(masks):
        write_png(tmp_path / "s" / "a" / f"{number}.png", mask * 1)
    layers = read_segments(tmp_path / "s" / "a", SHAPE, True)
    assert len(layers) == 2  # the first and the last do not overlap
    for number, mask in enumerate(masks):
        np.testing.assert_array_equal((layers == number).any(axis=0), mask)


# --- in a run -------------------------------------------------------------------------------------


def test_segments_are_in_the_settings_and_labels_follow_them(cams, tmp_path):
    folder = write_all(tmp_path / "s", blocks(1))
    run(cams, tmp_path, folder, labels=tmp_path / "labels")
    settings = json.loads((tmp_path / "out.c2am-refine.json").read_text())["settings"]
    assert settings["segments"] == str(folder)
    refined = stored(tmp_path / "out" / "b.npy")
    label = np.asarray(Image.open(tmp_path / "labels" / "b.png"))
    np.testing.assert_array_equal(label > 0, refined.max(axis=0) > np.float32(0.2))


@pytest.mark.parametrize(("method", "t"), [("puzzlecam", 0.2), ("advcam", 0.15)])
def test_the_smaller_copy_is_averaged_too(make_set, tmp_path, method, t):
    cam_dir, cue_dir = make_set(method)
    folder = write_all(tmp_path / "s", blocks(1))
    run((cam_dir, cue_dir), tmp_path, folder, method=method)
    run((cam_dir, cue_dir), tmp_path, None, "plain", method=method)
    before, after = (
        np.asarray(np.load(tmp_path / name / "b.npy", allow_pickle=True).item()["cam"])
        for name in ("plain", "out")
    )
    small = blocks(1)[2::4, 2::4]
    np.testing.assert_allclose(after, by_hand(before, small, t), atol=1e-5)


def test_without_segments_nothing_changes(cams, tmp_path):
    run(cams, tmp_path, write_all(tmp_path / "s", np.full(SHAPE, -1)))
    run(cams, tmp_path, None, "plain")
    assert contents(tmp_path / "out") == contents(tmp_path / "plain")


@pytest.mark.parametrize("missing", ["error", "keep", "skip"])
def test_missing_segments(cams, tmp_path, missing, caplog):
    folder = write_all(tmp_path / "s", blocks(1), "abd")
    if missing == "error":
        with pytest.raises(InputError, match=r"1 of 4 images have no segments in .*s \(c\)"):
            run(cams, tmp_path, folder)
        assert not (tmp_path / "out").exists()
        return
    report = run(cams, tmp_path, folder, missing=missing)
    assert (report.refined, report.left_out) == ((4, 0) if missing == "keep" else (3, 1))
    run(cams, tmp_path, None, "plain")
    if missing == "keep":
        same = (tmp_path / "out" / "c.npy").read_bytes() == (
            tmp_path / "plain" / "c.npy"
        ).read_bytes()
        assert same
    assert any("1 images have no segments in" in r.getMessage() for r in caplog.records)


def test_segments_of_half_the_size_fit_and_of_another_shape_do_not(cams, tmp_path):
    half = np.arange(12 * 16).reshape(12, 16) // 8 + 1
    folder = write_all(tmp_path / "s", half)
    np.save(folder / "b.npy", np.ones((24, 24), int))
    report = run(cams, tmp_path, folder)
    assert list(report.failures) == ["b"]
    assert report.failures["b"].startswith(f"{folder / 'b.npy'}: the segments have 24×24")
    run(cams, tmp_path, None, "plain")
    numbers = half.repeat(2, axis=0).repeat(2, axis=1)
    expected = by_hand(stored(tmp_path / "plain" / "a.npy"), numbers)
    np.testing.assert_allclose(stored(tmp_path / "out" / "a.npy"), expected, atol=1e-5)


def bad_float(path):
    np.save(path.with_suffix(".npy"), np.zeros(SHAPE))


def bad_pickle(path):
    np.save(path.with_suffix(".npy"), {1: np.zeros(SHAPE)})


def bad_cut(path):
    bad_float(path)
    path.with_suffix(".npy").write_bytes(path.with_suffix(".npy").read_bytes()[:100])


def bad_picture(path):
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(path.with_suffix(".png"))


def bad_mask(path):
    write_png(path / "0.png", np.arange(24 * 32).reshape(SHAPE) % 250)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (bad_float, r"b.npy: is float64 \(24, 32\); expected integer"),
        (bad_pickle, "b.npy: cannot be read as segments"),
        (bad_cut, "b.npy: cannot be read as segments"),
        (bad_picture, "b.png: has the image mode RGB"),
        (bad_mask, r"0.png: has 250 values from 0 to 249; expected a binary mask"),
    ],
)
def test_a_bad_file_is_named(cams, tmp_path, refine, bad, said):
    folder = write_all(tmp_path / "s", blocks(1))
    (folder / "b.npy").unlink()
    bad(folder / "b")
    for name in "acd":
        (folder / f"{name}.npy").unlink(missing_ok=bad is not bad_mask)
        np.save(folder / f"{name}.npy", blocks(1))
    code, _, lines = refine(*cams, "--segments", folder, "-o", tmp_path / "out")
    assert code == 1
    assert any(re.search(said, line) for line in lines), lines


def test_a_folder_of_something_else_is_named(cams, tmp_path):
    (tmp_path / "s").mkdir()
    with pytest.raises(InputError, match=r"s: contains no segments of these images.*found none"):
        run(cams, tmp_path, tmp_path / "s")
    write_all(tmp_path / "s", blocks(1), "xyz")
    with pytest.raises(InputError, match=r"ids like a, b, c and 1 more; found x, y, z"):
        run(cams, tmp_path, tmp_path / "s")
    with pytest.raises(InputError, match="no such folder"):
        run(cams, tmp_path, tmp_path / "none")


def test_a_folder_of_soft_cues_is_not_read_as_segments(tmp_path):
    for image_id in "abc":
        write_cue(tmp_path / "s" / f"{image_id}.png", np.linspace(0, 1, 768).reshape(SHAPE))
    with pytest.raises(InputError, match=r"a\.png: is a soft cue of c2am-cues; expected segment"):
        find_segments(tmp_path / "s", "abcd")


# --- real superpixels -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["slic from 0", "slic from 1", "felzenszwalb"])
def test_superpixels_of_scikit_image(coco_voc, tmp_path, tool):
    """The outline of the label follows the superpixels, from whatever number they start."""
    segmentation = pytest.importorskip("skimage.segmentation", reason="needs scikit-image")
    ids = sorted(path.stem for path in (coco_voc / "cams").glob("*.npz"))[:3]
    (tmp_path / "cams").mkdir()
    (tmp_path / "s").mkdir()
    numbers = {}
    for image_id in ids:
        with np.load(coco_voc / "cams" / f"{image_id}.npz") as file:
            maps = dict(zip(file["keys"].tolist(), file["cam"].astype(np.float32), strict=True))
        np.save(tmp_path / "cams" / f"{image_id}.npy", maps)
        photo = np.asarray(Image.open(coco_voc / "JPEGImages" / f"{image_id}.jpg").convert("RGB"))
        if tool == "felzenszwalb":
            numbers[image_id] = segmentation.felzenszwalb(photo, 200, 0.8, 100)
        else:
            start = int(tool[-1])
            numbers[image_id] = segmentation.slic(photo, 100, start_label=start)
        np.save(tmp_path / "s" / f"{image_id}.npy", numbers[image_id])
    make = tmp_path / "cams", coco_voc / "cues_soft"
    run(make, tmp_path, tmp_path / "s", ids=ids)
    run(make, tmp_path, None, "plain", ids=ids)
    for image_id in ids:
        before, after = (stored(tmp_path / name / f"{image_id}.npy") for name in ("plain", "out"))
        np.testing.assert_allclose(after, by_hand(before, numbers[image_id]), atol=1e-5)


def test_the_page_of_an_averaged_run(make_set, tmp_path):
    cam_dir, cue_dir = make_set(ids="abcd")
    for path in cam_dir.iterdir():
        content = np.load(path, allow_pickle=True).item()
        for maps in content.values():
            maps[:, :10] = 0
        np.save(path, content)
        write_png(tmp_path / "photos" / f"{path.stem}.png", np.full((*SHAPE, 3), 90))
    run((cam_dir, cue_dir), tmp_path, write_all(tmp_path / "s", blocks(1)))
    page = show_refinement(
        cam_dir, cue_dir, tmp_path / "out", tmp_path / "photos", tmp_path / "page", progress=False
    )
    assert page.failures == {}
    assert len(page.images) == 4
