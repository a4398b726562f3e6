"""What every adapter must hold, as one suite that the adapters' test classes inherit.

The formats and the pipelines' own reading rules are written down here a second time, from the
papers' code and with numpy's and torch's own loaders, so that they check the adapters.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch

from c2am_adapters.npy import TorchArray
from c2am_plugin.cams import ImageCams
from c2am_plugin.errors import InputError
from c2am_plugin.refine.run import refine_image
from c2am_plugin.registry import detect, get_adapter

FAMILIES = {"psa": "dict", "sc_cam": "dict", "seam": "dict", "puzzlecam": "puzzlecam"}
FAMILIES["advcam"] = "irn"


def stored(method, class_ids, maps, strided):
    """What a pipeline passes to np.save for one image."""
    if FAMILIES[method] == "dict":
        key = np.int64 if method == "sc_cam" else int
        return {key(c): layer for c, layer in zip(class_ids, maps, strict=True)}
    if method == "puzzlecam":
        keys = np.array([0, *(np.asarray(class_ids) + 1)])
        return {"keys": keys, "cam": torch.tensor(strided), "hr_cam": maps}
    keys = torch.tensor(np.asarray(class_ids, np.int64))
    return {"keys": keys, "cam": torch.tensor(strided), "high_res": maps}


def shrunk(maps):
    """A stand-in for the copy of ⌈H/4⌉×⌈W/4⌉ that two of the pipelines keep."""
    return np.ascontiguousarray(maps[:, ::4, ::4])


def consumed(method, path, t, *, small=False):
    """The label that the pipeline's next stage makes of a file, or of its small copy."""
    content = np.load(path, allow_pickle=True).item()
    if FAMILIES[method] == "dict":
        shape = next(iter(content.values())).shape
        tensor = np.zeros((21, *shape), np.float32)
        for key in content:
            tensor[key + 1] = content[key]
        tensor[0] = t
        return np.argmax(tensor, axis=0).astype(np.uint8)
    full = "hr_cam" if method == "puzzlecam" else "high_res"
    cams = content["cam"].cpu().numpy() if small else np.asarray(content[full])
    keys = np.asarray(content["keys"])
    keys = keys if method == "puzzlecam" else np.pad(keys + 1, (1, 0), mode="constant")
    return keys[np.argmax(np.pad(cams, ((1, 0), (0, 0), (0, 0)), constant_values=t), axis=0)]


def paper_label(class_ids, maps, cue):
    """argmax([b, cam]) in VOC's indices."""
    values = np.array([0, *(np.asarray(class_ids) + 1)])
    return values[np.concatenate([cue[None], maps]).argmax(axis=0)]


