"""Data that is no danger: read and written back in its own form, or refused by a plain line."""

from __future__ import annotations

import datetime
import pathlib
import pickle
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from adapter_contract import image, shrunk

from c2am_adapters.npy import load_npy, save_npy
from c2am_plugin.errors import InputError, UnsafeFileError
from c2am_plugin.refine.image import refine_image
from c2am_plugin.registry import get_adapter

MAPS = image(2)[1]
SMALL = shrunk(MAPS)
CUE = np.full(MAPS.shape[1:], 0.4, np.float32)


def mapped(values, tmp_path):
    """The values as np.memmap, which pickles under its own name."""
    array = np.memmap(tmp_path / "mapped", values.dtype, "w+", shape=values.shape)
    array[:] = values
    return array


FORMS = {
    "nn.Parameter": lambda _: torch.nn.Parameter(torch.tensor(MAPS)),
    "nn.Parameter without gradient": lambda _: torch.nn.Parameter(torch.tensor(MAPS), False),
    "tensor with gradient": lambda _: torch.tensor(MAPS, requires_grad=True),
    "masked array": lambda _: np.ma.MaskedArray(MAPS, fill_value=7),
    "memmap": lambda tmp_path: mapped(MAPS, tmp_path),
    "list of parameters": lambda _: [torch.nn.Parameter(torch.tensor(layer)) for layer in MAPS],
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("form", FORMS)
def test_maps_of_any_harmless_form_are_refined(tmp_path, form, protocol):
    value = FORMS[form](tmp_path)
    content = {"keys": torch.tensor([0, 4]), "cam": torch.tensor(SMALL), "high_res": value}
    holder = np.empty((), object)
    holder[()] = content
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(holder, file, protocol=protocol)
    adapter = get_adapter("advcam")
    cams = adapter.parse(adapter.load(tmp_path / "a.npy"), "a")
    np.testing.assert_array_equal(cams.maps, MAPS)
    adapter.dump(refine_image(cams, CUE, 0.15), tmp_path / "b.npy")
    again = np.load(tmp_path / "b.npy", allow_pickle=True).item()["high_res"]
    wanted = np.ndarray if form == "memmap" else type(value)
    assert type(again) is wanted
    if form.startswith("nn.Parameter"):
        assert again.requires_grad == value.requires_grad
    if form == "masked array":
        assert again.fill_value == 7
        assert not again.mask.any()
    if form == "list of parameters":
        assert all(type(layer) is torch.nn.Parameter for layer in again)
    values = [layer.detach().numpy() if torch.is_tensor(layer) else layer for layer in again]
    np.testing.assert_array_equal(np.stack(values), refine_image(cams, CUE, 0.15).maps)


def dicts(kind):
    """One file's dict, of each kind."""
    pairs = list(zip([0, 4], MAPS, strict=True))
    if kind == "0-dim tensors as keys":
        return {torch.tensor(key): layer for key, layer in pairs}
    if kind == "numpy integers as keys":
        return {np.int32(key): layer for key, layer in pairs}
    if kind == "OrderedDict":
        return OrderedDict(pairs)
    found = defaultdict(None if kind == "defaultdict of nothing" else list)
    found.update(pairs)
    return found


@pytest.mark.parametrize(
    "kind",
    [
        "0-dim tensors as keys",
        "numpy integers as keys",
        "OrderedDict",
        "defaultdict",
        "defaultdict of nothing",
    ],
)
def test_dicts_and_keys_of_any_kind_survive(tmp_path, kind):
    content = dicts(kind)
    np.save(tmp_path / "a.npy", content)
    adapter = get_adapter("psa")
    cams = adapter.parse(adapter.load(tmp_path / "a.npy"), "a")
    assert cams.class_ids.tolist() == [0, 4]
    adapter.dump(refine_image(cams, CUE, 0.2), tmp_path / "b.npy")
    again = np.load(tmp_path / "b.npy", allow_pickle=True).item()
    assert type(again) is type(content)
    assert getattr(again, "default_factory", 0) == getattr(content, "default_factory", 0)
    assert [(type(key), int(key)) for key in again] == [(type(key), int(key)) for key in content]


@pytest.mark.parametrize(
    "value",
    [
        torch.Size([3, 4]),
        torch.float32,
        np.float32,
        np.float64(0.5),
        np.bool_(True),
        torch.tensor(3),
        OrderedDict(a=1),
        defaultdict(dict, {"a": {}}),
    ],
    ids=repr,
)
def test_what_stands_beside_the_maps_is_carried_over(tmp_path, value):
    np.save(tmp_path / "a.npy", {"keys": [0], "more": value})
    save_npy(tmp_path / "b.npy", load_npy(tmp_path / "a.npy"))
    again = np.load(tmp_path / "b.npy", allow_pickle=True).item()["more"]
    assert type(again) is type(value)
    assert again == value


class Shaped(torch.Tensor):
    """A tensor of a class of its own."""


def with_attribute():
    tensor = torch.ones(2)
    tensor.note = "x"
    return tensor


PLAIN = {
    "bfloat16": (lambda: torch.ones(2, dtype=torch.bfloat16), "bfloat16 torch tensor"),
    "complex64": (lambda: torch.ones(2, dtype=torch.complex64), "complex torch tensor"),
    "complex128": (lambda: torch.ones(2, dtype=torch.complex128), "complex torch tensor"),
    "uint16": (lambda: torch.ones(2, dtype=torch.uint16), "that numpy lacks"),
    "float8": (lambda: torch.ones(2).to(torch.float8_e5m2), "that numpy lacks"),
    "sparse": (lambda: torch.eye(2).to_sparse(), "sparse torch tensor"),
    "attribute": (with_attribute, "with attributes"),
    "device": (lambda: torch.device("cpu"), "torch.device"),
    "masked": (lambda: np.ma.masked_less(MAPS, 0.5), "masked values"),
    "complex array": (lambda: np.ones(2, "c8"), "dtype complex64"),
    "dates": (lambda: np.array(["2020-01-01"], "M8[D]"), "dtype datetime64"),
    "records": (lambda: np.rec.array([(1, 2.0)]), "array of records"),
    "set": (lambda: {1, 2}, "Python set"),
    "frozenset": (lambda: frozenset((1,)), "Python"),
    "complex number": (lambda: 1 + 2j, "Python complex"),
    "path": (lambda: pathlib.PurePosixPath("a/b"), "PurePosixPath"),
    "date": (lambda: datetime.datetime(2020, 1, 1), "datetime.datetime"),
    "counter": (lambda: Counter("aab"), "collections.Counter"),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", PLAIN)
def test_other_data_is_refused_without_an_alarm(tmp_path, name, protocol):
    build, said = PLAIN[name]
    holder = np.empty((), object)
    holder[()] = {"keys": [0, 1], "x": build()}
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(holder, file, protocol=protocol)
    with pytest.raises(InputError, match=said) as refusal:
        load_npy(tmp_path / "a.npy")
    message = str(refusal.value)
    assert not isinstance(refusal.value, UnsafeFileError)
    assert message.startswith(f"{tmp_path / 'a.npy'}: contains a")
    assert "damaged" not in message
    assert "allow_pickle" not in message
    assert len(message.splitlines()) == 1


def test_a_factory_that_is_code_is_an_alarm(tmp_path):
    np.save(tmp_path / "a.npy", defaultdict(pathlib.Path.cwd, {1: 2}))
    with pytest.raises(UnsafeFileError, match=r"getattr|cwd"):
        load_npy(tmp_path / "a.npy")
