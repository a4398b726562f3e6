"""What a folder of cues is: drawn folders of every kind, and the stored ones."""

from __future__ import annotations

import numpy as np
import pytest
from adapter_contract import shrunk, stored
from small_files import write_png

from c2am_plugin.cli import cues_main
from c2am_plugin.describe.run import describe_cues
from c2am_plugin.errors import InputError
from c2am_plugin.files.cues import write_cue


def blob(height=24, width=32, share=0.25):
    """Saliency of one object in the middle that covers about a share of the image."""
    y, x = np.mgrid[:height, :width]
    distance = ((y - height / 2 + 0.5) / height) ** 2 + ((x - width / 2 + 0.5) / width) ** 2
    return np.clip(0.5 + 4 * (share / np.pi - distance), 0, 1)


@pytest.fixture
def soft(tmp_path):
    for index, image_id in enumerate("abcd"):
        write_png(tmp_path / "soft" / f"{image_id}.png", np.rint(255 * blob(share=0.1 + index / 9)))
    return tmp_path / "soft"


def described(folder, **options):
    return describe_cues(folder, progress=False, **options)


def test_soft_ones_of_somebody(soft):
    found = described(soft)
    assert (found.soft, found.hard, found.ours) == (4, 0, 0)
    assert found.sizes == {(32, 24): 4}
    assert found.polarity == ("foreground", 1.0, 4)
    assert found.foreground.shape == (4,)
    assert (np.diff(found.foreground) > 0).all()
    text = found.text()
    assert "soft: 4 grey\n" in text
    assert "all 32×24 (width×height)" in text
    assert "high is foreground, as expected (the border is darker than the interior in 100%" in text
    assert text.endswith(
        "c2am-refine CAM_DIR CUES --calibrate on (third-party grey values are not odds)"
    )


def test_inverted_ones(tmp_path):
    for image_id in "abc":
        write_png(tmp_path / "cues" / f"{image_id}.png", np.rint(255 * (1 - blob())))
    found = described(tmp_path / "cues")
    assert found.polarity == ("background", 0.0, 3)
    assert "looks inverted: high is background" in found.text()
    assert "CUES --flip-cues --calibrate on" in found.text()


def test_undecided_ones(tmp_path):
    for index, image_id in enumerate("abcd"):
        saliency = blob() if index % 2 else 1 - blob()
        write_png(tmp_path / "cues" / f"{image_id}.png", np.rint(255 * saliency))
    found = described(tmp_path / "cues")
    assert found.polarity == ("undecided", 0.5, 4)
    assert "undecided; look at some of the cues" in found.text()
    assert "--flip-cues" not in found.text()


def test_hard_ones_flat_ones_and_sizes(tmp_path):
    for image_id, saliency in {
        "a": blob() > 0.5,
        "b": blob(48, 64) > 0.5,
        "empty": np.zeros((24, 32)),
        "full": np.ones((24, 32)),
    }.items():
        write_png(tmp_path / "cues" / f"{image_id}.png", 255 * saliency)
    found = described(tmp_path / "cues")
    assert (found.soft, found.hard) == (0, 4)
    assert (found.empty, found.full) == (["empty"], ["full"])
    assert found.polarity.voters == 2
    assert found.sizes == {(32, 24): 3, (64, 48): 1}
    text = found.text()
    assert "hard: only 0 and the maximum" in text
    assert "2 different, 32 to 64 wide and 24 to 48 high; most often 32×24 (3)" in text
    assert "1 all background (empty); 1 all foreground (full)" in text
    assert text.endswith("c2am-refine CAM_DIR CUES")


def test_flat_ones_alone_say_nothing_of_the_polarity(tmp_path):
    write_png(tmp_path / "cues" / "a.png", np.full((24, 32), 51))
    write_png(tmp_path / "cues" / "b.png", np.full((1, 1), 51))
    assert described(tmp_path / "cues").polarity == ("undecided", 0.5, 0)


def test_those_of_c2am_cues_and_mixed_ones(soft, tmp_path):
    write_cue(soft / "ours.png", blob().astype(np.float32))
    np.save(soft / "float.npy", blob().astype(np.float32))
    write_cue(soft / "hard.png", blob() > 0.5)
    found = described(soft)
    assert (found.soft, found.hard, found.ours) == (6, 1, 1)
    assert "soft: 6 grey, 1 of them calibrated odds from c2am-cues" in found.text()
    for name in "abcd":
        (soft / f"{name}.png").unlink()
    (soft / "float.npy").unlink()
    assert described(soft).text().endswith("c2am-refine CAM_DIR CUES")


def test_quartiles_are_of_the_files(tmp_path):
    for index, share in enumerate((0.0, 0.1, 0.2, 0.3, 1.0)):
        pixels = np.zeros(100)
        pixels[: round(100 * share)] = 255
        write_png(tmp_path / "cues" / f"{index}.png", pixels.reshape(10, 10))
    found = described(tmp_path / "cues")
    np.testing.assert_allclose(found.foreground, [0, 0.1, 0.2, 0.3, 1])
    assert (
        "32.0 % of the pixels are above mid-grey (mean over cues; quartiles 10.0, 20.0, 30.0 %)"
        in found.text()
    )


