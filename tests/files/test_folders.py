"""Names of files and samples of them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from c2am_plugin.files.folders import sample


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 32, 500, 512, 999])
@pytest.mark.parametrize("length", [1, 2, 15, 17, 31, 33, 37, 513, 998, 999, 1000, 1464])
def test_a_sample_covers_the_whole_range(length, count):
    items = range(length)
    found = sample(items, count)
    assert len(found) == min(count, length)
    assert found == sorted(set(found))
    # Every stretch of length/count items, up to both ends, has one.
    bounds = [-1, *found, length]
    assert max(b - a for a, b in pairwise(bounds)) <= -(-length // count) + 1


@pytest.mark.parametrize(("items", "count"), [([], 5), ("abc", 0)])
def test_a_sample_of_nothing_is_empty(items, count):
    assert sample(items, count) == []
