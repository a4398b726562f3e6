"""examples/README.md, "What next": its commands write what the next networks read."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_files import write_png

from c2am_plugin import cli, convert_cams

TEXT = (Path(__file__).parents[2] / "examples" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
COMMANDS = [line for kind, block in BLOCKS if not kind for line in block.splitlines()]
REFINING = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("c2am-refine")]
PAIRS = "VOC2012/ImageSets/SegmentationAug/train_aug.txt"
IDS = ("2007_000032", "2007_000039")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a small VOC root, PSA's CAMs of class 4 and cues."""
    work = tmp_path / "work"
    rng = np.random.default_rng(0)
    for folder in ("JPEGImages", "ImageSets/Segmentation", "ImageSets/SegmentationAug"):
        (work / "VOC2012" / folder).mkdir(parents=True)
    (work / "psa").mkdir()
    for image_id in IDS:
        photo = rng.integers(0, 255, (24, 32, 3), np.uint8)
        Image.fromarray(photo).save(work / "VOC2012" / "JPEGImages" / f"{image_id}.jpg")
        np.save(work / "psa" / f"{image_id}.npy", {4: rng.random((24, 32), np.float32)})
        write_png(work / "CUES" / f"{image_id}.png", rng.integers(0, 256, (24, 32)))
    pairs = "".join(f"/JPEGImages/{i}.jpg /SegmentationClassAug/{i}.png\n" for i in IDS)
    (work / PAIRS).write_text(pairs)
    (work / "VOC2012/ImageSets/Segmentation/train_aug.txt").write_text("\n".join(IDS) + "\n")
    monkeypatch.chdir(work)
    return work


def refine(words, work):
    method = words[words.index("--method") + 1]
    if method != "psa":
        convert_cams(work / "psa", work / method, to=method, method="psa", progress=False)
    assert cli.refine_main([method if word == "CAM_DIR" else word for word in words]) == 0
    return {option: Path(value) for option, value in pairwise(words)}


def test_there_is_a_command_for_each_consumer():
    assert len(REFINING) == 6


@pytest.mark.parametrize("words", REFINING, ids=lambda words: " ".join(words[5:8]))
def test_the_command_writes_every_folder_it_names(words, place):
    given = refine(words, place)
    assert {path.stem for path in given["-o"].glob("*.npy")} == set(IDS)
    for option in {"--labels", "--confidence"} & set(given):
        assert {path.stem for path in given[option].glob("*.png")} == set(IDS)
    if "--seeds" in given:
        assert len([path for path in given["--seeds"].rglob("*") if path.is_file()]) >= len(IDS)
    if "--labels" in given:
        label = Image.open(given["--labels"] / f"{IDS[0]}.png")
        assert label.mode == "P"
        assert set(np.unique(np.asarray(label))) <= {0, 5}


def test_the_pairs_of_deeplab_lead_to_the_labels(place):
    (words,) = [words for words in REFINING if "VOC2012/SegmentationClassC2AM" in words]
    refine(words, place)
    (line,) = [line for line in COMMANDS if line.startswith("sed")]
    _, _, rule, file = shlex.split(line)
    assert file == PAIRS
    _, old, new, _ = rule.split("#")
    changed = Path(PAIRS).read_text().replace(old, new)
    for pair in changed.splitlines():
        for path in pair.split():
            assert (Path("VOC2012") / path[1:]).is_file()


def test_the_masks_of_beco_trust_half_of_each_class(place):
    (words,) = [words for words in REFINING if "--confidence" in words]
    refine(words, place)
    (code,) = [block for kind, block in BLOCKS if kind == "python" and "irn_mask" in block]
    exec(compile(code, "README.md", "exec"), {})
    for image_id in IDS:
        mask = Image.open(f"data/irn_mask/{image_id}.png")
        label = np.asarray(Image.open(f"data/irn_pseudo_label/{image_id}.png"))
        trusted = np.asarray(mask.convert("1"))  # as BECO's loader reads it
        for c in np.unique(label):
            assert 0.5 <= trusted[label == c].mean() <= 1


def test_the_configuration_of_mmsegmentation_is_python_but_for_its_own_braces():
    (code,) = [block for kind, block in BLOCKS if kind == "python" and "_base_" in block]
    compile(code.replace("{{_base_.train_pipeline}}", "[]"), "README.md", "exec")
