"""Several folders of cues: what each counts, and what does not matter."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from small_files import contents, write_png

from c2am_plugin import benchmark, show_refinement
from c2am_plugin.errors import InputError
from c2am_plugin.files.cues import write_cue
from c2am_plugin.refine.run import refine_cams

pytestmark = pytest.mark.slow

SIZE, COUNT = (48, 64), 16


def smooth(rng: np.random.Generator, width: float = 3) -> np.ndarray:
    noise = gaussian_filter(rng.normal(size=SIZE), width)
    return noise / noise.std()


def odds(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))


@pytest.fixture
def folders(tmp_path):
    """PSA's CAMs of one object per image, at any place, and cue folders by what they tell."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    (tmp_path / "cams").mkdir()
    inside = []
    for index in range(COUNT):
        y, x = rng.integers(10, 38), rng.integers(10, 54)
        inside.append((rows - y) ** 2 + (columns - x) ** 2 < 12**2)
        cam = np.clip(np.where(inside[-1], 0.5, 0.05) + 0.2 * smooth(rng), 0, 1)
        np.save(tmp_path / "cams" / f"{index:02d}.npy", {3: cam.astype(np.float32)})
    for index in range(COUNT):
        side = np.where(inside[index], 1.0, -1.0)
        other = np.where(inside[(index + 5) % COUNT], 1.0, -1.0)
        signal = side + smooth(rng)
        cues = {
            "good": signal,
            "noisier": signal + smooth(rng),  # all that it tells, `good` tells better
            "second": side + smooth(rng),
            "random": smooth(rng),
            "others": 2 * other,
            "inverted": -2 * signal,
        }
        for name, log_odds in cues.items():
            write_cue(tmp_path / name / f"{index:02d}.png", odds(log_odds))
    return tmp_path


def run(folders, names, out, **options):
    cues = [folders / name for name in names]
    return refine_cams(folders / "cams", cues, folders / out, progress=False, workers=1, **options)


def shares(report):
    return [report.cue_shares[name] for name in report.cue_shares]


def test_two_cues_with_information_of_their_own_share_the_weight(folders):
    report = run(folders, ["good", "second"], "both")
    assert 0.35 < min(shares(report)) <= max(shares(report)) < 0.65
    assert sum(shares(report)) == pytest.approx(1)
    stored = json.loads((folders / "both.c2am-refine.json").read_text())
    assert stored["report"]["cue_shares"] == report.cue_shares
    assert stored["settings"]["cue_shares"] == shares(report)
    assert stored["settings"]["cue_dir"] == [str(folders / n) for n in ("good", "second")]
    # Together they agree better with the CAMs than either alone.
    accuracy = {}
    for names in (["good"], ["second"], ["good", "second"]):
        out = "-".join(names) + "-out"
        run(folders, names, out)
        stored = json.loads((folders / f"{out}.c2am-refine.json").read_text())
        accuracy[out] = stored["settings"]["calibrated"]["accuracy"]
    assert accuracy["good-second-out"] > max(accuracy["good-out"], accuracy["second-out"]) + 0.01


@pytest.mark.parametrize("useless", ["random", "others", "inverted", "noisier"])
def test_a_cue_without_information_of_its_own_counts_nothing(folders, useless):
    report = run(folders, ["good", useless], "both")
    assert report.cue_shares[str(folders / "good")] > 0.9
    if report.cue_shares[str(folders / "good")] == 1:
        run(folders, ["good"], "one")
        assert contents(folders / "both") == contents(folders / "one")


def test_useless_cues_together_change_nothing(folders, caplog):
    run(folders, ["inverted", "random"], "both")
    for path in (folders / "cams").iterdir():
        before, after = (
            np.load(folders / name / path.name, allow_pickle=True).item()[3]
            for name in ("cams", "both")
        )
        assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("copy", ["same", "link", "bytes", "npy"])
def test_a_cue_given_twice_gives_what_it_gives_once(folders, caplog, copy, hard):
    if hard:
        for path in (folders / "good").iterdir():
            write_png(path, (np.asarray(Image.open(path)) > 127) * 255)
    name = "good" if copy == "same" else "again"
    if copy == "link":
        (folders / name).symlink_to(folders / "good")
    elif copy == "bytes":
        shutil.copytree(folders / "good", folders / name)
    elif copy == "npy":
        (folders / name).mkdir()
        for path in (folders / "good").iterdir():
            pixels = np.asarray(Image.open(path)).astype(np.float32) / 255
            np.save(folders / name / f"{path.stem}.npy", pixels)
    once = run(folders, ["good"], "once")
    with caplog.at_level(logging.WARNING, "c2am_plugin"):
        twice = run(folders, ["good", name], "twice", calibrate="auto")
    assert twice.calibrated == once.calibrated == (not hard)
    assert contents(folders / "twice") == contents(folders / "once")
    told = any("once" in record.getMessage() for record in caplog.records)
    assert told or (copy == "npy" and not hard)


