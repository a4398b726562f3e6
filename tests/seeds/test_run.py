"""Seeds against the pipelines' own rules, and read as the pipelines' training sets read them.

`PIPELINES` and the functions after it write those rules down a second time, with numpy's loader
and pydensecrf.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import imageio.v2 as imageio
import numpy as np
import pytest
from adapter_contract import shrunk, stored
from PIL import Image
from small_files import write_png

from c2am_adapters.seed_kinds import confident_label, crf_scores
from c2am_plugin import make_seeds, refine_cams
from c2am_plugin.cams import ImageCams, SeedAdapter
from c2am_plugin.errors import InputError, OutputError
from c2am_plugin.registry import get_adapter
from c2am_plugin.seeds import run as seeds_run

SIZE = (60, 80)
DUMPS = {
    "psa": {"out_la_crf": 4, "out_ha_crf": 32},
    "sc_cam": {"out_la_crf": 4, "out_ha_crf": 32},
    "seam": {"out_crf_4.0": 4, "out_crf_24.0": 24},
}
PNGS = {"puzzlecam": ("hr_cam", 0.40, 0.10), "advcam": ("high_res", 0.35, 0.15)}
METHODS = (*DUMPS, *PNGS)


def run(cam_dir, out, images, **options):
    return make_seeds(cam_dir, out, images, progress=False, **{"workers": 1, **options})


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".json"
    }


def load(path):
    return np.load(path, allow_pickle=True).item()


def square(seed=0):
    """A textured photograph of a bright square on a dark ground, and where the square is."""
    rng = np.random.default_rng(seed)
    where = np.zeros(SIZE, bool)
    where[15:45, 20:60] = True
    photo = np.where(where[..., None], (200, 150, 90), (40, 60, 50))
    return np.clip(photo + rng.normal(0, 6, photo.shape), 0, 255).astype(np.uint8), where


def blob(y, x, spread):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    map_ = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / spread)
    return (map_ / map_.max()).astype(np.float32)


@pytest.fixture
def make_photos(tmp_path):
    """make_photos(ids) → folder of photographs of a square."""

    def make(ids=("a", "b", "c", "d")):
        for index, image_id in enumerate(ids):
            write_png(tmp_path / "photos" / f"{image_id}.png", square(index)[0])
        return tmp_path / "photos"

    return make


@pytest.fixture
def only_pydensecrf(monkeypatch):
    pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf is not installed")
    monkeypatch.setitem(sys.modules, "numba", None)


# --- the pipelines' rules, a second time --------------------------------------------------------


def infer(photo, unary, sxy, srgb):
    """Ten steps of pydensecrf with the kernels of these pipelines, L×H×W."""
    dcrf = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf is not installed")
    height, width = photo.shape[:2]
    field = dcrf.DenseCRF2D(width, height, len(unary))
    field.setUnaryEnergy(np.ascontiguousarray(unary))
    field.addPairwiseGaussian(sxy=3, compat=3)
    field.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=np.copy(photo), compat=10)
    return np.array(field.inference(10)).reshape(len(unary), height, width)


def dump_of(cam_file, photo, alpha):
    """{0: …, c + 1: …} as the AffinityNet family makes it of its stored CAMs."""
    utils = pytest.importorskip("pydensecrf.utils", reason="pydensecrf is not installed")
    cams = load(cam_file)
    layers = np.array(list(cams.values()))
    ground = np.power(1 - np.max(layers, axis=0, keepdims=True), alpha)
    scores = infer(photo, utils.unary_from_softmax(np.concatenate((ground, layers))), 80, 13)
    return {0: scores[0]} | {c + 1: scores[i + 1] for i, c in enumerate(cams)}


def png_of(method, cam_file, photo, fg=None, bg=None):
    """The label that IRN and PuzzleCAM make of their stored CAMs."""
    utils = pytest.importorskip("pydensecrf.utils", reason="pydensecrf is not installed")
    name, *thresholds = PNGS[method]
    content = load(cam_file)
    keys = np.asarray(content["keys"])
    keys = keys if method == "puzzlecam" else np.concatenate([[0], keys + 1])
    labels = []
    for score in (fg or thresholds[0], bg or thresholds[1]):
        full = np.full((1, *photo.shape[:2]), score, np.asarray(content[name]).dtype)
        index = np.concatenate([full, np.asarray(content[name])]).argmax(0)
        unary = utils.unary_from_labels(index, len(keys), gt_prob=0.7, zero_unsure=False)
        labels.append(keys[infer(photo, unary, 50, 5).argmax(0)])
    sure, possible = labels
    result = np.full(photo.shape[:2], 255)
    result[sure != 0] = sure[sure != 0]
    result[(sure == 0) & (possible == 0)] = 0
    return result.astype(np.uint8)


@pytest.mark.slow
@pytest.mark.usefixtures("only_pydensecrf")
@pytest.mark.parametrize("method", METHODS)
def test_without_news_they_are_the_pipelines_own_to_the_byte(
    make_set, make_photos, tmp_path, method
):
    """A cue of b = t everywhere, then seeds: what the pipeline makes of its unrefined CAMs."""
    cam_dir, cue_dir = make_set(method, size=SIZE)
    for path in cue_dir.iterdir():
        write_png(path, np.full(SIZE, 204))
    refine_cams(
        cam_dir,
        cue_dir,
        tmp_path / "refined",
        method=method,
        background_score=0.2,
        calibrate="off",
        progress=False,
    )
    photos = make_photos()
    assert run(tmp_path / "refined", tmp_path / "out", photos, method=method).made == 4
    some = set()
    for cam_file in sorted(cam_dir.iterdir()):
        photo = np.asarray(Image.open(photos / f"{cam_file.stem}.png"))
        if method in DUMPS:
            for folder, alpha in DUMPS[method].items():
                ours = load(tmp_path / "out" / folder / cam_file.name)
                theirs = dump_of(cam_file, photo, alpha)
                assert [(k, type(k)) for k in ours] == [(k, type(k)) for k in theirs]
                for key in theirs:
                    assert (ours[key].dtype, ours[key].shape) == (np.float32, SIZE)
                    assert ours[key].tobytes() == theirs[key].tobytes()
        else:
            ours = imageio.imread(tmp_path / "out" / f"{cam_file.stem}.png")
            assert ours.tobytes() == png_of(method, cam_file, photo).tobytes()
            some |= set(np.unique(ours))
    if method in PNGS:
        assert {0, 255} < some


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_without_news_nothing_changes(make_set, make_photos, tmp_path, method):
    cam_dir, cue_dir = make_set(method, size=SIZE)
    for path in cue_dir.iterdir():
        write_png(path, np.full(SIZE, 204))
    options = {"method": method, "calibrate": "off", "progress": False}
    refine_cams(cam_dir, cue_dir, tmp_path / "same", background_score=0.2, **options)
    refine_cams(cam_dir, cue_dir, tmp_path / "other", background_score=0.4, **options)
    photos = make_photos()
    for name in ("cams", "same", "other"):
        run(tmp_path / name, tmp_path / f"seeds_{name}", photos, method=method)
    before = contents(tmp_path / "seeds_cams")
    assert before == contents(tmp_path / "seeds_same")
    assert before != contents(tmp_path / "seeds_other")


@pytest.mark.parametrize("method", METHODS)
def test_our_crf_gives_what_pydensecrf_does(make_set, make_photos, tmp_path, method):
    pytest.importorskip("numba")
    cam_dir, _ = make_set(method, size=SIZE)
    photos = make_photos()
    run(cam_dir, tmp_path / "out", photos, method=method)
    for cam_file in sorted(cam_dir.iterdir()):
        photo = np.asarray(Image.open(photos / f"{cam_file.stem}.png"))
        if method in DUMPS:
            for folder, alpha in DUMPS[method].items():
                ours = load(tmp_path / "out" / folder / cam_file.name)
                for key, theirs in dump_of(cam_file, photo, alpha).items():
                    np.testing.assert_allclose(ours[key], theirs, atol=2e-4)
        else:
            ours = imageio.imread(tmp_path / "out" / f"{cam_file.stem}.png")
            assert (ours != png_of(method, cam_file, photo)).sum() <= 2


@pytest.mark.slow
def test_a_class_that_wins_nowhere_takes_part_in_the_crf(tmp_path):
    rng = np.random.default_rng(0)
    photo = rng.integers(60, 190, (*SIZE, 3), dtype=np.uint8)
    speckled = rng.random(SIZE, np.float32) * (0.3 + 0.7 * blob(30, 40, 900))
    maps = np.stack([speckled, np.zeros(SIZE, np.float32)])
    labels = []
    for ids in ([7, 3], [7]):
        np.save(tmp_path / "a.npy", stored("advcam", ids, maps[: len(ids)], maps[: len(ids)]))
        labels.append(confident_label(ImageCams("a", ids, maps[: len(ids)]), photo, 0.35, 0.15))
        assert (labels[-1] != png_of("advcam", tmp_path / "a.npy", photo)).sum() <= 2
    assert (labels[0] != labels[1]).sum() > 20


@pytest.mark.slow
@pytest.mark.parametrize("method", ["seam", "advcam"])
def test_photographs_and_old_files(golden, coco_voc, tmp_path, method):
    """Stored by old environments, SEAM's in float64; the photographs at the size of the CAMs."""
    cam_files = sorted((golden / "files" / method).glob("*.npy"))
    photos = tmp_path / "photos"
    photos.mkdir()
    for cam_file in cam_files:
        height, width = np.load(golden / "arrays" / f"arr_{cam_file.stem}.npz")["cam"].shape[1:]
        photo = Image.open(coco_voc / "JPEGImages" / f"{cam_file.stem}.jpg").convert("RGB")
        photo.resize((width, height)).save(photos / f"{cam_file.stem}.bmp")
    report = run(cam_files[0].parent, tmp_path / "out", photos, method=method)
    assert (report.made, report.failures) == (len(cam_files), {})
    for cam_file in cam_files:
        photo = np.asarray(Image.open(photos / f"{cam_file.stem}.bmp"))
        if method == "advcam":
            ours = imageio.imread(tmp_path / "out" / f"{cam_file.stem}.png")
            assert (ours != png_of(method, cam_file, photo)).sum() <= 2
            continue
        for folder, alpha in DUMPS[method].items():
            ours = load(tmp_path / "out" / folder / cam_file.name)
            theirs = dump_of(cam_file, photo, alpha)
            assert list(ours) == list(theirs)
            for key in theirs:
                np.testing.assert_allclose(ours[key], theirs[key], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "settings"),
    [("puzzlecam", (0.30, 0.05)), ("advcam", (0.30, 0.05)), ("advcam", (0.6, 0.3))],
)
def test_other_thresholds(make_set, make_photos, tmp_path, method, settings):
    cam_dir, _ = make_set(method, size=SIZE)
    photos, (fg, bg) = make_photos(), settings
    run(cam_dir, tmp_path / "out", photos, method=method, settings={"fg": fg, "bg": bg})
    run(cam_dir, tmp_path / "own", photos, method=method)
    for cam_file in cam_dir.iterdir():
        photo = np.asarray(Image.open(photos / f"{cam_file.stem}.png"))
        ours = imageio.imread(tmp_path / "out" / f"{cam_file.stem}.png")
        assert (ours != png_of(method, cam_file, photo, fg, bg)).sum() <= 2
    assert contents(tmp_path / "out") != contents(tmp_path / "own")


