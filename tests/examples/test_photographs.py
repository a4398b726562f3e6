"""examples/photographs.py: from photographs to a page, offline with a file of weights."""

from __future__ import annotations

from urllib.error import URLError

import demo
import numpy as np
import photographs
import pytest
import row
import torch
from PIL import Image
from torchvision import models

from c2am_plugin import read_label

BACKBONE = "squeezenet1_0"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    network = models.get_model(BACKBONE)
    with torch.no_grad():  # its first weights end in zeros nearly everywhere
        network.classifier[1].bias.fill_(0.1)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    return str(tmp_path / "weights.pth")


def write_photos(folder, names):
    folder.mkdir()
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((160, 120)).save(folder / f"{name}.jpg")


@pytest.mark.slow
def test_photographs_alone_become_a_page(tmp_path, weights):
    images, out = tmp_path / "images", tmp_path / "out"
    write_photos(images, ("a", "b"))
    words = [str(images), "-o", str(out), "--backbone", BACKBONE, "--weights", weights]
    assert photographs.main([*words, "--epochs", "1"]) == 0
    rows = [line.split(",", 1) for line in (out / "labels.csv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["a", "b"]
    names = (out / "classes.txt").read_text().splitlines()
    assert {row[1].strip('"') for row in rows} == set(names[1:])
    for image_id in "ab":
        assert read_label(out / "labels" / f"{image_id}.png").shape == (120, 160)
    page = (out / "page" / "report.html").read_text(encoding="utf-8")
    assert names[1] in page
    state = torch.load(out / "classifier.pth", weights_only=True)
    assert len(state["classifier.1.weight"]) == len(names) - 1

    row.main([str(out), str(images / "a.jpg"), "-o", str(tmp_path / "row.png")])
    picture = Image.open(tmp_path / "row.png")
    assert picture.size == (6 * 200 + 5 * row.GAP, 150)  # 160×120 at a height of 150


def test_the_free_photographs_are_in_the_package(tmp_path):
    pytest.importorskip("skimage", reason="the photographs come with scikit-image")
    folder = photographs.free_photographs(tmp_path / "free")
    sizes = {path.stem: Image.open(path).size for path in folder.iterdir()}
    assert set(sizes) == set(photographs.FREE)
    assert sizes["chelsea"] == (451, 300)


def test_without_the_internet_one_line_asks_for_a_file(tmp_path, monkeypatch, capsys):
    def no_network(*args, **options):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    write_photos(tmp_path / "images", ("a",))
    words = [str(tmp_path / "images"), "-o", str(tmp_path / "out"), "--backbone", BACKBONE]
    assert photographs.main(words) == 1
    assert "no network" in (error := capsys.readouterr().err)
    assert "--weights" in error

    monkeypatch.setattr(demo, "free_photographs", lambda folder: tmp_path / "images")
    demo.show_photographs(tmp_path / "demo")  # the demo goes on
    assert "left out" in capsys.readouterr().out
