"""The torch tensors and globals of a pickled CAM file, as the reader and the writer share them.

Nothing here imports torch: a `TorchArray` represents a tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "STORAGES",
    "SYS_INFO",
    "TORCH_MAGIC",
    "TORCH_PROTOCOL",
    "GlobalName",
    "TorchArray",
    "TorchSize",
]


@dataclass(frozen=True, eq=False)
class TorchArray:
    """A torch tensor in a file, as a numpy array of its values.

    parameter: None for a plain tensor; for an nn.Parameter, its requires_grad.
    """

    array: np.ndarray
    parameter: bool | None = None


class TorchSize(tuple[int, ...]):
    """A torch.Size in a file."""


class GlobalName:
    """The name of a global in a pickle, "module.name"; never the global itself."""

    def __init__(self, name: str) -> None:
        self.name = name


# torch's legacy storage format: torch.save used it before 1.6, tensors in pickles still do.
STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}
TORCH_MAGIC, TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYS_INFO = {
    "protocol_version": TORCH_PROTOCOL,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