def test_other_alphas(make_set, make_photos, tmp_path):
    cam_dir, _ = make_set("seam", size=SIZE)
    photos = make_photos()
    run(cam_dir, tmp_path / "out", photos, method="seam", settings={"high_alpha": 6})
    assert {path.split("/")[0] for path in contents(tmp_path / "out")} == {
        "out_crf_4.0",
        "out_crf_6.0",
    }
    photo = np.asarray(Image.open(photos / "c.png"))
    theirs = dump_of(cam_dir / "c.npy", photo, 6)
    for key, ours in load(tmp_path / "out" / "out_crf_6.0" / "c.npy").items():
        np.testing.assert_allclose(ours, theirs[key], atol=2e-4)


# --- read as the training sets read them --------------------------------------------------------


@pytest.fixture
def one_square(tmp_path):
    """one_square(method) → (seeds folder, where the square is): classes 14 and 3, in this order,
    14 on the left half of the square, 3 nearly nowhere."""

    def make(method):
        photo, where = square()
        maps = np.stack([blob(30, 40, 250), np.float32(0.02) * blob(5, 5, 20)])
        (tmp_path / "cams").mkdir()
        np.save(tmp_path / "cams" / "a.npy", stored(method, [14, 3], maps, shrunk(maps)))
        write_png(tmp_path / "photos" / "a.png", photo)
        report = run(tmp_path / "cams", tmp_path / "out", tmp_path / "photos", method=method)
        assert report.failures == {}
        return tmp_path / "out", where, report

    return make


