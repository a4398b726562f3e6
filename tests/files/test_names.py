"""Names of two folders that are of the same images, though not the same."""

from __future__ import annotations

import logging
import unicodedata

import pytest

from c2am_plugin.files.names import under_ids, unlike

NFD = unicodedata.normalize("NFD", "größe")


def values(found, ids):
    return under_ids(dict(zip(found, range(len(found)), strict=True)), ids, "cues")


def test_the_same_names_stay():
    assert values(["a", "a_sal", "b"], ["a", "b"]) == {"a": 0, "a_sal": 1, "b": 2}


@pytest.mark.parametrize(("there", "wanted"), [(NFD, "größe"), ("größe", NFD)])
def test_another_normal_form_is_the_same_name(there, wanted):
    assert there != wanted
    assert values([there, "a"], [wanted]) == {wanted: 0, "a": 1}


def test_two_spellings_of_one_name_are_two_files():
    assert values([NFD, "größe"], ["größe", NFD]) == {NFD: 0, "größe": 1}


@pytest.mark.parametrize(
    ("found", "ids"),
    [
        (["a_sal", "b_sal"], ["a", "b"]),
        (["a.jpg", "b.jpg"], ["a", "b", "c"]),
        (["a-saliency"], ["a"]),
        (["1_mask", "10_mask", "11_mask"], ["1", "10", "11"]),
        (["sal_a", "sal_b"], ["a", "b"]),
        (["val/a", "val/b"], ["a", "b"]),
        (["2007_000032_sal", "2007_000039_sal"], ["2007_000032", "2007_000039"]),
    ],
)
def test_what_all_names_have_more_is_dropped_and_reported(found, ids, caplog):
    caplog.set_level(logging.INFO, "c2am_plugin")
    assert values(found, ids) == {ids[i]: i for i in range(len(found))}
    assert f"{found[0]} is matched to {ids[0]}" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("found", "ids"),
    [
        (["10", "11"], ["1"]),
        (["2007_000032"], ["2007"]),
        (["a_sal", "b_map"], ["a", "b"]),
        (["a_sal", "x", "y", "z"], ["a", "b", "c", "d"]),
        (["a", "a_sal"], ["a"]),
    ],
)
def test_other_names_stay(found, ids):
    assert list(values(found, ids)) == found


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        ("Cat", "cat", "upper and lower case"),
        ("val/a", "train/a", "different folders"),
        ("32", "000032", "zeros"),
        ("2007_000032", "2008_000001", "another split"),
        ("x", "q7", "the same names"),
    ],
)
def test_why_names_differ(left, right, reason):
    said = unlike([left], [right])
    assert said.startswith(f"{left} here and {right} there: ")
    assert reason in said
