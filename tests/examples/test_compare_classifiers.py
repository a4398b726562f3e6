"""examples/compare_classifiers.py: how arms are written, and the whole of it on a few images."""

from __future__ import annotations

import argparse
import json
import shutil

import compare_classifiers
import numpy as np
import pytest
from classifier_data import generated, voc_animals
from compare_classifiers import against, parse_arm, score
from generated import make_folder
from PIL import Image

from c2am_plugin import ImageCams, get_adapter


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("control", {"rcm": 0, "mam": 0}),
        ("rcm", {"rcm": 1, "mam": 0}),
        ("both:0.1", {"rcm": 0.1, "mam": 0.1}),
        ("rcm:0.1,tau=0.1,scope=image", {"rcm": 0.1, "mam": 0, "tau": 0.1, "scope": "image"}),
        ("mam:.5,attentive=True", {"rcm": 0, "mam": 0.5, "attentive": True}),
    ],
)
def test_an_arm_is_its_losses_their_weight_and_numbers_of_the_recipe(text, numbers):
    assert parse_arm(text) == numbers


@pytest.mark.parametrize("text", ["rmc", "rcm:x", "rcm:-1", "rcm,tau", "rcm,tao=1", "rcm,tau=0"])
def test_other_arms_are_refused_before_anything_is_trained(text, tmp_path, capsys):
    with pytest.raises(argparse.ArgumentTypeError):
        parse_arm(text)
    with pytest.raises(SystemExit) as stop:
        compare_classifiers.main(["--out", str(tmp_path / "out"), "--arms", text])
    assert stop.value.code == 2
    assert not (tmp_path / "out").exists()


def test_the_bound_is_that_of_students_t():
    """Gains 1, 2, 3: mean 2, standard error 1/√3, t of two degrees of freedom 2.920."""
    rows = [[{"miou": m} for m in values] for values in ((10, 10, 10), (11, 12, 13))]
    assert against(*rows, "miou").endswith(f"bound {2 - 2.920 / 3**0.5:+.2f}")


@pytest.mark.slow
def test_perfect_cams_score_100(tmp_path):
    data = generated(tmp_path, 30)
    for path in sorted(data.truths.glob("*.png")):
        truth = np.asarray(Image.open(path))
        ids = np.array([v - 1 for v in np.unique(truth) if v])
        maps = (truth == ids[:, None, None] + 1).astype(np.float32)
        cams = ImageCams(path.stem, ids, maps)
        (tmp_path / "cams").mkdir(exist_ok=True)
        get_adapter("psa").dump(cams, tmp_path / "cams" / f"{path.stem}.npy")
    found = score(data, tmp_path / "cams", np.arange(70) / 100)
    assert [found[k] for k in ("miou", "precision", "recall", "boundary")] == [100] * 4


def test_persons_of_voc_are_trained_on_and_get_no_cams(tmp_path):
    source = tmp_path / "voc-animals"
    for folder, image_id in (("JPEGImages", "a"), ("JPEGImages", "b"), ("unlabelled", "c")):
        (source / folder).mkdir(parents=True, exist_ok=True)
        (source / folder / f"{image_id}.jpg").touch()
    (source / "labels.tsv").write_text("id\tclasses\na\tcow person\nb\tdog\nc\tcat\n")
    (source / "ids.txt").write_text("a\nb\n")
    data = voc_animals(tmp_path / "all", tmp_path, None)
    assert data.labels.read_text().split() == ["a,cow,person", "b,dog", "c,cat"]
    assert data.shown.read_text().split() == ["a,cow", "b,dog", "c,cat"]
    assert data.ids.read_text().split() == ["a", "b"]
    assert {path.stem for path in data.images.iterdir()} == {"a", "b", "c"}
    fewer = voc_animals(tmp_path / "one", tmp_path, 1)
    assert {path.stem for path in fewer.images.iterdir()} == {"a"}


@pytest.mark.slow
def test_start_control_and_an_arm_from_images_to_a_table(tmp_path, capsys):
    make_folder(tmp_path / "made", 12)
    cues = tmp_path / "made" / "cues"
    shutil.copytree(tmp_path / "made" / "SegmentationClass", cues)
    for path in cues.iterdir():
        Image.fromarray(np.uint8(np.asarray(Image.open(path)) > 0) * 255).save(path)
    words = ["--out", str(tmp_path / "out"), "--data", "generated", "--count", "12"]
    words += ["--seeds", "2", "--epochs", "1", "1", "--arms", "rcm:0.1,tau=0.1"]
    words += ["--cues", f"generated={cues}", "--jobs", "1", "--workers", "0", "--device", "cpu"]
    compare_classifiers.main(words)
    results = json.loads((tmp_path / "out" / "results.json").read_text())["generated"]
    assert list(results) == ["start", "control", "rcm:0.1,tau=0.1"]
    assert [row["seed"] for row in results["control"]] == [0, 1]
    assert {row["rcm"] for row in results["rcm:0.1,tau=0.1"]} != {0}
    assert "rcm" not in results["control"][0]
    assert "- rcm:0.1,tau=0.1: mean" in capsys.readouterr().out
