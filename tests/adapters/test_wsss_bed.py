"""WSSS-BED's folders: one 8-bit PNG per class, grouped by image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from small_files import smooth_maps, write_png

from c2am_plugin import convert_cams
from c2am_plugin.cams import read_cams
from c2am_plugin.errors import InputError
from c2am_plugin.files.labels import read_label
from c2am_plugin.registry import find_cams, get_adapter

T = 0.3
CLASSES = {"2007_000032": [0, 14], "2007_000039": [19], "val/0001": [3, 4, 11]}


@pytest.fixture
def folders(tmp_path):
    rng, cams, cues = np.random.default_rng(0), tmp_path / "cams", tmp_path / "cues"
    for image_id, classes in CLASSES.items():
        maps = smooth_maps(rng, len(classes), 24, 32)
        for class_id, layer in zip(classes, maps, strict=True):
            write_png(cams / f"{image_id}_{class_id}.png", np.rint(layer * 255))
        write_png(cues / f"{image_id}.png", np.rint(rng.random((24, 32)) * 255))
    return cams, cues


def layers(folder, image_id):
    return {
        c: np.asarray(Image.open(folder / f"{image_id}_{c}.png"), np.float32) / 255
        for c in CLASSES[image_id]
    }


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


def test_the_files_of_an_image_are_one_image(folders):
    cams, _ = folders
    found = find_cams(cams)
    assert list(found) == sorted(CLASSES)
    for image_id, classes in CLASSES.items():
        read = read_cams(get_adapter("wsss_bed"), found[image_id], image_id)
        assert read.class_ids.tolist() == classes
        np.testing.assert_array_equal(read.maps, list(layers(cams, image_id).values()))


def test_a_folder_of_labels_is_not_one_of_cams(folders):
    with pytest.raises(InputError, match="contains no CAM file"):
        find_cams(folders[1])


def test_refined_files_keep_their_names_and_labels_up_to_8_bits(folders, refine, tmp_path):
    cams, cues = folders
    out, labels = tmp_path / "out", tmp_path / "labels"
    arguments = (cams, cues, "-o", out, "--labels", labels, "--background-score", T)
    code, _, _ = refine(*arguments)
    assert code == 0
    assert names(out) == names(cams)
    for image_id, classes in CLASSES.items():
        before = np.rint(255 * np.stack(list(layers(cams, image_id).values())))  # exact ties
        cue = 255 - np.asarray(Image.open(cues / f"{image_id}.png"), np.float32)
        paper = np.array([0, *np.add(classes, 1)])[np.argmax([cue, *before], axis=0)]
        np.testing.assert_array_equal(read_label(labels / f"{image_id}.png"), paper)
        after = np.stack(list(layers(out, image_id).values()))
        again = np.array([0, *np.add(classes, 1)])[
            np.argmax([np.full_like(cue, T), *after], axis=0)
        ]
        top = np.sort(np.stack([*after, np.full_like(cue, T)]), axis=0)
        sure = top[-1] - top[-2] > 1.01 / 255
        np.testing.assert_array_equal(again[sure], paper[sure])
        assert sure.mean() > 0.9
    first = {name: (out / name).read_bytes() for name in names(out)}
    assert refine(*arguments)[0] == 0  # resumed
    assert {name: (out / name).read_bytes() for name in names(out)} == first


def test_files_of_another_program_are_not_replaced(folders, refine, tmp_path):
    cams, cues = folders
    out = tmp_path / "out"
    write_png(out / "2007_000032_7.png", np.zeros((2, 2)))
    code, _, lines = refine(cams, cues, "-o", out, "--background-score", T)
    assert code == 1
    assert "2007_000032_7.png" in lines[-1]
    assert names(out) == ["2007_000032_7.png"]
    assert refine(cams, cues, "-o", out, "--background-score", T, "--overwrite")[0] == 0
    assert names(out) == names(cams)


def test_a_cue_at_t_changes_nothing(folders, refine, tmp_path):
    cams, cues = folders
    for image_id in CLASSES:
        np.save(cues / f"{image_id}.npy", np.full((24, 32), 1 - 77 / 255, np.float32))
        (cues / f"{image_id}.png").unlink()
    assert refine(cams, cues, "-o", tmp_path / "o", "--background-score", 77 / 255)[0] == 0
    for name in names(cams):
        pictures = [np.asarray(Image.open(each / name)) for each in (cams, tmp_path / "o")]
        np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("to", ["psa", "irn", "fma_wss", "recurseed"])
def test_to_another_layout_and_back(folders, tmp_path, to):
    cams, _ = folders
    there, back = tmp_path / "there", tmp_path / "back"
    convert_cams(cams, there, to=to, method="wsss_bed", progress=False)
    convert_cams(there, back, to="wsss_bed", method=to, progress=False)
    assert names(back) == names(cams)
    for name in names(cams):
        pictures = [np.asarray(Image.open(each / name), int) for each in (cams, back)]
        # FMA-WSSS's layout brings each class to its own range.
        assert np.abs(pictures[0] - pictures[1]).max() <= (255 if to == "fma_wss" else 0)


def test_bad_files_are_named(folders):
    cams, _ = folders
    adapter = get_adapter("wsss_bed")
    write_png(cams / "2007_000032_14.png", np.zeros((5, 5)))
    with pytest.raises(InputError, match="its classes have the sizes"):
        read_cams(adapter, cams / "2007_000032.png", "2007_000032")
    (cams / "2007_000039_19.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"2007_000039_19\.png: cannot be read"):
        adapter.load(cams / "2007_000039.png")
    with pytest.raises(InputError, match="has no file per class"):
        adapter.load(cams / "other.png")
