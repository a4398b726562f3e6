"""The released network's numbers."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from c2am_plugin.network.model import C2AM

GOLDEN = Path(__file__).parents[3] / "shared/data/golden/numerics"


needs_golden = pytest.mark.skipif(
    not GOLDEN.exists(), reason=f"the released numbers are not here: {GOLDEN}"
)


def fill(model: C2AM) -> None:
    """Weights that depend on their names alone: the rule that the released numbers were made by."""
    for name, value in model.state_dict().items():
        if value.ndim == 4:
            random = np.random.RandomState(zlib.crc32(name.encode()))
            fan_in = math.prod(value.shape[1:])
            filled = random.standard_normal(value.shape) * math.sqrt(1.5 / fan_in)
            value.copy_(torch.from_numpy(filled.astype(np.float32)))
        elif name.endswith("bn3.weight"):
            value.fill_(0.3)
        elif name.endswith(("weight", "running_var")):
            value.fill_(1)
        else:
            value.zero_()