def assert_same(ours, theirs):
    """What we read against the real thing, types and dtypes included."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, TorchArray)
        ours, theirs = ours.array, theirs.numpy()
    if isinstance(theirs, (np.ndarray, np.generic)) and theirs.dtype != object:
        assert type(ours) is type(theirs)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
        return
    assert type(ours) is type(theirs)
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        assert [type(key) for key in ours] == [type(key) for key in theirs]
        ours, theirs = ours.values(), theirs.values()
    if isinstance(theirs, (str, bytes, int, float, type(None))):
        assert ours == theirs
        return
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one, other)


def image(classes, size=(21, 30), dtype=np.float32, seed=0):
    """(class_ids, maps, strided, cue): many values are k/255, some pixels tie exactly."""
    rng = np.random.default_rng(seed)
    maps = (rng.integers(0, 256, (classes, *size)) / 255).astype(dtype)
    cue = (rng.integers(0, 256, size) / 255).astype(np.float32)
    cue[:4] = maps[-1, :4]
    class_ids = np.sort(rng.choice(np.arange(1, 20), classes, replace=False))
    class_ids[0] = 0
    return class_ids, maps, shrunk(maps), cue


class AdapterContract:
    """Subclasses name the pipeline and what is special about its files."""

    name: str
    background_score: float
    # Contents of images without a class, and files of relatives: name → (content, class ids).
    without_class: tuple = ({},)
    relatives: dict = {}  # noqa: RUF012

    @property
    def adapter(self):
        return get_adapter(self.name)

    @property
    def has_small(self):
        return FAMILIES[self.name] != "dict"

    def write(self, path, classes=2, **options):
        class_ids, maps, strided, cue = image(classes, **options)
        np.save(path, stored(self.name, class_ids, maps, strided))
        return class_ids, maps, strided, cue

    def read(self, path, **options):
        return self.adapter.parse(self.adapter.load(path), path.stem, **options)

    # What the adapter says of itself

    def test_name_family_and_threshold(self):
        adapter = self.adapter
        assert (adapter.name, adapter.background_score) == (self.name, self.background_score)
        assert adapter.family == FAMILIES[self.name]

    # Reading

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    @pytest.mark.parametrize("classes", [1, 2, 5])
    def test_reads_classes_and_maps(self, tmp_path, classes, dtype):
        class_ids, maps, strided, _ = self.write(tmp_path / "a.npy", classes, dtype=dtype)
        cams = self.read(tmp_path / "a.npy")
        assert cams.image_id == "a"
        assert cams.class_ids.dtype == np.int64
        np.testing.assert_array_equal(cams.class_ids, class_ids)
        np.testing.assert_array_equal(cams.maps, maps)
        assert cams.maps.dtype == dtype
        if self.has_small:
            np.testing.assert_array_equal(cams.strided, strided)
            assert cams.strided.dtype == dtype
        else:
            assert cams.strided is None

    def test_reads_the_stored_files_of_old_environments(self, golden):
        for path in sorted((golden / "files" / self.name).glob("*.npy")):
            cams = self.read(path)
            twin = np.load(golden / "arrays" / f"arr_{path.stem}.npz")
            np.testing.assert_array_equal(cams.class_ids, twin["keys"])
            np.testing.assert_array_equal(cams.maps, twin["cam"])
            if self.has_small:
                np.testing.assert_array_equal(cams.strided, twin["strided"])

    def test_class_order_is_kept(self, tmp_path):
        _, maps, strided, _ = image(3)
        class_ids = np.array([7, 0, 3])
        np.save(tmp_path / "a.npy", stored(self.name, class_ids, maps, strided))
        cams = self.read(tmp_path / "a.npy")
        assert cams.class_ids.tolist() == [7, 0, 3]
        np.testing.assert_array_equal(cams.maps, maps)

    @pytest.mark.parametrize("class_id", [0, 1, 19, 79])
    def test_any_class_may_stand_alone(self, tmp_path, class_id):
        _, maps, strided, _ = image(1)
        np.save(tmp_path / "a.npy", stored(self.name, [class_id], maps, strided))
        assert self.read(tmp_path / "a.npy").class_ids.tolist() == [class_id]

    def test_images_without_a_class(self, tmp_path):
        for content in self.without_class:
            np.save(tmp_path / "a.npy", content)
            cams = self.read(tmp_path / "a.npy")
            assert cams.class_ids.tolist() == []
            assert len(cams.maps) == 0
            self.adapter.dump(refine_image(cams, np.ones((4, 6)), 0.2), tmp_path / "b.npy")
            assert_same(
                self.adapter.load(tmp_path / "b.npy"),
                np.load(tmp_path / "a.npy", allow_pickle=True).item(),
            )

    def test_reads_its_relatives(self, tmp_path):
        for relative, (content, class_ids) in self.relatives.items():
            path = tmp_path / f"{relative}.npy"
            np.save(path, content)
            cams = self.read(path)
            assert cams.class_ids.tolist() == class_ids, relative
            assert len(cams.maps) == len(class_ids), relative
            adapter, _ = detect([path])
            assert adapter.family == self.adapter.family, relative
            self.adapter.dump(cams, tmp_path / "again.npy")
            expected = np.load(path, allow_pickle=True).item()
            assert_same(self.adapter.load(tmp_path / "again.npy"), expected)

    def test_is_detected(self, tmp_path):
        self.write(tmp_path / "one.npy", 1)
        self.write(tmp_path / "two.npy", 3)
        np.save(tmp_path / "none.npy", {})
        adapter, said = detect(tmp_path / f"{name}.npy" for name in ("none", "one", "two"))
        assert adapter.family == FAMILIES[self.name]
        assert f"{adapter.background_score:g}" in said

    # Writing

    @pytest.mark.parametrize("dtype", [np.float16, np.float32])
    @pytest.mark.parametrize("classes", [1, 3])
    def test_the_pipeline_reads_the_papers_labels(self, tmp_path, classes, dtype):
        class_ids, maps, _, cue = self.write(tmp_path / "a.npy", classes, dtype=dtype)
        t = self.background_score
        self.adapter.dump(refine_image(self.read(tmp_path / "a.npy"), cue, t), tmp_path / "b.npy")
        label = consumed(self.name, tmp_path / "b.npy", t)
        if dtype == np.float16 and not self.has_small:
            # This reading rule rounds float16 to float32 and t too: a tie may differ there.
            off = np.abs(maps.max(axis=0).astype(np.float64) - cue) > 1e-3
            np.testing.assert_array_equal(label[off], paper_label(class_ids, maps, cue)[off])
        else:
            np.testing.assert_array_equal(label, paper_label(class_ids, maps, cue))
        assert (label > 0).any()
        assert not np.array_equal(label, consumed(self.name, tmp_path / "a.npy", t))

    @pytest.mark.parametrize("level", [0.05, 0.6])
    def test_the_small_copy_is_refined_too(self, tmp_path, level):
        if not self.has_small:
            pytest.skip("one size only")
        class_ids, _, strided, _ = self.write(tmp_path / "a.npy", 2)
        cue = np.full((21, 30), level, np.float32)
        refined = refine_image(self.read(tmp_path / "a.npy"), cue, self.background_score)
        self.adapter.dump(refined, tmp_path / "b.npy")
        label = consumed(self.name, tmp_path / "b.npy", self.background_score, small=True)
        small_cue = np.full(strided.shape[1:], level, np.float32)
        np.testing.assert_array_equal(label, paper_label(class_ids, strided, small_cue))

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_no_news_leaves_the_same_content(self, tmp_path, dtype):
        _, maps, *_ = self.write(tmp_path / "a.npy", 3, dtype=dtype)
        cue = np.full(maps.shape[1:], self.background_score, dtype)
        cams = self.read(tmp_path / "a.npy")
        self.adapter.dump(refine_image(cams, cue, self.background_score), tmp_path / "b.npy")
        expected = np.load(tmp_path / "a.npy", allow_pickle=True).item()
        assert_same(self.adapter.load(tmp_path / "b.npy"), expected)

    @pytest.mark.parametrize("container", [dict, OrderedDict])
    def test_containers_dtypes_and_key_order_survive(self, tmp_path, container):
        class_ids, maps, strided, cue = image(3, dtype=np.float64)
        content = stored(self.name, class_ids, maps, strided)
        content = container(reversed(list(content.items())))
        if self.has_small:
            content |= {"extra": {"a": [1, (2.5, "x")]}, "score": np.float32(0.5), "none": None}
            content["keys"] = content["keys"].tolist()
        np.save(tmp_path / "a.npy", content)
        refined = refine_image(self.read(tmp_path / "a.npy"), cue, self.background_score)
        self.adapter.dump(refined, tmp_path / "b.npy")
        again = np.load(tmp_path / "b.npy", allow_pickle=True).item()
        assert type(again) is container
        assert [(key, type(key)) for key in again] == [(key, type(key)) for key in content]
        for key, value in content.items():
            assert type(again[key]) is type(value)
            assert getattr(again[key], "dtype", None) == getattr(value, "dtype", None)
            if key in ("extra", "score", "none", "keys"):
                assert again[key] == value
            else:
                assert again[key].shape == value.shape
                assert not np.array_equal(again[key], value)

    def test_the_input_file_is_not_touched(self, tmp_path):
        *_, cue = self.write(tmp_path / "a.npy", 2)
        before = (tmp_path / "a.npy").read_bytes()
        refined = refine_image(self.read(tmp_path / "a.npy"), cue, self.background_score)
        self.adapter.dump(refined, tmp_path / "b.npy")
        assert (tmp_path / "a.npy").read_bytes() == before

    @pytest.mark.parametrize("classes", [1, 3])
    def test_cams_from_elsewhere_become_a_file_of_the_pipeline(self, tmp_path, classes):
        class_ids, maps, strided, cue = image(classes)
        for small in (None, strided):
            cams = ImageCams("a", class_ids, maps, small if self.has_small else None)
            self.adapter.dump(cams, tmp_path / "a.npy")
            content = np.load(tmp_path / "a.npy", allow_pickle=True).item()
            expected = stored(self.name, class_ids, maps, strided)
            assert list(content) == list(expected)
            for key, value in expected.items():
                assert type(content[key]) is type(value)
                assert content[key].dtype == value.dtype
                assert content[key].shape == value.shape
            again = self.read(tmp_path / "a.npy")
            np.testing.assert_array_equal(again.class_ids, class_ids)
            np.testing.assert_array_equal(again.maps, maps)
            refined = refine_image(again, cue, self.background_score)
            self.adapter.dump(refined, tmp_path / "b.npy")
            label = consumed(self.name, tmp_path / "b.npy", self.background_score)
            np.testing.assert_array_equal(label, paper_label(class_ids, maps, cue))

    # Refusing

    @pytest.mark.parametrize("other", ["psa", "puzzlecam", "advcam"])
    def test_files_of_other_families_are_refused(self, tmp_path, other):
        if FAMILIES[other] == FAMILIES[self.name]:
            pytest.skip("the same format")
        for class_ids in ([0], [0, 1], [4], [4, 7, 9]):
            _, maps, strided, _ = image(len(class_ids))
            np.save(tmp_path / "a.npy", stored(other, class_ids, maps, strided))
            with pytest.raises(InputError, match=r"^a: "):
                self.read(tmp_path / "a.npy")

    def broken(self, change):
        class_ids, maps, strided, _ = image(2)
        class_ids, maps, strided = change(class_ids, maps, strided)
        return stored(self.name, class_ids, maps, strided)

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (np.nan, "1 NaN or infinite"),
            (np.inf, "1 are above 1 and 1 NaN or infinite"),
            (1.5, "1 are above 1.*1.5"),
        ],
    )
    def test_values_that_are_no_cam_are_refused_and_clip_accepts_them(self, tmp_path, value, said):
        def change(class_ids, maps, strided):
            maps[1, 3, 4] = value
            return class_ids, maps, strided

        np.save(tmp_path / "a.npy", self.broken(change))
        with pytest.raises(InputError, match=said) as refusal:
            self.read(tmp_path / "a.npy")
        assert "`clip=True`" in str(refusal.value)
        clipped = self.read(tmp_path / "a.npy", clip=True).maps
        assert clipped[1, 3, 4] == (0 if not value > 0 else 1)

    def test_values_below_0_are_read_as_0_without_a_flag(self, tmp_path):
        """As every pipeline's argmax takes them; a file's other values stay what they are."""

        def change(class_ids, maps, strided):
            maps[1, 3, 4] = -0.5
            return class_ids, maps, strided

        content = self.broken(change)
        np.save(tmp_path / "a.npy", content)
        cams = self.read(tmp_path / "a.npy")
        assert cams.below_zero
        assert cams.maps[1, 3, 4] == 0
        assert np.count_nonzero(cams.maps == 0) >= 1
        self.adapter.dump(cams, tmp_path / "b.npy")
        expected = np.load(tmp_path / "a.npy", allow_pickle=True).item()
        assert_same(self.adapter.load(tmp_path / "b.npy"), expected)

    def test_rounding_above_one_is_clipped(self, tmp_path):
        def change(class_ids, maps, strided):
            return class_ids, maps * np.float32(1 + 1e-6), strided

        np.save(tmp_path / "a.npy", self.broken(change))
        assert self.read(tmp_path / "a.npy").maps.max() == 1

    @pytest.mark.parametrize(
        "change",
        [
            lambda ids, maps, small: (ids, (maps * 255).astype(np.uint8), small),
            lambda ids, maps, small: (ids, maps[..., 0], small),
            lambda ids, maps, small: (ids, maps[..., None], small),
            lambda ids, maps, small: (ids, maps[:, :0], small),
            lambda ids, maps, small: (np.array([-3, 4]), maps, small),
            lambda ids, maps, small: (np.array([3, 2**62]), maps, small),
        ],
        ids=["uint8", "K×H", "K×H×W×1", "K×0×W", "negative class", "huge class"],
    )
    def test_what_is_no_cam_is_refused(self, tmp_path, change):
        if self.has_small and change(np.zeros(2), np.ones((2, 4, 4)), None)[0][1] == 2**62:
            pytest.skip("class numbers have no upper end here")
        np.save(tmp_path / "a.npy", self.broken(change))
        with pytest.raises(InputError, match=r"^a: "):
            self.read(tmp_path / "a.npy")

    @pytest.mark.parametrize(
        "content",
        [
            None,
            3,
            "text",
            [1, 2],
            np.ones((2, 3, 4)),
            {"x": 1},
            {True: np.ones((2, 2))},
            {1.0: np.ones((2, 2))},
            {1: None},
            {1: "x"},
            {1: [[0.5]]},
            {1: np.float32(1)},
            {1: np.ones((2, 2)), 2: np.ones((2, 3))},
            {2**62: np.ones((2, 2))},
            {-(2**62): np.ones((2, 2))},
            {"keys": None},
            {"keys": 3},
            {"keys": "abc"},
            {"keys": [[1], [2, 3]], "cam": np.ones((2, 2, 2))},
            {"keys": np.ones(1)},
            {"keys": [0, 1], "hr_cam": np.float32(1)},
            {"keys": [0, 1], "hr_cam": "x"},
            {"keys": [1], "high_res": np.float32(1)},
            {"keys": [1], "high_res": None},
            {"keys": [1], "cam": np.ones((1, 2, 2))},
            {"keys": [0, 1], "cam": np.ones((1, 2, 2))},
            {"keys": [0, 1], "hr_cam": np.ones((1, 8, 8)), "cam": np.ones((2, 2, 2))},
            {"keys": [1], "high_res": np.ones((1, 8, 8)), "cam": np.ones((2, 2, 2))},
            {"keys": [1, 1], "high_res": np.ones((2, 8, 8))},
            {"keys": [0, 2, 2], "hr_cam": np.ones((2, 8, 8))},
            {"keys": [0, 0], "hr_cam": np.ones((1, 8, 8))},
            {"keys": [5], "high_res": [np.ones((8, 8)), np.ones((8, 9))]},
            {"keys": [3, 1], "hr_cam": np.ones((1, 8, 8))},
            {0: np.full((2, 2), "x")},
            {1: np.full((2, 2), b"x"), 2: np.ones((2, 2))},
            {i: np.ones((i + 1, 2)) for i in range(200)},
            {1: np.ones((2, 2), "i4")},
            *({"keys": [n], "high_res": np.ones((1, 8, 8))} for n in (2**63, 2**70)),
            *({"keys": [0, n], "hr_cam": np.ones((1, 8, 8))} for n in (2**63, 2**70)),
            {"keys": np.ones(1), "high_res": np.ones((1, 8, 8))},
            {"keys": np.array([0.0, 1.0]), "hr_cam": np.ones((1, 8, 8))},
            {"keys": [1], "high_res": np.ones((1, 8, 8)), "cam": "x"},
            {"keys": [0, 1], "hr_cam": np.ones((1, 8, 8)), "cam": "x"},
            {"keys": [1], "high_res": np.full((1, 8, 8), "x")},
            {"keys": [0, 1], "hr_cam": np.full((1, 8, 8), "x"), "cam": np.ones((1, 2, 2))},
            {"keys": [0, 1], "hr_cam": np.ones((1, 8, 8)), "cam": np.full((1, 2, 2), b"x")},
        ],
        ids=lambda content: str(content).replace("\n", " ")[:60],
    )
    def test_other_content_is_refused_with_one_line(self, tmp_path, content):
        np.save(tmp_path / "a.npy", content)
        loaded = self.adapter.load(tmp_path / "a.npy")
        for clip in (False, True):
            with pytest.raises(InputError) as refusal:
                self.adapter.parse(loaded, "a", clip=clip)
            message = str(refusal.value)
            assert message.startswith("a: ")
            assert len(message.splitlines()) == 1
            assert len(message) < 400


class DictContract(AdapterContract):
    """PSA's format, which SC-CAM and SEAM share."""

    relatives = {  # noqa: RUF012
        "float16 of WeakTr": ({3: np.ones((4, 6), "f2"), 0: np.full((4, 6), 0.5, "f2")}, [3, 0]),
        "short keys": ({np.int16(3): np.ones((4, 6), "f4")}, [3]),
        "torch layers": ({3: torch.ones(4, 6), 8: torch.zeros(4, 6)}, [3, 8]),
    }

    def test_crf_dumps_are_refused_with_the_folder_that_is_wanted(self, tmp_path):
        """out_la_crf: 0 is the background, classes are 1-based, channels sum to 1."""
        rng = np.random.default_rng(0)
        for keys in ([0, 5], [0, 1, 2], [0]):
            layers = rng.random((len(keys), 8, 9)).astype(np.float32)
            layers /= layers.sum(axis=0)
            np.save(tmp_path / "a.npy", dict(zip(keys, layers, strict=True)))
            with pytest.raises(InputError, match=r"CRF dump.*out_la_crf.*--out_cam"):
                self.read(tmp_path / "a.npy")

    def test_class_0_with_others_is_no_crf_dump(self, tmp_path):
        for maps in (image(1)[1], image(2)[1]):
            np.save(tmp_path / "a.npy", dict(enumerate(maps)))
            assert self.read(tmp_path / "a.npy").class_ids.tolist() == list(range(len(maps)))

    def test_the_family_and_the_thresholds_of_its_members_are_reported(self, tmp_path):
        self.write(tmp_path / "a.npy")
        adapter, said = detect([tmp_path / "a.npy"])
        assert adapter.name == "psa"
        assert all(word in said for word in ("0.2", "sc_cam (0.15)", "seam (0.26)", "`method`"))

    def test_one_array_may_be_several_classes_but_not_many(self, tmp_path):
        """A file of a few bytes that names one array for all its classes would fill the memory."""
        layer = image(1)[1][0]
        for classes in (16, 17):
            np.save(tmp_path / f"{classes}.npy", dict.fromkeys(range(classes), layer))
        assert self.read(tmp_path / "16.npy").maps.shape == (16, *layer.shape)
        with pytest.raises(InputError, match="17: 17 CAMs repeat 1 stored array"):
            self.read(tmp_path / "17.npy")

    @pytest.mark.parametrize(
        ("content", "found"), [([1], "list"), ({"a\nb": 1}, r"keys ['a\nb']")], ids=["list", "keys"]
    )
    def test_a_refusal_shows_what_was_found(self, content, found):
        assert self.adapter.fits(content) is False
        with pytest.raises(InputError) as refusal:
            self.adapter.parse(content, "a")
        assert f"contains {found}; expected {{class: CAM H×W}}" in str(refusal.value)


