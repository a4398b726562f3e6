"""Every pipeline's files, as its own saving line makes them and its own code reads them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from adapter_contract import assert_same
from pipelines import PIPELINES, make_image

from c2am_plugin.cams import ImageCams, constant_score
from c2am_plugin.errors import InputError
from c2am_plugin.files.cam_files import suffix_of
from c2am_plugin.refine.run import refine_image
from c2am_plugin.registry import detect, get_adapter, get_profile

NAMES = [pipeline.name for pipeline in PIPELINES]
T = 0.3  # where a pipeline has no constant


@pytest.fixture(params=PIPELINES, ids=NAMES)
def pipeline(request):
    return request.param


def score_of(adapter):
    given = None
    if adapter.background_score is None and not getattr(adapter, "stores_background", False):
        given = T
    return constant_score(adapter, given)


def read(adapter, path, **options):
    return adapter.parse(adapter.load(path), "a", **options)


def write(pipeline, path, classes=2, change=None, **options):
    """A file of the pipeline's own → what is in it."""
    image = make_image(classes, dtype=options.pop("dtype", pipeline.dtype), **options)
    content = pipeline.store(image)
    pipeline.save(path, change(content) if change else content)
    return image, content


def paper_label(ids, maps, cue):
    values = np.pad(np.asarray(ids) + 1, (1, 0))
    layers = [cue[None].astype(np.float64), maps.astype(np.float64)]
    return values[np.concatenate(layers).argmax(axis=0)]


def refined_file(pipeline, tmp_path, cue, **options):
    adapter = get_adapter(pipeline.name)
    source, target = tmp_path / f"a{pipeline.suffix}", tmp_path / f"b{pipeline.suffix}"
    cams = read(adapter, source)
    adapter.dump(refine_image(cams, cue, score_of(adapter), **options), target)
    return target


def arrays(content):
    return {k: np.asarray(getattr(v, "array", v)) for k, v in content.items()}


@pytest.mark.parametrize("classes", [1, 3])
def test_classes_and_maps_are_read(pipeline, tmp_path, classes):
    path = tmp_path / f"a{pipeline.suffix}"
    image, _ = write(pipeline, path, classes)
    cams = read(get_adapter(pipeline.name), path)
    np.testing.assert_array_equal(cams.class_ids, image.ids)
    np.testing.assert_array_equal(cams.maps, image.maps)
    assert cams.maps.dtype == pipeline.dtype
    assert (cams.background is not None) == pipeline.stored_background
    if pipeline.stored_background:
        np.testing.assert_array_equal(cams.background, image.background)
    assert (cams.strided is not None) == bool(pipeline.small)


def test_auto_finds_the_layout(pipeline, tmp_path):
    paths = [tmp_path / f"{index}{pipeline.suffix}" for index in (1, 2, 3)]
    for classes, path in enumerate(paths, start=1):
        write(pipeline, path, classes)
    adapter, said = detect(paths)
    assert adapter.family == get_adapter(pipeline.name).family
    own, taken = get_profile(pipeline.name), get_profile(adapter.name)
    assert pipeline.name in said or own.background_score == taken.background_score


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_the_pipeline_reads_the_papers_labels(pipeline, tmp_path, classes):
    image, _ = write(pipeline, tmp_path / f"a{pipeline.suffix}", classes)
    t = score_of(get_adapter(pipeline.name))
    before = pipeline.label(tmp_path / f"a{pipeline.suffix}", t)
    label = pipeline.label(refined_file(pipeline, tmp_path, image.cue), t)
    np.testing.assert_array_equal(label, paper_label(image.ids, image.maps, image.cue))
    assert (label != before).any()


def test_the_other_copy_is_refined_too(pipeline, tmp_path):
    if not pipeline.small:
        pytest.skip("one copy only")
    _, content = write(pipeline, tmp_path / f"a{pipeline.suffix}", 2)
    adapter = get_adapter(pipeline.name)
    cue = np.full((20, 28), 0.6, np.float32)
    refined = adapter.load(refined_file(pipeline, tmp_path, cue))
    before, after = (arrays(each)[pipeline.small] for each in (content, refined))
    keys = np.arange(3)
    expected = paper_label(
        [0, 1], before[pipeline.lead :] / pipeline.scale, np.full(before.shape[1:], 0.6, "f4")
    )
    if pipeline.stored_background:
        found = keys[after.argmax(axis=0)]
    else:
        t = score_of(adapter)
        found = paper_label([0, 1], after[pipeline.lead :], np.full(after.shape[1:], t))
    np.testing.assert_array_equal(found, expected)