def check_square(label, where, channel):
    """The square is found, its surroundings are background, and nothing else is sure."""
    assert label.shape == SIZE
    assert set(np.unique(label)) <= {0, channel, 255}
    assert (label == channel).sum() > 300
    assert where[label == channel].mean() > 0.98
    assert (label == 0).sum() > 1000
    assert where[label == 0].mean() < 0.02


def check_pairs(label, size):
    """AffinityNet and IRN train on pairs of near pixels: there must be all three kinds."""
    label = np.asarray(Image.fromarray(label).resize(size, Image.Resampling.NEAREST))
    here, there = label[:-1, 1:].ravel(), label[1:, :-1].ravel()
    valid = (here < 255) & (there < 255)
    same = valid & (here == there)
    kinds = (same & (here == 0), same & (here > 0))
    assert all(kind.sum() > 5 for kind in kinds)


@pytest.mark.parametrize("method", DUMPS)
def test_affinitynet_reads_two_dumps(one_square, method):
    """VOC12AffDataset: all layers of both files in one array, split in two halves."""
    out, where, report = one_square(method)
    low, high = (load(out / folder / "a.npy") for folder in DUMPS[method])
    assert list(low) == list(high) == [0, 15, 4]
    for layer in (*low.values(), *high.values()):
        assert layer.dtype == np.float32
        assert layer.shape == SIZE
    for dump in (low, high):
        np.testing.assert_allclose(sum(dump.values()), 1, atol=1e-5)
    layers = np.transpose(np.array(list(low.values()) + list(high.values())), (1, 2, 0))
    assert layers.shape == (*SIZE, 6)
    low, high = (np.argmax(half, axis=-1) for half in np.array_split(layers, 2, axis=-1))
    label = np.where(low == 0, 255, low)
    label[high == 0] = 0
    label = label.astype(np.uint8)
    check_square(label, where, 1)
    check_pairs(label, (20, 15))
    read = get_adapter(method).read_seeds([out / folder / "a.npy" for folder in DUMPS[method]])
    np.testing.assert_array_equal(read, np.where(label == 1, 15, label))
    check_report(report, read)


