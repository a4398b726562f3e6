"""The containers beside `.npy`: `.npz` and plain pickles, read without running code from them."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest
from pipelines import make_image, one_based
from small_files import smooth_maps, write_png

from c2am_adapters.npy import load_npz, load_pickle
from c2am_plugin.errors import InputError, UnsafeFileError
from c2am_plugin.refine.run import refine_image
from c2am_plugin.registry import find_cams, get_adapter


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("was-run",)


def test_a_pickle_in_a_pkl_or_npz_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open("a.pkl", "wb") as file:
        pickle.dump({"keys": Hostile()}, file)
    with pytest.raises(UnsafeFileError, match=r"a\.pkl: asks for (posix|os)\.mkdir"):
        load_pickle("a.pkl")
    np.savez("a.npz", cam=np.array(Hostile(), object))
    with pytest.raises(InputError, match="'cam' is not a plain array"):
        load_npz("a.npz")
    assert not os.path.exists("was-run")


@pytest.mark.slow
def test_a_small_npz_may_not_ask_for_much_memory(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, cam=np.zeros((20, 1000, 1000), np.float32), fg_cls=np.arange(20))
    with pytest.raises(InputError, match="needs more than 32 times its size in memory"):
        load_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        header = b"\x93NUMPY\x01\x00v\x00"
        text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000,), }"
        archive.writestr("cam.npy", header + text.ljust(117) + b"\n" + b"1234")
    with pytest.raises(InputError, match="truncated or damaged"):
        load_npz(path)


@pytest.mark.parametrize("suffix", ["npz", "pkl"])
@pytest.mark.parametrize("cut", [0, 1, 40, 200])
def test_damaged_files_are_named_in_one_line(tmp_path, suffix, cut):
    path = tmp_path / f"a.{suffix}"
    content = {"cam": np.ones((2, 8, 8), np.float32), "fg_cls": np.arange(2)}
    if suffix == "npz":
        np.savez(path, **content)
    else:
        path.write_bytes(pickle.dumps(content))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=rf"a\.{suffix}: is ") as error:
        (load_npz if suffix == "npz" else load_pickle)(path)
    assert "\n" not in str(error.value)


def test_raw_values_keep_their_range_and_what_no_cue_changes(tmp_path):
    image = make_image(2)
    raw = image.maps * np.array([7.3, 0.02], np.float32)[:, None, None] + np.float32(1e-3)
    raw[:, 0, 0] = -2
    stored = {"cam": raw, "fg_cls": image.ids, "att": np.zeros((3, 4, 4), np.float16)}
    np.savez(tmp_path / "a.npz", **stored)
    adapter = get_adapter("fma_wss")
    cams = adapter.parse(adapter.load(tmp_path / "a.npz"), "a")
    assert (cams.maps.min(), cams.maps.max()) == (0, 1)
    cue = np.full(image.cue.shape, 0.3)
    cue[10:] = 0.1
    adapter.dump(refine_image(cams, cue, 0.3), tmp_path / "b.npz")
    with np.load(tmp_path / "b.npz", allow_pickle=False) as again:
        np.testing.assert_array_equal(again["cam"][:, :10], raw[:, :10])
        assert (again["cam"][:, 10:] > raw[:, 10:]).mean() > 0.8
        np.testing.assert_allclose(again["cam"].max(axis=(1, 2)), raw.max(axis=(1, 2)), rtol=1e-6)
        np.testing.assert_array_equal(again["att"], stored["att"])


@pytest.mark.parametrize(("suffix", "t"), [(".npz", 0.3), (".pkl", None)])
def test_a_run_keeps_the_names(tmp_path, refine, suffix, t):
    rng, cams, cues = np.random.default_rng(1), tmp_path / "cams", tmp_path / "cues"
    cams.mkdir()
    for image_id in "ab":
        maps, ids = smooth_maps(rng, 2, 6, 8), np.array([2, 7])
        write_png(cues / f"{image_id}.png", rng.integers(0, 256, (24, 32)))
        if suffix == ".npz":
            np.savez(cams / f"{image_id}.npz", cam=maps, fg_cls=ids)
        else:
            content = {"keys": one_based(ids), "seed": maps}
            (cams / f"{image_id}.pkl").write_bytes(pickle.dumps(content))
    out = tmp_path / "out"
    given = () if t is None else ("--background-score", t)
    code, _, _ = refine(cams, cues, "-o", out, "--labels", tmp_path / "labels", *given)
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == [f"a{suffix}", f"b{suffix}"]
    assert list(find_cams(out)) == ["a", "b"]
    assert refine(cams, cues, "-o", out, "--labels", tmp_path / "labels", *given)[0] == 0


def test_npy_files_come_before_others(tmp_path):
    np.save(tmp_path / "a.npy", {3: np.ones((4, 4), np.float32)})
    np.savez(tmp_path / "a.npz", cam=np.ones((1, 4, 4), np.float32), fg_cls=np.array([3]))
    assert find_cams(tmp_path)["a"].suffix == ".npy"
    assert find_cams(tmp_path, "fma_wss")["a"].suffix == ".npz"


def test_a_folder_of_another_container_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", cam=np.ones((1, 4, 4), np.float32), fg_cls=np.array([3]))
    with pytest.raises(InputError, match=r"no CAM file \(\.npy\); it contains files of fma_wss"):
        find_cams(tmp_path, "psa")
