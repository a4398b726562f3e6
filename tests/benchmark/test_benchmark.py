"""The benchmark against refine_cams and evaluate, and against the released evaluator."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from adapter_contract import FAMILIES
from small_files import write_png

from c2am_plugin.bench import benchmark as benchmark_module
from c2am_plugin.bench.benchmark import benchmark
from c2am_plugin.bench.evaluate import THRESHOLDS, evaluate_cams, evaluate_labels
from c2am_plugin.cams import ImageCams
from c2am_plugin.cli import bench_main
from c2am_plugin.convert.run import convert_cams
from c2am_plugin.errors import InputError, OutputError
from c2am_plugin.files.labels import pseudo_label, read_label
from c2am_plugin.refine import background
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.registry import get_adapter

pytestmark = pytest.mark.slow

IDS = ("a", "b", "c", "d", "sub/e", "f")


@pytest.fixture
def data(make_set, tmp_path):
    """data(method) → (cams, cues, gt): ground truth is a clean shape where the CAMs are high."""

    def make(method="psa", ids=IDS, name="cams"):
        cams, cues = make_set(method, ids=ids, name=name)
        adapter = get_adapter(method)
        for image_id in ids:
            path = cams / f"{image_id}.npy"
            parsed = adapter.parse(adapter.load(path), image_id)
            truth = pseudo_label(parsed.maps, parsed.class_ids, 0.4)
            truth[:3, :5] = 255
            write_png(tmp_path / "gt" / f"{image_id}.png", truth)
        return cams, cues, tmp_path / "gt"

    return make


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(5)
    for image_id in IDS:
        write_png(tmp_path / "photos" / f"{image_id}.png", rng.integers(0, 256, (24, 32, 3)))
    return tmp_path / "photos"


def run(cams, cues, gt, out=None, **options):
    return benchmark(cams, cues, gt, out, progress=False, workers=2, **options)


def assert_scores(found, expected):
    for name in ("iou", "fp", "fn"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)


@pytest.mark.parametrize("method", FAMILIES)
@pytest.mark.parametrize("calibrate", ["off", "on"])
def test_rows_are_what_the_refined_folder_scores(data, tmp_path, method, calibrate):
    cams, cues, gt = data(method)
    labels = tmp_path / "labels"
    options = {"calibrate": calibrate, "workers": 1, "progress": False}
    report = refine_cams(cams, cues, tmp_path / "out", method=method, labels=labels, **options)
    (pipeline,) = run({method: cams}, cues, gt, calibrate=calibrate).pipelines

    assert_scores(pipeline.rows["cues"].scores, evaluate_labels(labels, gt, progress=False))
    t = report.background_score
    before = evaluate_cams(cams, gt, method=method, thresholds=[t], progress=False)
    assert_scores(pipeline.rows["cam"].scores, before[0])
    after = evaluate_cams(tmp_path / "out", gt, method=method, progress=False)
    here = np.isin(pipeline.thresholds, THRESHOLDS)
    np.testing.assert_allclose(
        pipeline.curves["cues"][here], [each.miou for each in after], rtol=1e-12
    )


def write_set(tmp_path, ids, agrees, size=(4, 6)):
    """Tiny CAM files of PSA, and soft cues: of image number i a right one if `agrees(i)`."""
    rng = np.random.default_rng(0)
    cams, cues = tmp_path / "cams", tmp_path / "cues"
    cams.mkdir()
    for index, image_id in enumerate(ids):
        maps = np.where(np.arange(size[1]) < size[1] // 2, 0.9, 0.02) + rng.random(size) * 0.05
        np.save(cams / f"{image_id}.npy", {3: maps.astype(np.float32)})
        cue = maps if agrees(index) else rng.random(size)
        write_png(cues / f"{image_id}.png", np.rint(255 * np.clip(cue, 0.02, 0.98)))
    return cams, cues


def refined_calibration(cams, cues, out, **options):
    refine_cams(cams, cues, out, method="psa", calibrate="on", progress=False, **options)
    record = json.loads(out.with_name(f"{out.name}.c2am-refine.json").read_text())
    return record["settings"]["calibrated"]


def test_a_table_describes_the_folder_that_is_refined_of_many_images(tmp_path):
    """Good cues first and random ones then: a sample of the first half would trust them all."""
    ids = [f"{index:03d}" for index in range(999)]
    cams, cues = write_set(tmp_path, ids, lambda index: index < 500)
    for image_id in ids[::100]:
        write_png(tmp_path / "gt" / f"{image_id}.png", np.eye(4, 6, dtype=np.uint8))
    stored = refined_calibration(cams, cues, tmp_path / "out", workers=1)
    assert stored["accuracy"] == pytest.approx(0.75, abs=0.02)
    result = run({"psa": cams}, cues, tmp_path / "gt", calibrate="on")
    assert result.pipelines[0].calibration == stored
    assert result.image_ids == ids[::100]


@pytest.mark.parametrize("listed", [None, slice(0, 40)])
def test_ground_truth_of_a_part_changes_no_calibration(tmp_path, listed):
    ids = [f"{index:02d}" for index in range(50)]
    cams, cues = write_set(tmp_path, ids, lambda index: index % 3)
    for image_id in ids[:20]:
        write_png(tmp_path / "gt" / f"{image_id}.png", np.eye(4, 6, dtype=np.uint8))
    (cues / "07.png").unlink()  # an image without a cue is refined, or not, but tells nothing
    wanted = ids[listed] if listed else None
    stored = refined_calibration(
        cams, cues, tmp_path / "out", ids=wanted, missing="keep", workers=1
    )
    result = run(
        {"psa": cams, "psa:again": cams}, cues, tmp_path / "gt", calibrate="on", ids=wanted
    )
    assert [pipeline.calibration for pipeline in result.pipelines] == [stored, stored]
    assert result.image_ids == [image_id for image_id in ids[:20] if image_id != "07"]


def test_the_best_threshold_is_the_best_of_the_curve(data):
    cams, cues, gt = data()
    (pipeline,) = run({"psa": cams}, cues, gt).pipelines
    sweep = [each.miou for each in evaluate_cams(cams, gt, method="psa", progress=False)]
    best = pipeline.rows["cam_best"]
    assert best.plan.background_score == THRESHOLDS[int(np.argmax(sweep))]
    assert best.scores.miou == pytest.approx(max(sweep))
    assert best.gain is None
    assert pipeline.rows["cues_best"].scores.miou == pytest.approx(max(pipeline.curves["cues"]))


def test_the_crf_rows_are_the_crf_of_the_labels(data, images):
    pytest.importorskip("numba", reason="numba is not installed")
    from c2am_plugin.bench.metrics import confusion, scores
    from c2am_plugin.crf.dense_crf import label_crf
    from c2am_plugin.files.photos import read_photo

    cams, cues, gt = data()
    (pipeline,) = run({"psa": cams}, cues, gt, images=images, crf=True).pipelines
    assert list(pipeline.rows) == [
        "cam",
        "cam_best",
        "cam_own_crf",
        "cam_crf",
        "cues",
        "cues_best",
        "cues_crf",
    ]
    adapter, total = get_adapter("psa"), 0
    for image_id in IDS:
        parsed = adapter.parse(adapter.load(cams / f"{image_id}.npy"), image_id)
        best = pipeline.rows["cam_best"].plan.background_score
        label = pseudo_label(parsed.maps, parsed.class_ids, best)
        label = label_crf(read_photo(images / f"{image_id}.png"), label)
        total = total + confusion(label, read_label(gt / f"{image_id}.png"), 21)
    assert_scores(pipeline.rows["cam_crf"].scores, scores(total))


def test_all_formats_of_the_same_cams_get_the_same_labels(data, tmp_path):
    folders = {}
    for method in FAMILIES:
        folders[method], cues, gt = data(method, name=method)
    pipelines = run(folders, cues, gt).pipelines
    assert [each.label for each in pipelines] == list(FAMILIES)
    for each in pipelines[1:]:
        np.testing.assert_array_equal(each.rows["cues"].counts, pipelines[0].rows["cues"].counts)


def test_guard_adds_a_row_and_takes_the_headline(data):
    cams, cues, gt = data()
    plain = run({"psa": cams}, cues, gt).pipelines[0]
    (guarded,) = run({"psa": cams}, cues, gt, guard=True).pipelines
    assert (plain.headline, guarded.headline) == ("cues", "guard")
    assert plain.guard_gain is None
    np.testing.assert_array_equal(guarded.rows["cues"].counts, plain.rows["cues"].counts)
    both = [guarded.rows[key].scores.miou for key in ("cues", "guard")]
    assert guarded.guard_gain.miou == pytest.approx(both[1] - both[0])


def write_segments(folder, ids, first=0):
    """Blocks of 8×8 pixels, numbered from `first`; in image d some pixels are in no segment."""
    rows, columns = np.mgrid[:24, :32] // 8
    for image_id in ids:
        numbers = rows * 4 + columns + first
        path = folder / f"{image_id}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.where(numbers == 5, -1, numbers) if image_id == "d" else numbers)
    return folder


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("psa", {}),
        ("psa", {"guard": True}),
        ("advcam", {"strength": 0.5}),
        ("puzzlecam", {"background_score": 0.35}),
        ("sipe", {}),  # its files contain the background
    ],
)
def test_the_row_of_segments_is_what_the_refined_folder_scores(
    data, tmp_path, method, options, first
):
    cams, cues, gt = data("psa" if method == "sipe" else method)
    if method == "sipe":
        convert_cams(cams, tmp_path / "sipe", to="sipe", method="psa", progress=False)
        cams = tmp_path / "sipe"
    segments = write_segments(tmp_path / "segments", IDS, first)
    options = {"calibrate": "on", "segments": segments, **options}
    labels = tmp_path / "labels"
    refine_cams(
        cams,
        cues,
        tmp_path / "out",
        method=method,
        labels=labels,
        workers=1,
        progress=False,
        **options,
    )
    (pipeline,) = run({method: cams}, cues, gt, **options).pipelines
    assert_scores(pipeline.rows["segments"].scores, evaluate_labels(labels, gt, progress=False))
    assert pipeline.headline == "segments"
    rows = pipeline.rows
    assert not np.array_equal(rows["segments"].counts, rows["cues"].counts)
    assert rows["cues_best"].plan.variant == "segments"
    without = {name: value for name, value in options.items() if name != "segments"}
    (plain,) = run({method: cams}, cues, gt, **without).pipelines
    for key in set(plain.rows) - {"cues_best"}:
        np.testing.assert_array_equal(rows[key].counts, plain.rows[key].counts)


def test_segments_with_the_crf_by_the_command(data, images, tmp_path, capsys):
    pytest.importorskip("numba", reason="numba is not installed")
    cams, cues, gt = data()
    segments, labels = write_segments(tmp_path / "segments", IDS), tmp_path / "labels"
    options = {"segments": segments, "images": images, "crf": True, "calibrate": "on"}
    refine_cams(
        cams, cues, tmp_path / "out", method="psa", labels=labels, progress=False, **options
    )
    words = ["--cams", f"psa={cams}", "--cues", cues, "--gt", gt, "--images", images, "--crf"]
    words += ["--segments", segments, "--calibrate", "on", "-o", tmp_path / "report"]
    assert bench_main([*map(str, words), "--quiet"]) == 0
    stored = json.loads((tmp_path / "report" / "results.json").read_text())
    expected = evaluate_labels(labels, gt, progress=False)
    assert stored["pipelines"]["psa"]["rows"]["cues_crf"]["miou"] == pytest.approx(
        expected.miou, abs=1e-6
    )
    assert f"--segments {segments}" in stored["command"]
    table = (tmp_path / "report" / "table.md").read_text()
    assert "CAM + cues, segments |" in table
    assert "CAM + cues, segments + dense CRF" in table


def test_images_without_segments_are_left_out_and_bad_segments_are_named(data, tmp_path):
    cams, cues, gt = data()
    get_adapter("psa").dump(ImageCams("a", np.zeros(0, int), np.zeros((0, 24, 32))), cams / "a.npy")
    segments = write_segments(tmp_path / "segments", [*IDS[:2], *IDS[3:]])
    np.save(segments / "b.npy", np.zeros((24, 24), int))
    result = run({"psa": cams}, cues, gt, segments=segments)
    assert result.missing == {"segments": ["c"]}
    assert result.image_ids == ["a", "d", "f", "sub/e"]
    assert result.failures["b"].startswith(f"{segments / 'b.npy'}: the segments have 24×24")
    with pytest.raises(InputError, match="contains no segments of these images"):
        run({"psa": cams}, cues, gt, segments=cues.parent / "gt" / "sub")


def test_class_gains_are_sorted_and_losers_are_marked(data, tmp_path):
    cams, cues, gt = data()
    # A cue that erases image a, and with it the class that only a has.
    write_png(cues / "a.png", np.zeros((24, 32)))
    result = run({"psa": cams}, cues, gt)
    gains = result.pipelines[0].class_gains(result.classes)
    assert [each.gain for each in gains] == sorted((each.gain for each in gains), reverse=True)
    assert [each.loses for each in gains] == [each.gain <= -0.0005 for each in gains]
    present = set().union(*(np.unique(read_label(gt / f"{i}.png")) for i in IDS)) - {255}
    assert {each.name for each in gains} == {result.classes[c] for c in present}
    assert gains[-1].loses
    assert gains[-1].after == pytest.approx(gains[-1].before + gains[-1].gain)


def test_what_is_missing_is_left_out_and_named(data):
    cams, cues, gt = data()
    (cams / "a.npy").unlink()
    (cues / "b.png").unlink()
    (gt / "c.png").unlink()
    result = run({"psa": cams}, cues, gt, ids=[*IDS, "nowhere"])
    assert result.image_ids == ["d", "f", "sub/e"]
    assert result.missing == {
        "psa CAM": ["a", "nowhere"],
        "cue": ["b", "nowhere"],
        "ground truth": ["c", "nowhere"],
    }
    assert result.pipelines[0].rows["cues"].counts.shape == (3, 3, 21)
    with pytest.raises(
        InputError, match=r"no image has all .*ground truth like a; the list like a"
    ):
        run({"psa": cams}, cues, gt, ids=["a", "b", "c"])


def test_a_bad_file_is_reported_and_the_rest_continues(data):
    cams, cues, gt = data()
    (cams / "a.npy").write_bytes(b"no array")
    write_png(gt / "b.png", np.zeros((24, 33)))
    write_png(gt / "c.png", np.full((24, 32), 30))
    result = run({"psa": cams}, cues, gt)
    assert result.image_ids == ["d", "f", "sub/e"]
    assert set(result.failures) == {"a", "b", "c"}
    assert "32×24 pixels and its ground truth 33×24" in result.failures["b"]
    assert "class 30" in result.failures["c"]
    alone = run({"psa": cams}, cues, gt, ids=["d", "f", "sub/e"])
    assert_scores(result.pipelines[0].rows["cues"].scores, alone.pipelines[0].rows["cues"].scores)
    with pytest.raises(InputError, match="all 2 images failed"):
        run({"psa": cams}, cues, gt, ids=["a", "b"])


def test_a_photograph_that_does_not_fit_is_left_out_of_every_number(data, images):
    """It is only looked at in the second pass, when the first has counted its image."""
    pytest.importorskip("numba", reason="numba is not installed")
    cams, cues, gt = data()
    write_png(images / "b.png", np.zeros((24, 33, 3)))
    (found,) = (result := run({"psa": cams}, cues, gt, images=images, crf=True)).pipelines
    assert "24×33" in result.failures["b"] or "33×24" in result.failures["b"]
    assert result.image_ids == [name for name in sorted(IDS) if name != "b"]
    alone = run({"psa": cams}, cues, gt, images=images, crf=True, ids=result.image_ids)
    for variant, curve in alone.pipelines[0].curves.items():
        np.testing.assert_array_equal(found.curves[variant], curve)
    for key, row in alone.pipelines[0].rows.items():
        np.testing.assert_array_equal(found.rows[key].counts, row.counts)


def test_a_cue_of_another_shape_is_reported_with_its_file(data):
    cams, cues, gt = data()
    write_png(cues / "b.png", np.zeros((32, 24)))
    result = run({"psa": cams}, cues, gt)
    assert set(result.failures) == {"b"}
    assert str(cues / "b.png") in result.failures["b"]


def test_an_image_without_a_class_is_all_background(data):
    cams, cues, gt = data()
    get_adapter("psa").dump(ImageCams("a", np.zeros(0, int), np.zeros((0, 24, 32))), cams / "a.npy")
    result = run({"psa": cams}, cues, gt, ids=["a"])
    truth = read_label(gt / "a.png")
    for row in result.pipelines[0].rows.values():
        assert row.counts[0, 2, 0] == (truth != 255).sum()


def test_any_number_of_classes_by_a_file_of_names(data, tmp_path):
    cams, cues, gt = data()
    names = tmp_path / "names.txt"
    names.write_text("background\n" + "\n".join(f"thing {i}" for i in range(40)) + "\n")
    result = run({"psa": cams}, cues, gt, classes=names)
    assert (len(result.classes), result.classes[2]) == (41, "thing 1")
    voc = run({"psa": cams}, cues, gt)
    assert result.pipelines[0].rows["cues"].scores.miou == voc.pipelines[0].rows["cues"].scores.miou
    two = run({"psa": cams}, cues, gt, classes=["background", "thing 0"])
    assert set(two.failures) | set(two.image_ids) == set(IDS)
    assert all(
        "outside the 2 classes; name all of them in `classes`" in message
        for message in two.failures.values()
    )
    assert two.failures


def test_the_background_score_is_searched_once(data, monkeypatch):
    """Both the rows and what stands beside them use it."""
    cams, cues, gt = data(ids=[f"i{n}" for n in range(14)], name="more")
    searches, look = [], background.find_score

    def counted(*args, **options):
        searches.append(args)
        return look(*args, **options)

    monkeypatch.setattr(background, "find_score", counted)
    monkeypatch.setattr(benchmark_module, "find_score", counted)
    result = run({"psa": cams}, cues, gt, background_score="auto")
    assert len(searches) == 1
    assert result.pipelines[0].t == (result.pipelines[0].label_free or 0.2)


def test_the_crf_is_scored_at_the_pipelines_own_score_too(data, tmp_path):
    pytest.importorskip("numba", reason="numba is not installed")
    cams, cues, gt = data()
    for image_id in IDS:
        write_png(tmp_path / "photos" / f"{image_id}.png", np.full((24, 32, 3), 90))
    rows = run({"seam": cams}, cues, gt, images=tmp_path / "photos").pipelines[0].rows
    assert rows["cam_own_crf"].plan.background_score == 0.26
    assert rows["cam_crf"].plan.background_score == rows["cam_best"].plan.background_score
    assert not np.array_equal(rows["cam_own_crf"].counts, rows["cam"].counts)


def test_the_published_number_stands_beside_its_own_pipeline_on_vocs_images_only(data):
    cams, cues, gt = data()
    two = {"psa": cams, "psa:mctformer": cams}
    result = run(two, cues, gt)
    assert [result.published(each) for each in result.pipelines] == [None, None]
    assert "Published" not in result.table()
    cams, cues, gt = data(ids=[f"2007_{index:06d}" for index in range(6)], name="vocs")
    two = {"psa": cams, "psa:mctformer": cams}
    result = run(two, cues, gt)
    assert [result.published(each) for each in result.pipelines] == [65.5, None]
    assert "Published" in result.table()
    named = run(two, cues, gt, classes=["background", *map(str, range(25))])
    assert [named.published(each) for each in named.pipelines] == [None, None]
    assert {each.method for each in result.pipelines} == {"psa"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crf": True}, "`images`"),
        ({"band": 0}, "band 0"),
        ({"calibrate": "maybe"}, "calibrate"),
        ({"show": ["zebra"]}, "cannot show zebra"),
        ({"classes": ["background"]}, "2 to 255"),
        ({"classes": "no/such/names.txt"}, "names.txt: cannot be read as class names"),
    ],
)
def test_wrong_options_are_refused(data, options, message):
    cams, cues, gt = data()
    with pytest.raises(InputError, match=message):
        run({"psa": cams}, cues, gt, **options)


def test_truth_without_a_label_and_unknown_pipelines(data, tmp_path):
    cams, cues, gt = data()
    for image_id in IDS:
        write_png(gt / f"{image_id}.png", np.full((24, 32), 255))
    with pytest.raises(InputError, match="no labelled pixel"):
        run({"psa": cams}, cues, gt)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: contains no cue"):
        run({"psa": cams}, tmp_path / "empty", gt)
    with pytest.raises(InputError, match="known are"):
        run({"psaa": cams}, cues, gt)
    with pytest.raises(InputError, match="no CAM folder is given"):
        run({}, cues, gt)


def test_the_score_without_ground_truth_stands_beside_the_one_with(make_set, tmp_path):
    ids = [f"{i:02d}" for i in range(16)]
    cams, cues = make_set("psa", ids=ids)
    adapter = get_adapter("psa")
    for image_id in ids:
        parsed = adapter.parse(adapter.load(cams / f"{image_id}.npy"), image_id)
        truth = pseudo_label(parsed.maps, parsed.class_ids, 0.4)
        write_png(tmp_path / "gt" / f"{image_id}.png", truth)
    both = run({"psa": cams, "mctformer": cams}, cues, tmp_path / "gt", calibrate="off")
    own, found = both.pipelines
    assert own.t == 0.2
    assert own.label_free == found.label_free == found.t  # a pipeline without a constant takes it
    assert 0.05 < found.t < 0.7
    best = own.rows["cam_best"].plan.background_score
    line = f"best with ground truth {best:.2f}, without {found.t:.2f}"
    assert f"- psa, background score 0.20; the CAM's {line}" in both.table()
    (asked,) = run({"psa": cams}, cues, tmp_path / "gt", background_score=0.35).pipelines
    assert asked.t == asked.rows["cues"].plan.background_score == 0.35
    few, _ = cams, [path.unlink() for path in sorted(cams.iterdir())[8:]]
    (alone,) = run({"psa": few}, cues, tmp_path / "gt").pipelines
    assert alone.label_free is None
    with pytest.raises(InputError, match="too few to find the background score"):
        run({"mctformer": few}, cues, tmp_path / "gt")


def test_another_page_is_not_replaced_unasked(data, tmp_path):
    cams, cues, gt = data()
    out = tmp_path / "page"
    run({"psa": cams}, cues, gt, out)
    run({"psa": cams}, cues, gt, out)
    with pytest.raises(OutputError, match="guard"):
        run({"psa": cams}, cues, gt, out, guard=True)
    run({"psa": cams}, cues, gt, out, guard=True, overwrite=True)
    assert "guard" in json.loads((out / "results.json").read_text())["pipelines"]["psa"]["rows"]


def test_command(data, tmp_path, capsys):
    cams, cues, gt = data()
    out = tmp_path / "page"
    words = [f"--cams=psa={cams}", "--cues", str(cues), "--gt", str(gt), "-o", str(out)]
    assert bench_main([*words, "--guard", "--show", "d"]) == 0
    printed = capsys.readouterr().out
    assert f"wrote {out}/report.html" in printed
    assert (out / "table.md").read_text() in printed
    stored = json.loads((out / "results.json").read_text())
    assert stored["command"] == (
        f"c2am-bench --cams psa={cams} --cues {cues} --gt {gt} --guard --show d"
    )
    changed = ["--calibrate", "off", "--strength", "0.5", "--overwrite"]
    assert bench_main([*words, *changed]) == 0
    again = shlex.split(json.loads((out / "results.json").read_text())["command"])
    capsys.readouterr()
    assert bench_main([*again[1:], "-o", str(out)]) == 0  # the same settings, or it would refuse
    (cams / "a.npy").write_bytes(b"no array")
    assert bench_main([*words, "--overwrite"]) == 1
    assert "1 images failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cams", "psa=other"], "two --cams have the same name"),
        (["--crf"], "add --images"),
    ],
)
def test_command_refuses_what_cannot_be_meant(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        bench_main(["--cams", "psa=d", "--cues", "c", "--gt", "g", "-o", "o", *words])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("cams", ["psa", "=dir", "psa="])
def test_command_says_how_cams_are_given(cams, capsys):
    with pytest.raises(SystemExit) as stop:
        bench_main(["--cams", cams, "--cues", "c", "--gt", "g", "-o", "o"])
    assert stop.value.code == 2
    assert "is not NAME=DIR" in capsys.readouterr().err


@pytest.fixture(scope="module")
def real_cams(coco_voc, tmp_path_factory):
    folder = tmp_path_factory.mktemp("puzzlecam")
    for path in (coco_voc / "cams").glob("*.npz"):
        with np.load(path) as stored:
            cams = ImageCams(path.stem, stored["keys"], stored["cam"].astype(np.float32))
        get_adapter("puzzlecam").dump(cams, folder / f"{path.stem}.npy")
    return folder


def rounded(scores):
    """As the released evaluator prints: percent to three digits, FP and FN to four."""
    counted = scores.counting_absent()
    return {
        "miou_percent": round(100 * counted.miou, 3),
        "fp": round(counted.mean_fp, 4),
        "fn": round(counted.mean_fn, 4),
    }


@pytest.mark.parametrize("cues", ["cues_crf", "cues_soft"])
def test_numbers_are_the_released_evaluators(coco_voc, golden, real_cams, cues):
    released = json.loads((golden / "evaluation.json").read_text())
    truth = coco_voc / "SegmentationClass"
    (pipeline,) = run({"puzzlecam": real_cams}, coco_voc / cues, truth).pipelines
    assert rounded(pipeline.rows["cues"].scores) == released[f"with_{cues}"]
    at_t = next(each for each in released["sweep"] if each["threshold"] == pipeline.t)
    assert {"threshold": pipeline.t, **rounded(pipeline.rows["cam"].scores)} == at_t


def test_the_sweep_is_the_released_evaluators(coco_voc, golden, real_cams):
    released = json.loads((golden / "evaluation.json").read_text())["sweep"]
    thresholds = [each["threshold"] for each in released]
    found = evaluate_cams(
        real_cams, coco_voc / "SegmentationClass", thresholds=thresholds, progress=False
    )
    assert [
        {"threshold": t, **rounded(each)} for t, each in zip(thresholds, found, strict=True)
    ] == released