@pytest.mark.parametrize("method", PNGS)
def test_irn_and_puzzlecam_read_a_grey_png(one_square, method):
    """imageio.imread must give H×W: of a palette file it would give colours."""
    out, where, report = one_square(method)
    label = imageio.imread(out / "a.png")
    assert label.dtype == np.uint8
    assert label.ndim == 2
    assert Image.fromarray(np.asarray(label)).mode == "L"
    check_square(label, where, 15)
    check_pairs(label, (20, 15))
    np.testing.assert_array_equal(get_adapter(method).read_seeds([out / "a.png"]), label)
    check_report(report, label)


def check_report(report, label):
    assert report.background == pytest.approx((label == 0).mean())
    assert report.ignored == pytest.approx((label == 255).mean())
    assert report.foreground == pytest.approx(((label > 0) & (label < 255)).mean())
    assert "confident foreground" in report.summary()


@pytest.mark.parametrize("method", METHODS)
def test_all_classes_arrive(tmp_path, method):
    """Each class on a third of an image of its own colour, ids not in order."""
    ids, maps = [19, 0, 7], np.zeros((3, *SIZE), np.float32)
    photo = np.full((*SIZE, 3), 128, np.uint8)
    for channel, start in enumerate((0, 28, 56)):
        maps[channel, 10:50, start : start + 22] = 0.9
        photo[10:50, start : start + 22, channel] = 250
    (tmp_path / "cams").mkdir()
    np.save(tmp_path / "cams" / "a.npy", stored(method, ids, maps, shrunk(maps)))
    write_png(tmp_path / "photos" / "a.png", photo)
    run(tmp_path / "cams", tmp_path / "out", tmp_path / "photos", method=method)
    adapter = get_adapter(method)
    folders = adapter.seed_folders(adapter.seed_settings)
    label = adapter.read_seeds([tmp_path / "out" / f / f"a{adapter.seed_suffix}" for f in folders])
    for channel, start in enumerate((0, 28, 56)):
        assert (label[12:48, start + 2 : start + 20] == ids[channel] + 1).all()
    assert (label[:8] == 0).all()