# --- beside CAMs ----------------------------------------------------------------------------------


@pytest.fixture
def cams(tmp_path):
    """CAMs of the same object: a, b, c, d and one without a cue."""
    for image_id in ("a", "b", "c", "d", "lonely"):
        maps = blob()[None].astype(np.float32)
        path = tmp_path / "cams" / f"{image_id}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, stored("psa", np.array([7]), maps, shrunk(maps)))
    return tmp_path / "cams"


def test_cues_that_agree_with_cams(soft, cams):
    write_png(soft / "alone.png", np.rint(255 * blob()))
    found = described(soft, cams=cams).agreement
    assert (found.method, found.pairs) == ("psa", 4)
    assert (found.without_cue, found.without_cam, found.other_shape) == (1, 1, 0)
    assert found.uncalibrated > 0.7
    assert found.calibrated > 0.8
    assert found.flipped == 0.5
    text = described(soft, cams=cams, method="seam").text()
    assert "4 pairs, seam; 1 CAMs without a cue; 1 cues without a CAM" in text


def test_cams_know_more_of_the_polarity_than_borders(tmp_path, cams):
    """Objects that fill the border: the border alone would call these inverted."""
    ring = 1 - blob(share=0.5)
    maps = ring[None].astype(np.float32)
    for image_id in "abcd":
        np.save(cams / f"{image_id}.npy", stored("psa", np.array([7]), maps, shrunk(maps)))
        write_png(tmp_path / "cues" / f"{image_id}.png", np.rint(255 * ring))
    assert "--flip-cues" in described(tmp_path / "cues").text()
    found = described(tmp_path / "cues", cams=cams)
    assert found.agreement.calibrated > 0.9
    assert "--flip-cues" not in found.text()


def test_inverted_cues_beside_cams(tmp_path, cams):
    for image_id in "abcd":
        write_png(tmp_path / "cues" / f"{image_id}.png", np.rint(255 * (1 - blob())))
    found = described(tmp_path / "cues", cams=cams)
    assert found.agreement.uncalibrated < 0.3
    assert found.agreement.flipped > 0.8 > found.agreement.calibrated
    assert "CUES --flip-cues --calibrate on" in found.text()


def test_cues_of_other_images(tmp_path, cams):
    rng = np.random.default_rng(0)
    for image_id in "abcd":
        write_png(tmp_path / "cues" / f"{image_id}.png", rng.integers(0, 256, (24, 32)))
    found = described(tmp_path / "cues", cams=cams)
    assert max(found.agreement.calibrated, found.agreement.flipped) < 0.6
    write_png(tmp_path / "flat" / "a.png", np.full((24, 32), 100))
    said = described(tmp_path / "flat", cams=cams).text()
    assert "the cues do not agree with these CAMs: are they of the same images?" in said


def test_cams_that_are_sure_of_one_side_only_tell_nothing(soft, cams):
    for image_id in "abcd":
        maps = np.full((1, 24, 32), 0.9, np.float32)
        np.save(cams / f"{image_id}.npy", stored("psa", np.array([7]), maps, shrunk(maps)))
    found = described(soft, cams=cams).agreement
    assert (found.uncalibrated, found.calibrated, found.flipped) == (0.5, 0.5, 0.5)


def test_cues_of_another_shape_than_their_cams(soft, cams):
    write_png(soft / "a.png", np.rint(255 * blob(32, 24)))
    found = described(soft, cams=cams)
    assert (found.agreement.pairs, found.agreement.other_shape) == (3, 1)
    assert "1 cues of another shape than their CAM" in found.text()


# --- what is refused ------------------------------------------------------------------------------


def test_unreadable_files_are_named(soft, capsys):
    (soft / "b.png").write_bytes(b"not a png")
    found = described(soft)
    assert list(found.failures) == ["b"]
    assert "3 cues in" in found.text()
    assert "1 cannot be read" in found.text()
    assert cues_main(["--describe", str(soft)]) == 1
    out, err = capsys.readouterr()
    assert "high is foreground" in out
    assert "b.png: cannot be read as a cue image" in err


def test_refused(soft, cams, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="contains no cue"):
        described(tmp_path / "empty")
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="other: contains no CAM file"):
        described(soft, cams=tmp_path / "other")
    write_png(tmp_path / "bad" / "a.png", np.zeros((4, 4)))
    (tmp_path / "bad" / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match="no cue can be read; first: "):
        described(tmp_path / "bad")


def test_the_command(soft, cams, capsys):
    assert cues_main([f"--describe={soft}", "--cams", str(cams), "--workers", "1"]) == 0
    assert "4 pairs, psa" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        cues_main(["--describe"])
    assert caught.value.code == 2
    assert cues_main(["--describe", "nowhere"]) == 1
    assert "nowhere: no such folder" in capsys.readouterr().err


@pytest.mark.slow
def test_stored_cues(coco_voc):
    soft, hard = described(coco_voc / "cues_soft"), described(coco_voc / "cues_crf")
    assert (soft.soft, soft.hard, hard.soft, hard.hard) == (50, 0, 0, 50)
    assert soft.polarity.verdict == hard.polarity.verdict == "foreground"
    assert soft.polarity.share == 1
    assert 0.08 < soft.foreground.mean() < 0.1