def test_a_cue_without_information_changes_nothing(pipeline, tmp_path):
    image, content = write(pipeline, tmp_path / f"a{pipeline.suffix}", 3)
    adapter = get_adapter(pipeline.name)
    cue, options = np.full(image.cue.shape, score_of(adapter), image.maps.dtype), {}
    if pipeline.stored_background:
        cue = image.background
        cams = read(adapter, tmp_path / f"a{pipeline.suffix}")
        options["strided_cue"] = cams.strided_background
    target = refined_file(pipeline, tmp_path, cue, **options)
    assert_same(adapter.load(target), content)


def test_unknown_keys_and_their_order_are_kept(pipeline, tmp_path):
    if not pipeline.full:
        pytest.skip("a plain dict of classes has no other keys")
    extra = {"first": np.arange(3), "last": "text"}

    def change(content):
        return {"first": extra["first"], **content, "last": extra["last"]}

    image, content = write(pipeline, tmp_path / f"a{pipeline.suffix}", 2, change)
    again = get_adapter(pipeline.name).load(refined_file(pipeline, tmp_path, image.cue))
    assert list(again) == ["first", *content, "last"]
    np.testing.assert_array_equal(again["first"], extra["first"])
    assert again["last"] == "text"
    for key, value in content.items():
        kept, old = np.asarray(getattr(again[key], "array", again[key])), np.asarray(value)
        assert (kept.dtype, kept.shape) == (old.dtype, old.shape)
        assert isinstance(value, torch.Tensor) == hasattr(again[key], "array")


def test_half_precision_keeps_the_labels(pipeline, tmp_path):
    image, _ = write(pipeline, tmp_path / f"a{pipeline.suffix}", 2)
    target = refined_file(pipeline, tmp_path, image.cue, float16=True)
    t = score_of(get_adapter(pipeline.name))
    label = pipeline.label(target, t)
    expected = paper_label(image.ids, image.maps, image.cue)
    # Where a reading rule rounds float16 and t to float32, a tie may differ.
    off = np.abs(image.maps.max(axis=0).astype(np.float64) - image.cue) > 1e-3
    np.testing.assert_array_equal(label[off], expected[off])


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_files_of_another_precision_are_read_and_kept(pipeline, tmp_path, dtype):
    if pipeline.dtype != np.float32:
        pytest.skip("half precision is this pipeline's own")
    image, _ = write(pipeline, tmp_path / f"a{pipeline.suffix}", 2, dtype=dtype)
    target = refined_file(pipeline, tmp_path, image.cue)
    cams = read(get_adapter(pipeline.name), target)
    assert cams.maps.dtype == dtype


@pytest.mark.parametrize("classes", [1, 3])
def test_cams_from_elsewhere_become_a_file_of_the_pipeline(pipeline, tmp_path, classes):
    adapter, image = get_adapter(pipeline.name), make_image(classes, dtype=pipeline.dtype)
    path = tmp_path / f"a{pipeline.suffix}"
    background = image.background if pipeline.stored_background else None
    small = image.maps if pipeline.stored_background else image.small
    small_background = background if pipeline.small else None
    cams = ImageCams(
        "a",
        image.ids,
        image.maps,
        small if pipeline.small else None,
        None,
        background,
        small_background,
    )
    adapter.dump(cams, path)
    content, expected = adapter.load(path), pipeline.store(image)
    missing = {"keys_gt"} if pipeline.name == "more" else set()
    assert set(content) == set(expected) - missing - pipeline.unread
    for key in content:
        ours, theirs = np.asarray(getattr(content[key], "array", content[key])), expected[key]
        assert (ours.dtype, ours.shape) == (np.asarray(theirs).dtype, np.asarray(theirs).shape)
    again = read(adapter, path)
    np.testing.assert_array_equal(again.maps, image.maps)
    label = pipeline.label(refined_file(pipeline, tmp_path, image.cue), score_of(adapter))
    np.testing.assert_array_equal(label, paper_label(image.ids, image.maps, image.cue))


def test_an_image_without_a_class_is_left_as_it_is(pipeline, tmp_path):
    if pipeline.empty is None:
        pytest.skip("this pipeline writes a background for every image")
    adapter, path = get_adapter(pipeline.name), tmp_path / f"a{pipeline.suffix}"
    pipeline.save(path, pipeline.empty)
    cams = read(adapter, path)
    assert cams.class_ids.tolist() == []
    target = refined_file(pipeline, tmp_path, np.ones((4, 6)))
    assert_same(adapter.load(target), pipeline.empty)