# --- images without a class, without a photograph, of another size -------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_an_image_without_a_class_is_background(make_set, make_photos, tmp_path, method):
    cam_dir, _ = make_set(method, size=SIZE)
    np.save(cam_dir / "b.npy", {})
    report = run(cam_dir, tmp_path / "out", make_photos(), method=method)
    assert (report.made, report.without_class, report.failures) == (4, 1, {})
    assert "1 without a class, so all background" in report.summary()
    if method in PNGS:
        label = imageio.imread(tmp_path / "out" / "b.png")
        assert label.shape == SIZE
        assert not label.any()
    else:
        for folder in DUMPS[method]:
            dump = load(tmp_path / "out" / folder / "b.npy")
            assert list(dump) == [0]
            assert (dump[0] == np.ones(SIZE, np.float32)).all()


def test_a_missing_photograph_is_reported_before_any_work(make_set, make_photos, tmp_path):
    cam_dir, _ = make_set(size=SIZE)
    with pytest.raises(InputError, match=r"photos: 1 of 4 images have no photograph \(d\)"):
        run(cam_dir, tmp_path / "out", make_photos("abc"))
    assert not (tmp_path / "out").exists()


def test_a_photograph_of_another_size_or_a_bad_file_fails_alone(make_set, make_photos, tmp_path):
    cam_dir, _ = make_set(size=SIZE)
    photos = make_photos()
    write_png(photos / "a.png", square()[0][:, ::-1][:40])
    (cam_dir / "c.npy").write_bytes(b"rubbish")
    report = run(cam_dir, tmp_path / "out", photos, method="psa")
    assert report.made == 2
    assert "a.png: has 80×40 pixels and its CAM 80×60" in report.failures["a"]
    assert "c.npy: is " in report.failures["c"]
    assert sorted(contents(tmp_path / "out")) == [
        f"out_{each}_crf/{name}.npy" for each in ("ha", "la") for name in "bd"
    ]
    stored_report = json.loads((tmp_path / "out.c2am-seeds.json").read_text())["report"]
    assert stored_report["failures"] == report.failures


def test_cams_are_not_taken_for_dumps(make_set, make_photos, tmp_path):
    cam_dir, _ = make_set(ids=("a", "b"), size=SIZE)
    with pytest.raises(InputError, match=r"b\.npy: is not a CRF dump"):
        get_adapter("psa").read_seeds([cam_dir / "b.npy"] * 2)


def test_dumps_are_not_taken_for_cams(make_set, make_photos, tmp_path):
    cam_dir, _ = make_set(size=SIZE)
    photos = make_photos()
    run(cam_dir, tmp_path / "out", photos)
    report = run(tmp_path / "out" / "out_la_crf", tmp_path / "again", photos)
    assert report.made == 0
    assert all("is a CRF dump" in message for message in report.failures.values())


# --- again, elsewhere, otherwise ------------------------------------------------------------------


