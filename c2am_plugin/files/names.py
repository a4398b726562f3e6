"""Matches files of two folders whose names differ slightly.

Names may differ in Unicode form (two ways to write one letter) or in an ending or beginning that a
tool adds to all names ("a_sal", "a.jpg", "sal_a"). Only names are known here.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from .folders import first_names

__all__ = ["known_names", "normal_form", "under_ids", "unlike"]

T = TypeVar("T")
log = logging.getLogger("c2am_plugin")

ENDING = re.compile(r"[-_. ].*[A-Za-z].*", re.DOTALL)
BEGINNING = re.compile(r".*[A-Za-z].*[-_. /]", re.DOTALL)
# The share of the files that must have an ending for it to come from a tool.
MOST = 0.9


def normal_form(name: str) -> str:
    """One spelling for names that look the same: "é" may be one character, or "e" and an accent."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def known_names(names: Iterable[str]) -> dict[str, str]:
    """{normal form: name}, for looking up names."""
    return {normal_form(name): name for name in names}


def under_ids(found: Mapping[str, T], ids: Collection[str], what: str) -> dict[str, T]:
    """`found`, {id: T}, with its ids spelled as in `ids`.

    If the two share no id, an ending or beginning that nearly all names of `found` add to `ids` is
    removed, and reported. what: "cues", for the message. Names that match none of `ids` stay
    unchanged.

    >>> under_ids({"a_sal": 1, "b_sal": 2}, ["a", "b"], "cues")
    {'a': 1, 'b': 2}
    """
    known, exact = known_names(ids), set(ids)
    spelled = {
        name if name in exact else known.get(normal_form(name), name): value
        for name, value in found.items()
    }
    if not exact or any(name in exact for name in spelled):
        return spelled
    for cut in (_ending, _beginning):
        affix, fitting = cut(spelled, known)
        if affix and len(fitting) >= MOST * min(len(spelled), len(known)):
            example = next(iter(fitting))
            log.info(
                "the names of the %s add %r to the ids (%s is matched to %s)",
                what,
                affix,
                example,
                fitting[example],
            )
            return {fitting.get(name, name): value for name, value in spelled.items()}
    return spelled


def unlike(left: Iterable[str], right: Iterable[str]) -> str:
    """Why two sets of ids may share no id: an example of each, and the likely reason."""
    one, other = next(iter(left), ""), next(iter(right), "")
    reason = "expected the same names"
    if one.lower() == other.lower():
        reason = "they differ in upper and lower case"
    elif Path(one).name == Path(other).name:
        reason = "they are in different folders"
    elif one.lstrip("0") == other.lstrip("0") or (one.isdigit() and other.isdigit()):
        reason = "the numbers have a different number of leading zeros, or the images differ"
    elif one and other and (one in other or other in one):
        reason = "one name contains the other, but not all names differ by the same part"
    elif re.sub(r"\d", "0", one) == re.sub(r"\d", "0", other):
        reason = "the names have the same form, so the images differ, e.g. another split"
    return f"{first_names([one])} here and {first_names([other])} there: {reason}"


def _ending(names: Iterable[str], known: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    found = {
        name: {
            name[at:]: known[head]
            for at in range(1, len(name))
            if (head := normal_form(name[:at])) in known
        }
        for name in names
    }
    return _shared(found, ENDING)


def _beginning(names: Iterable[str], known: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    found = {
        name: {
            name[:at]: known[tail]
            for at in range(1, len(name))
            if (tail := normal_form(name[at:])) in known
        }
        for name in names
    }
    return _shared(found, BEGINNING)


def _shared(
    found: Mapping[str, Mapping[str, str]], form: re.Pattern[str]
) -> tuple[str, dict[str, str]]:
    """The most frequent affix, and {name: id} of the names with it."""
    counts = Counter(
        affix for each in found.values() for affix in each if form.fullmatch(affix)
    ).most_common(1)
    if not counts:
        return "", {}
    affix = counts[0][0]
    return affix, {name: each[affix] for name, each in found.items() if affix in each}
