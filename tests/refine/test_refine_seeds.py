"""c2am-refine --seeds: refined CAMs and what the next stage trains on, in one run."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image
from small_files import contents, write_png
from third_party import PLUGIN

from c2am_plugin import make_seeds, refine_cams
from c2am_plugin.errors import InputError, OutputError
from c2am_plugin.refine.report import RefineReport
from c2am_plugin.runs.merging import merge_reports
from c2am_plugin.seeds.report import SeedReport

METHODS = ("psa", "sc_cam", "seam", "puzzlecam", "advcam")
results = partial(contents, without=".json")


@pytest.fixture
def make_all(make_set, tmp_path):
    """make_all(method) → (CAMs, cues, photographs)."""

    def make(method="psa", ids=("a", "b", "c", "d")):
        rng = np.random.default_rng(0)
        for image_id in ids:
            photo = rng.integers(0, 256, (6, 8, 3)).repeat(4, 0).repeat(4, 1)
            write_png(tmp_path / "photos" / f"{image_id}.png", photo)
        return *make_set(method, ids=ids), tmp_path / "photos"

    return make


def run(cams, cues, tmp_path, photos, **options):
    return refine_cams(
        cams,
        cues,
        tmp_path / "refined",
        seeds=tmp_path / "seeds",
        images=photos,
        progress=False,
        **{"workers": 1, **options},
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_they_are_those_of_the_refined_cams(make_all, tmp_path, method):
    cams, cues, photos = make_all(method)
    report = run(cams, cues, tmp_path, photos, method=method)
    assert (report.refined, report.seeds.made, report.seeds.failures) == (4, 4, {})
    options = {"method": method, "progress": False}
    make_seeds(tmp_path / "refined", tmp_path / "again", photos, **options)
    make_seeds(cams, tmp_path / "before", photos, **options)
    assert results(tmp_path / "seeds") == results(tmp_path / "again")
    assert results(tmp_path / "seeds") != results(tmp_path / "before")


def test_the_command_says_what_it_made(make_all, refine, tmp_path):
    cams, cues, photos = make_all("advcam")
    seeds = tmp_path / "seeds"
    options = ("--seeds", seeds, "--images", photos, "--seed-setting", "fg=0.30")
    code, out, _ = refine(cams, cues, *options, "--seed-setting", "bg=0.05")
    assert code == 0
    assert out.startswith("refined 4 images")
    assert "made the seeds of 4 images" in out
    stored = json.loads((tmp_path / "seeds.c2am-seeds.json").read_text())
    assert stored["report"]["settings"] == {"fg": 0.3, "bg": 0.05}
    assert stored["settings"]["refined_as"]["method"] == "advcam"
    assert len(results(seeds)) == 4
    code, out, lines = refine(cams, cues, *options)
    assert code == 1
    assert "bg 0.05 then, 0.15 now" in lines[-1]
    assert "--overwrite" in lines[-1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--seeds", "SEEDS"), "--seeds needs the photographs: add --images DIR"),
        (("--seed-setting", "fg=0.3"), "--seed-setting needs --seeds DIR"),
        (("--seeds", "S", "--images", "I", "--seed-setting", "fg"), "'fg' is not NAME=NUMBER"),
        (("--seeds", "S", "--images", "I", "--seed-setting", "fg=x"), "'fg=x' is not NAME=NUMBER"),
    ],
)
def test_wrong_usage(refine, options, said):
    code, _, lines = refine("CAMS", "CUES", *options)
    assert code == 2
    assert said in lines[-1]


def test_the_two_steps_resume_each_for_itself(make_all, tmp_path):
    cams, cues, photos = make_all("puzzlecam")
    run(cams, cues, tmp_path, photos)
    whole = results(tmp_path)
    (tmp_path / "seeds" / "b.png").unlink()
    report = run(cams, cues, tmp_path, photos)
    assert (report.refined, report.already_there) == (0, 4)
    assert (report.seeds.made, report.seeds.already_there) == (1, 3)
    (tmp_path / "refined" / "c.npy").unlink()
    report = run(cams, cues, tmp_path, photos)
    assert (report.refined, report.seeds.made) == (1, 0)
    assert results(tmp_path) == whole


def test_seeds_may_come_later(make_all, tmp_path):
    cams, cues, photos = make_all()
    refine_cams(cams, cues, tmp_path / "refined", progress=False)
    before = results(tmp_path / "refined")
    report = run(cams, cues, tmp_path, photos)
    assert (report.refined, report.seeds.made) == (0, 4)
    assert results(tmp_path / "refined") == before


def test_an_image_that_cannot_be_refined_has_no_seeds(make_all, refine, tmp_path):
    cams, cues, photos = make_all("advcam")
    (cams / "b.npy").write_bytes(b"rubbish")
    write_png(photos / "c.png", np.zeros((5, 5, 3)))
    options = ("-o", tmp_path / "refined", "--seeds", tmp_path / "seeds", "--images", photos)
    code, out, lines = refine(cams, cues, *options)
    assert code == 1
    assert "made the seeds of 2 images" in out
    assert "b.npy: is " in lines[-4]
    assert "refined.c2am-refine.json" in lines[-3]
    assert "c.png: has 5×5 pixels" in lines[-2]
    assert "seeds.c2am-seeds.json" in lines[-1]
    assert sorted(results(tmp_path / "seeds")) == ["a.png", "d.png"]


def test_what_refuses_seeds_refuses_before_anything_is_written(make_all, tmp_path):
    cams, cues, photos = make_all("advcam")
    run(cams, cues, tmp_path, photos)
    before = results(tmp_path)
    changed = {"overwrite": False, "seed_settings": {"bg": 0.05}}
    with pytest.raises(OutputError, match=r"bg 0\.15 then, 0\.05 now"):
        refine_cams(
            cams, cues, tmp_path / "new", seeds=tmp_path / "seeds", images=photos, **changed
        )
    with pytest.raises(InputError, match="have no setting high_alpha"):
        run(cams, cues, tmp_path, photos, seed_settings={"high_alpha": 3})
    for options, said in (
        ({"seeds": tmp_path / "refined"}, "separate folders"),
        ({"seeds": tmp_path / "refined" / "seeds"}, "is inside the input"),
        ({"seeds": cams / "seeds"}, "inside the input"),
        ({"seeds": tmp_path / "seeds", "images": None}, "`images`"),
        ({"seed_settings": {"fg": 0.3}}, "`seeds`"),
    ):
        with pytest.raises(InputError, match=said):
            refine_cams(cams, cues, tmp_path / "refined", **{"images": photos, **options})
    (photos / "d.png").unlink()
    with pytest.raises(InputError, match=r"have no photograph \(d\)"):
        run(cams, cues, tmp_path, photos, overwrite=True)
    after = results(tmp_path)
    del before["photos/d.png"]
    assert after == before
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_overwrite_replaces_both(make_all, tmp_path):
    cams, cues, photos = make_all("advcam")
    run(cams, cues, tmp_path, photos)
    before = results(tmp_path / "seeds")
    with pytest.raises(OutputError, match="`overwrite=True`"):
        run(cams, cues, tmp_path, photos, strength=0.3)
    report = run(cams, cues, tmp_path, photos, strength=0.3, overwrite=True)
    assert (report.refined, report.seeds.made) == (4, 4)
    assert results(tmp_path / "seeds") != before


@pytest.mark.slow
@pytest.mark.parametrize("method", ["seam", "puzzlecam"])
def test_two_shards_make_the_seeds_of_one_run(make_all, tmp_path, method):
    cams, cues, photos = make_all(method)
    whole = run(cams, cues, tmp_path, photos, method=method).seeds
    options = {"method": method, "images": photos, "progress": False}
    for shard in ("2/2", "1/2"):
        out = {"out_dir": tmp_path / "parts", "seeds": tmp_path / "seeds2"}
        refine_cams(cams, cues, shard=shard, **out, **options)
    for shard in ("2/2", "1/2"):
        make_seeds(tmp_path / "parts", tmp_path / "seeds3", shard=shard, **options)
    for name in ("seeds2", "seeds3"):
        assert results(tmp_path / name) == results(tmp_path / "seeds")
        ((command, merged),) = merge_reports(tmp_path / name, {"c2am-seeds": SeedReport})
        assert (command, merged.made, merged.pixels) == ("c2am-seeds", 4, whole.pixels)
        assert merged.ignored == pytest.approx(whole.ignored)
    ((_, refined),) = merge_reports(tmp_path / "parts", {"c2am-refine": RefineReport})
    assert refined.refined == 4


def test_kept_and_clipped_cams_have_seeds_too(make_all, tmp_path):
    cams, cues, photos = make_all("advcam")
    content = np.load(cams / "a.npy", allow_pickle=True).item()
    content["high_res"] = content["high_res"] * 2
    np.save(cams / "a.npy", content)
    (cues / "a.png").unlink()
    report = run(cams, cues, tmp_path, photos, missing="keep", clip=True)
    assert (report.kept_unchanged, report.seeds.made, report.seeds.failures) == (1, 4, {})


@pytest.mark.slow
def test_a_third_partys_adapter_without_seeds_still_refines(make_all, tmp_path):
    site = tmp_path / "site"
    (site / "mine-1.dist-info").mkdir(parents=True)
    (site / "mine.py").write_text(PLUGIN)
    (site / "mine-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mine\nVersion: 1\n"
    )
    (site / "mine-1.dist-info" / "entry_points.txt").write_text(
        "[c2am_plugin.adapters]\nmine = mine:NpzAdapter\n"
    )
    cams, cues, photos = make_all()
    for path in cams.iterdir():
        np.save(path, np.stack(list(np.load(path, allow_pickle=True).item().values())))
    code = f"import sys; sys.path.insert(0, {str(site)!r}); from c2am_plugin.cli import refine_main"
    arguments = [str(each) for each in (cams, cues, "--images", photos)]
    for options, status in (([], 0), (["--seeds", str(tmp_path / "seeds")], 1)):
        call = f"{code}; sys.exit(refine_main({[*arguments, *options]!r}))"
        done = subprocess.run(
            [sys.executable, "-c", call], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("c2am-refine: mine: this adapter cannot make seeds")
    assert not (tmp_path / "seeds").exists()


@pytest.mark.parametrize("method", ["psa", "advcam"])
def test_seeds_of_hard_uncalibrated_cues_are_warned_of(make_all, tmp_path, method, caplog):
    """They leave nothing unsure, and no setting of the seeds has an effect."""
    cams, cues, photos = make_all(method)
    for path in cues.rglob("*.png"):
        mask = np.asarray(Image.open(path)) > 100
        Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    hard = run(cams, cues, tmp_path, photos, method=method, calibrate="off").seeds
    assert hard.ignored < 0.01
    assert 'refine with `calibrate="on"`' in caplog.text
    caplog.clear()
    make_seeds(tmp_path / "refined", tmp_path / "again", photos, method=method, progress=False)
    assert 'refine with `calibrate="on"`' in caplog.text