def test_a_background_alone_is_an_image_without_a_class(tmp_path):
    for name, content in (
        ("sipe", {"keys": np.array([0]), "IS_CAM": np.full((1, 4, 6), 0.5, "f4")}),
        ("excel", {"keys_gt": np.zeros(0, "i8"), "valid_lam": np.full((1, 4, 6), 0.5, "f4")}),
        ("amn_step2", {"keys": torch.zeros(0, dtype=torch.int64), "high_res": np.ones((1, 4, 6))}),
    ):
        np.save(tmp_path / "a.npy", content)
        cams = read(get_adapter(name), tmp_path / "a.npy")
        assert cams.class_ids.tolist() == []
        get_adapter(name).dump(cams, tmp_path / "b.npy")
        assert_same(get_adapter(name).load(tmp_path / "b.npy"), content)


def test_a_background_of_1_yields_one_step_where_a_class_wins(tmp_path):
    """ExCEL's background is 1 where no class is active: nothing in [0, 1] lies above it."""
    maps = np.full((1, 4, 6), 0.3, np.float32)
    lam = np.concatenate([np.ones((1, 4, 6), np.float32), maps])
    np.save(tmp_path / "a.npy", {"valid_lam": lam, "keys_gt": np.array([4])})
    cue = np.zeros((4, 6), np.float32)
    cue[2:] = 1
    adapter = get_adapter("excel")
    adapter.dump(refine_image(read(adapter, tmp_path / "a.npy"), cue, 0.5), tmp_path / "b.npy")
    again = np.load(tmp_path / "b.npy", allow_pickle=True).item()["valid_lam"]
    np.testing.assert_array_equal(again.argmax(axis=0)[:, 0], [1, 1, 0, 0])
    assert np.all(again[0, 2:] == 1)
    assert np.all((again[0, :2] < 1) & (again[0, :2] > 0.999999))


@pytest.mark.parametrize("value", [-0.4, 1.3, np.nan])
def test_a_background_outside_0_to_1_is_refused_by_name(tmp_path, value):
    image = make_image(1)
    content = {"keys": np.array([0, 1]), "IS_CAM": image.all_maps}
    content["IS_CAM"][0, 2, 2] = value
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(InputError, match="a: the background in IS_CAM is outside"):
        read(get_adapter("sipe"), tmp_path / "a.npy")
    assert read(get_adapter("sipe"), tmp_path / "a.npy", clip=True).background.max() < 1


