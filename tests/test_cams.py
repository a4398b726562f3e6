"""What ImageCams takes for CAMs, whatever file or code they come from."""

from __future__ import annotations

import numpy as np
import pytest

from c2am_plugin.cams import ImageCams
from c2am_plugin.errors import InputError

MAPS = np.full((2, 4, 6), 0.5, np.float32)


@pytest.mark.parametrize(
    ("class_ids", "said"),
    [
        ([1.0, 2.0], r"class ids are float64 \(2,\), not int"),
        ([True, False], r"class ids are bool \(2,\), not int"),
        (["cat", "dog"], r"class ids are <U3 \(2,\), not int"),
        ([[1, 2]], r"class ids are int64 \(1, 2\), not int"),
        (3, r"class ids are int64 \(\), not int"),
        ([-1, 2], "class id -1 is negative"),
        ([4, 4], r"class ids \[4, 4\] contain one class twice"),
    ],
)
def test_class_ids_that_are_none(class_ids, said):
    with pytest.raises(InputError, match=f"^sub/a: {said}"):
        ImageCams("sub/a", np.array(class_ids), MAPS)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_class_ids_of_any_integer_type_are_int64(dtype):
    cams = ImageCams("a", np.array([7, 3], dtype), MAPS)
    assert cams.class_ids.dtype == np.int64
    assert cams.class_ids.tolist() == [7, 3]
    assert ImageCams("a", np.zeros(0), MAPS[:0]).class_ids.dtype == np.int64