@pytest.mark.parametrize("method", ["seam", "advcam"])
def test_a_second_run_does_only_what_is_missing(make_set, make_photos, tmp_path, method):
    ids = ("a", "val/b", "größe")
    cam_dir, _ = make_set(method, ids=ids, size=SIZE)
    photos, out = make_photos(ids), tmp_path / "out"
    run(cam_dir, out, photos, method=method, workers=2)
    whole = contents(out)
    assert len(whole) == (6 if method in DUMPS else 3)
    gone = sorted(path for path in out.rglob("*b.*") if path.suffix != ".json")[0]
    gone.unlink()
    kept = next(path for path in out.rglob("a.*")).stat().st_mtime_ns
    report = run(cam_dir, out, photos, method=method)
    assert (report.made, report.already_there) == (1, 2)
    assert contents(out) == whole
    assert next(path for path in out.rglob("a.*")).stat().st_mtime_ns == kept
    assert "made the seeds of 0 images" in run(cam_dir, out, photos, method=method).summary()


@pytest.mark.parametrize("change", [{"settings": {"bg": 0.05}}, {"clip": True}])
def test_other_settings_are_refused_and_overwrite_replaces(make_set, make_photos, tmp_path, change):
    cam_dir, _ = make_set("advcam", size=SIZE)
    photos, out = make_photos(), tmp_path / "out"
    run(cam_dir, out, photos)
    before = contents(out)
    with pytest.raises(OutputError, match="`overwrite=True`"):
        run(cam_dir, out, photos, **change)
    assert contents(out) == before
    assert run(cam_dir, out, photos, overwrite=True, **change).made == 4


def test_seeds_of_cams_that_were_refined_otherwise_are_refused(make_set, make_photos, tmp_path):
    cam_dir, cue_dir = make_set("advcam", size=SIZE)
    photos, out = make_photos(), tmp_path / "out"
    options = {"progress": False, "overwrite": True}
    refine_cams(cam_dir, cue_dir, tmp_path / "refined", **options)
    run(tmp_path / "refined", out, photos)
    refine_cams(cam_dir, cue_dir, tmp_path / "refined", strength=0.5, **options)
    with pytest.raises(OutputError, match=r"refined_as .*`overwrite=True`"):
        run(tmp_path / "refined", out, photos)


def test_workers_do_not_change_a_byte(make_set, make_photos, tmp_path):
    ids = [f"{index:02d}" for index in range(7)]
    cam_dir, _ = make_set("puzzlecam", ids=ids, size=SIZE)
    photos = make_photos(ids)
    for workers in (1, 3):
        run(cam_dir, tmp_path / f"out{workers}", photos, workers=workers)
    assert contents(tmp_path / "out1") == contents(tmp_path / "out3")


def test_ids_choose_the_images(make_set, make_photos, tmp_path):
    cam_dir, _ = make_set("advcam", size=SIZE)
    (tmp_path / "ids.txt").write_text("c\na\n")
    photos = make_photos("ac")
    assert run(cam_dir, tmp_path / "out", photos, ids=tmp_path / "ids.txt").made == 2
    assert sorted(contents(tmp_path / "out")) == ["a.png", "c.png"]
    with pytest.raises(InputError, match=r"1 of 2 images have no CAM in .*cams \(x\)"):
        run(cam_dir, tmp_path / "out", photos, ids=["a", "x"])


# --- what cannot be done ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("psa", {"fg": 0.3}, r"seeds of psa have no setting fg; .*low_alpha \(4\)"),
        ("advcam", {"low_alpha": 4}, r"no setting low_alpha; they have fg \(0.35\), bg \(0.15\)"),
        ("advcam", {"bg": 0.5}, "bg is 0.5 and fg 0.35; expected 0 < bg < fg"),
        ("advcam", {"fg": 1.0}, "fg is 1; expected less than 1"),
        ("puzzlecam", {"bg": 0}, "expected 0 < bg < fg"),
        ("seam", {"high_alpha": 4}, "expected 0 < low_alpha < high_alpha"),
        ("seam", {"high_alpha": float("nan")}, "expected 0 < low_alpha < high_alpha"),
        ("psa", {"high_alpha": float("inf")}, "expected 0 < low_alpha < high_alpha"),
    ],
)
def test_settings_that_make_no_sense(make_set, make_photos, tmp_path, method, settings, said):
    cam_dir, _ = make_set(method, size=SIZE)
    with pytest.raises(InputError, match=said):
        run(cam_dir, tmp_path / "out", make_photos(), method=method, settings=settings)
    assert not (tmp_path / "out").exists()