def test_a_third_copy_leaves_two_cues_as_they_are(folders):
    shutil.copytree(folders / "good", folders / "again")
    two = run(folders, ["good", "second"], "two")
    three = run(folders, ["again", "good", "second"], "three")
    assert sorted(shares(two)) == sorted(shares(three))
    assert contents(folders / "two") == contents(folders / "three")


def test_the_order_does_not_matter(folders):
    run(folders, ["good", "second", "random"], "forward")
    run(folders, ["random", "second", "good"], "backward")
    assert contents(folders / "forward") == contents(folders / "backward")
    again = run(folders, ["second", "random", "good"], "forward")
    assert again.already_there == COUNT


def test_one_folder_in_a_list_is_one_folder(folders):
    alone = refine_cams(folders / "cams", folders / "good", folders / "a", progress=False)
    listed = run(folders, ["good"], "b")
    assert contents(folders / "a") == contents(folders / "b")
    assert {**asdict(alone), "out_dir": "", "seconds": 0, "images_per_second": 0} == {
        **asdict(listed),
        "out_dir": "",
        "seconds": 0,
        "images_per_second": 0,
    }


def test_each_folder_is_checked_by_name(folders, caplog):
    (folders / "second" / "03.png").unlink()
    with pytest.raises(InputError, match=r"1 of 16 images have no cue in .*second \(03\)"):
        run(folders, ["good", "second"], "out")
    with caplog.at_level(logging.WARNING, "c2am_plugin"):
        report = run(folders, ["good", "second", "inverted"], "out", missing="keep")
    said = [record.getMessage() for record in caplog.records]
    assert report.kept_unchanged == 1
    assert any(f"1 images have no cue in {folders / 'second'} (03)" in line for line in said)
    assert any(f"the cues of {folders / 'inverted'} call" in line for line in said)
    for path in (folders / "second").iterdir():
        write_png(path, np.zeros((40, 40)))
    with pytest.raises(InputError, match=r"none of 15 cues of .*second fits its CAMs"):
        run(folders, ["good", "second"], "other", missing="skip")
    with pytest.raises(InputError, match="no cue folder is given"):
        refine_cams(folders / "cams", [], folders / "none")
    with pytest.raises(InputError, match='`calibrate="off"` needs a single folder'):
        run(folders, ["good", "random"], "off", calibrate="off")


def test_cues_of_different_sizes(folders):
    for path in (folders / "second").iterdir():
        small = Image.open(path).resize((32, 24), Image.Resampling.BOX)
        write_cue(path, np.asarray(small, np.float32) / 255)
    report = run(folders, ["good", "second"], "out", labels=folders / "labels")
    assert report.refined == COUNT
    assert report.failures == {}
    assert Image.open(folders / "labels" / "00.png").size == (64, 48)


def test_the_command_takes_several_folders(folders, refine):
    code, out, _ = refine(
        folders / "cams", folders / "good", folders / "second", "-o", folders / "cli"
    )
    assert code == 0
    assert "refined 16 images" in out
    assert f"of {folders / 'good'}, 0." in out
    run(folders, ["second", "good"], "python")
    assert contents(folders / "cli") == contents(folders / "python")


def test_the_benchmark_scores_what_is_written(folders):
    (folders / "gt").mkdir()
    for path in (folders / "cams").iterdir():
        cam = np.load(path, allow_pickle=True).item()[3]
        write_png(folders / "gt" / f"{path.stem}.png", (cam > 0.3) * 4)
    names = ["good", "second"]
    run(folders, names, "out")
    cues = [folders / name for name in names]
    joint = benchmark({"psa": folders / "cams"}, cues, folders / "gt", progress=False)
    assert joint.settings["cues"] == [str(cue) for cue in cues]
    written = benchmark(
        {"psa": folders / "out"}, folders / "good", folders / "gt", progress=False, strength=0
    )
    assert joint.pipelines[0].rows["cues"].scores.miou == pytest.approx(
        written.pipelines[0].rows["cam"].scores.miou
    )


def test_the_page_of_a_run_reads_the_cues_as_the_run_did(folders, refine):
    for path in (folders / "good").iterdir():
        write_png(folders / "photos" / path.name, np.full((*SIZE, 3), 90))
    shutil.copytree(folders / "good", folders / "z-copy")
    cues = [folders / name for name in ("good", "z-copy", "second")]
    options = ["--images", folders / "photos", "--page", folders / "page", "-o", folders / "out"]
    code, _, lines = refine(folders / "cams", *cues, *options)
    assert code == 0, lines
    two = [cues[0], cues[2]]
    page = show_refinement(
        folders / "cams", two, folders / "out", folders / "photos", folders / "p", progress=False
    )
    assert page.failures == {}
    assert len(page.images) == COUNT
    with pytest.raises(InputError, match=r"was refined from .*good.*second"):
        show_refinement(
            folders / "cams", two[0], folders / "out", folders / "photos", folders / "q"
        )