def test_a_number_for_files_that_have_a_background_is_refused(tmp_path, refine, make_set):
    cam_dir, cue_dir = make_set()
    for path in cam_dir.iterdir():
        stored = np.load(path, allow_pickle=True).item()
        maps = np.stack(list(stored.values()))
        background = np.full((1, *maps.shape[1:]), 0.3, np.float32)
        keys = np.array([0, *(key + 1 for key in stored)])
        np.save(path, {"keys": keys, "IS_CAM": np.concatenate([background, maps])})
    code, _, lines = refine(cam_dir, cue_dir, "-o", tmp_path / "o", "--background-score", 0.3)
    assert code == 1
    assert "sipe: its files contain the background" in lines[-1]
    code, out, lines = refine(cam_dir, cue_dir, "-o", tmp_path / "o", "--labels", tmp_path / "l")
    assert code == 0
    assert "foreground at the background in the files" in out
    assert any("sipe format, the background in its files" in line for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_every_pipeline_of_the_table_has_a_profile(name):
    assert get_profile(name).source


def test_mctformers_seeds_have_its_own_alphas():
    adapter = get_adapter("mctformer")
    assert adapter.seed_settings == {"low_alpha": 1, "high_alpha": 12}
    assert adapter.seed_folders(adapter.seed_settings) == ("out_crf_1", "out_crf_12")


def logits_file(path, name="msc_seg", dtype=np.float32):
    """Classes 0, 5 and 19 win somewhere; the others come near."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (1, 21, 20, 28)).astype(dtype)
    logits[0, :, :, :] -= dtype(4)
    for channel in (0, 1, 6, 20):
        logits[0, channel] += dtype(9)
    np.save(path, {name: logits, "segs": logits[..., ::2]})
    return logits[0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("name", ["msc_seg", "msc_segs"])
def test_logits_of_all_classes_are_refined(tmp_path, name, dtype):
    logits = logits_file(tmp_path / "a.npy", name, dtype)
    adapter, said = detect([tmp_path / "a.npy"])
    assert (adapter.name, said) == ("logits", "logits format, the background in its files")
    cams = read(adapter, tmp_path / "a.npy")
    winners = sorted(set(logits.argmax(axis=0).ravel()) - {0})
    assert cams.class_ids.tolist() == [winner - 1 for winner in winners]
    own = np.concatenate([cams.background[None], cams.maps]).argmax(axis=0)
    np.testing.assert_array_equal(np.array([0, *winners])[own], logits.argmax(axis=0))

    rng = np.random.default_rng(4)
    cue = (rng.integers(0, 256, logits.shape[1:]) / 255).astype(np.float32)
    adapter.dump(refine_image(cams, cue, 0.5), tmp_path / "b.npy")
    content = np.load(tmp_path / "b.npy", allow_pickle=True).item()
    assert (content[name].dtype, content[name].shape) == (dtype, (1, *logits.shape))
    label = content[name][0].argmax(axis=0)
    np.testing.assert_array_equal(label, paper_label(cams.class_ids, cams.maps, cue))
    assert (label != logits.argmax(axis=0)).any()
    np.testing.assert_array_equal(
        content["segs"], np.load(tmp_path / "a.npy", allow_pickle=True).item()["segs"]
    )


def test_logits_are_untouched_where_the_cue_has_no_information(tmp_path):
    logits = logits_file(tmp_path / "a.npy")
    adapter = get_adapter("logits")
    cams = read(adapter, tmp_path / "a.npy")
    cue = cams.background.copy()
    cue[:10] = 1
    adapter.dump(refine_image(cams, cue, 0.5), tmp_path / "b.npy")
    again = np.load(tmp_path / "b.npy", allow_pickle=True).item()["msc_seg"][0]
    np.testing.assert_array_equal(again[:, 10:], logits[:, 10:])
    assert np.all(again[:, :10].argmax(axis=0) == 0)


def test_logits_of_an_image_that_is_all_background_stay(tmp_path):
    logits = np.zeros((1, 21, 4, 6), np.float32)
    np.save(tmp_path / "a.npy", {"msc_seg": logits})
    adapter = get_adapter("logits")
    cams = read(adapter, tmp_path / "a.npy")
    assert cams.class_ids.tolist() == []
    adapter.dump(refine_image(cams, np.zeros((4, 6)), 0.5), tmp_path / "b.npy")
    assert_same(adapter.load(tmp_path / "b.npy"), {"msc_seg": logits})


def test_cams_with_a_background_become_logits(tmp_path):
    image = make_image(3)
    cams = ImageCams("a", image.ids, image.maps, background=image.background)
    adapter = get_adapter("logits")
    adapter.dump(cams, tmp_path / "a.npy")
    label = np.load(tmp_path / "a.npy", allow_pickle=True).item()["msc_seg"][0].argmax(axis=0)
    np.testing.assert_array_equal(label, paper_label(image.ids, image.maps, image.background))
    with pytest.raises(InputError, match="need a background"):
        adapter.dump(ImageCams("a", image.ids, image.maps), tmp_path / "b.npy")


COLUMNS = ("profile", "layout", "t", "read", "refined", "written", "read again")
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"
README = Path(__file__).parents[2] / "adapters" / "README.md"


def table_row(name, label, store, save, folder):
    """One row: what came of a file of this pipeline."""
    adapter, profile, image = get_adapter(name), get_profile(name), make_image(3)
    source, target = (folder / f"{each}{suffix_of(adapter)}" for each in (name, "refined"))
    save(source, store(image))
    cams = read(adapter, source)
    done = {"read": np.array_equal(cams.class_ids, image.ids)}
    refined = refine_image(cams, image.cue, score_of(adapter))
    done["refined"] = not np.array_equal(refined.maps, cams.maps)
    adapter.dump(refined, target)
    done["written"] = len(adapter.load(target)) > 0
    expected = paper_label(cams.class_ids, cams.maps, image.cue)
    again = np.array_equal(label(target, score_of(adapter)), expected)
    t = profile.background_score
    stored = getattr(adapter, "stores_background", False)
    shown = "stored" if stored else "none" if t is None else f"{t:.2f}"
    marks = " | ".join("yes" if value else "no" for value in done.values())
    return f"| `{name}` | `{profile.layout}` | {shown} | {marks} | {'labels' if again else 'no'} |"


def store_logits(image):
    logits = np.full((1, 21, *image.cue.shape), -9, np.float32)
    logits[0, 0] = np.log(np.maximum(image.background, 1e-6))
    logits[0, image.ids + 1] = np.log(np.maximum(image.maps, 1e-6))
    return {"msc_seg": logits}


def test_the_readmes_table_is_what_comes_of_the_files(tmp_path):
    rows = [table_row(p.name, p.label, p.store, p.save, tmp_path) for p in PIPELINES]
    rows.append(
        table_row(
            "logits",
            lambda path, t: np.load(path, allow_pickle=True).item()["msc_seg"][0].argmax(axis=0),
            store_logits,
            np.save,
            tmp_path,
        )
    )
    assert not [row for row in rows if "| no " in row]
    told = (
        README.read_text(encoding="utf-8").split("<!-- table -->\n")[1].split("\n<!-- end -->")[0]
    )
    assert told == "\n".join([HEAD, *rows])