def test_seeds_do_not_go_where_they_would_be_read(make_set, make_photos, tmp_path):
    cam_dir, _ = make_set(size=SIZE)
    photos = make_photos()
    for out in (cam_dir, cam_dir / "seeds", photos, photos / "seeds"):
        with pytest.raises(InputError, match=r"is (inside )?the input"):
            run(cam_dir, out, photos)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: contains no CAM file"):
        run(tmp_path / "empty", tmp_path / "out", photos)


def test_an_adapter_without_seeds_reports_it(make_set, make_photos, tmp_path, monkeypatch):
    psa = get_adapter("psa")
    plain = {
        name: getattr(psa, name) for name in ("family", "background_score", "fits", "load", "parse")
    }
    bare = SimpleNamespace(name="mine", dump=psa.dump, **plain)
    assert not isinstance(bare, SeedAdapter)
    monkeypatch.setattr(seeds_run, "choose_adapter", lambda *_, **__: bare)
    cam_dir, _ = make_set(size=SIZE)
    with pytest.raises(InputError, match=r"mine: this adapter cannot make seeds .*only be refined"):
        run(cam_dir, tmp_path / "out", make_photos())


def test_a_class_beyond_8_bits_is_reported():
    photo, _ = square()
    cams = ImageCams("a", [254], blob(30, 40, 300)[None])
    with pytest.raises(InputError, match="class 254 does not fit"):
        confident_label(cams, photo, 0.35, 0.15)
    assert crf_scores(cams, photo, 4).shape == (2, *SIZE)


def test_class_0_is_unsure_where_another_class_would_be():
    photo, _ = square()
    zero, other = (
        confident_label(ImageCams("a", [c], blob(30, 40, 250)[None]), photo, 0.35, 0.15)
        for c in (0, 14)
    )
    assert (zero == 255).any()
    np.testing.assert_array_equal(np.where(zero == 1, 15, zero), other)


def test_all_five_have_the_published_settings():
    settings = {name: dict(get_adapter(name).seed_settings) for name in METHODS}
    assert settings == {
        "psa": {"low_alpha": 4, "high_alpha": 32},
        "sc_cam": {"low_alpha": 4, "high_alpha": 32},
        "seam": {"low_alpha": 4, "high_alpha": 24},
        "puzzlecam": {"fg": 0.40, "bg": 0.10},
        "advcam": {"fg": 0.35, "bg": 0.15},
    }


def test_a_pipeline_without_numbers_for_seeds_gets_them_from_its_score(make_set, tmp_path, caplog):
    cam_dir, _ = make_set(size=SIZE)
    images = tmp_path / "photos"
    for path in cam_dir.iterdir():
        write_png(
            images / f"{path.stem}.png", np.random.default_rng(0).integers(0, 255, (*SIZE, 3))
        )
    with caplog.at_level("INFO", "c2am_plugin"):
        usual = run(cam_dir, tmp_path / "usual", images, method="weaktr")
    assert (
        "weaktr publishes no seed settings; using fg 0.555 and bg 0.33, from t = 0.43"
        in caplog.text
    )
    assert usual.failures == {}
    numbers = {"fg": 0.555, "bg": 0.33}
    run(cam_dir, tmp_path / "given", images, method="weaktr", settings=numbers)
    for path in (tmp_path / "usual").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "given" / path.name).read_bytes()
    with pytest.raises(InputError, match="wsss_bed: has no seed settings"):
        seeds_run.plan_seeds(
            get_adapter("wsss_bed"), cam_dir, tmp_path / "none", images, ["a"], None, False
        )