class KeyedContract(AdapterContract):
    """Keys and arrays, as PuzzleCAM and IRN's descendants store."""

    # What a refusal says of the layout that is wanted.
    wanted: str

    def test_the_small_copy_of_cams_from_elsewhere_is_the_large_one_smaller(self, tmp_path):
        y, x = np.mgrid[:21, :30].astype(np.float32)
        self.adapter.dump(ImageCams("a", [4, 2], np.stack([y / 20, x / 29])), tmp_path / "a.npy")
        small = self.read(tmp_path / "a.npy").strided
        assert small.shape == (2, 6, 8)
        y, x = np.mgrid[:6, :8]
        expected = np.stack([((y + 0.5) * 3.5 - 0.5) / 20, ((x + 0.5) * 3.75 - 0.5) / 29])
        expected /= expected.max(axis=(1, 2), keepdims=True)  # a class keeps its maximum
        np.testing.assert_allclose(small, expected, atol=1e-5)

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            ([1], "contains list"),
            ({"x": 1}, "contains keys ['x']"),
            ({"keys": np.array([5, 6]), "x": 1}, "keys [5, 6] with ['keys', 'x']"),
            ({"keys": TorchArray(np.array([5, 6]))}, "keys [5, 6] with ['keys']"),
            ({"keys": "abc"}, "keys 'abc' with ['keys']"),
            ({"keys": 1 << 20_000}, "keys int with ['keys']"),
            ({"keys": [1], "high_res": np.array(0.5)}, "keys [1] with ['keys', 'high_res']"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_refusal_shows_what_was_found(self, content, found):
        assert self.adapter.fits(content) is False
        with pytest.raises(InputError) as refusal:
            self.adapter.parse(content, "a")
        assert str(refusal.value) == f"a: {found}; expected {self.wanted}"

    def test_a_small_copy_that_is_no_array_is_named(self, tmp_path):
        class_ids, maps, strided, _ = image(2)
        np.save(tmp_path / "a.npy", stored(self.name, class_ids, maps, strided) | {"cam": "x"})
        with pytest.raises(InputError, match="a: cam is str"):
            self.read(tmp_path / "a.npy")
