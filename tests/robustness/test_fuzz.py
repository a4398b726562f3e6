"""A part of the fuzzing, with a fixed seed, and proof that the harness sees what it looks for.

`python tests/robustness/fuzz_long.py` is the whole of it.
"""

from __future__ import annotations

import sys

import pytest
from fuzz_readers import case, kinds, run_cases

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="memory is measured through /proc"
    ),
]

# So many of each; the CAM files are what comes from elsewhere most often.
CASES = {"CAM .npy": 1000, "checkpoint": 20}
MODULES = {kind: module for module in ("fuzz_cams", "fuzz_files") for kind in kinds(module)}


@pytest.mark.parametrize("kind", MODULES)
def test_every_file_is_read_or_refused(tmp_path, kind):
    tally = run_cases(MODULES[kind], kind, 7, range(CASES.get(kind, 100)), tmp_path)
    assert tally.findings == {}
    assert tally.cases == CASES.get(kind, 100)
    assert tally.read + tally.refused == tally.cases
    assert min(tally.read, tally.refused) > 0
    assert 0 < tally.share <= 1


def test_a_case_can_be_made_again():
    for kind, module in MODULES.items():
        if kind != "checkpoint":  # torch numbers what it writes
            assert all(case(module, kind, 3, n) == case(module, kind, 3, n) for n in range(20)), (
                kind
            )


# What a reader must not do, and what the harness says of it.
SINS = {
    "code": "os.system",
    "pickle": "pickle.find_class",
    "import": "import",
    "another file": "open",
    "memory": "took",
    "exception": "ZeroDivisionError: ",
    "crash": "the process ended with -11",
    "time": "the process ended with -24",
    "long message": "a message of",
    "control characters": "a message of",
    "no name": "no file is named",
    "wrong value": "AssertionError",
}


@pytest.mark.parametrize("sin", SINS)
def test_a_reader_that_does_wrong_is_found(tmp_path, sin):
    bad = {n for n in range(8) if case("fuzz_sins", sin, 1, n)[1] == b"bad"}
    assert 0 < len(bad) < 8
    tally = run_cases("fuzz_sins", sin, 1, range(8), tmp_path)
    assert (tally.cases, tally.read) == (8, 8 - len(bad))
    assert set(tally.findings) == bad
    for number in bad:
        assert SINS[sin] in tally.findings[number][1]
        assert (tmp_path / f"{sin}-1-{number}.bin").read_bytes() == b"bad"


def test_what_is_refused_and_what_is_read_are_counted(tmp_path):
    tally = run_cases("fuzz_sins", "none", 1, range(20), tmp_path)
    assert (tally.cases, tally.findings) == (20, {})
    assert tally.read == sum(case("fuzz_sins", "none", 1, n)[1] == b"good" for n in range(20))
    assert 0 < tally.refused == 20 - tally.read
