"""The device that a network runs on: its choice, its precision, and detecting full memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import InputError
from ..runs.ranks import cores, local_rank

__all__ = ["autocast_type", "full_float32", "is_out_of_memory", "pick_device", "torch_threads"]


# Messages of PyTorch, CUDA, cuBLAS and the C++ library that have no exception class of their own.
MEMORY_FULL = (
    "can't allocate memory",
    "out of memory",
    "ALLOC_FAILED",
    "bad_alloc",
    "not enough mem",
)


def pick_device(name: str | None = None) -> torch.device:
    """The device of that name; default a GPU if there is one. Under torchrun each process takes
    the GPU of its number. Raises InputError."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    number = local_rank()
    if number is not None and name.startswith("cuda:"):
        raise InputError(
            f"device {name!r}: under torchrun each process takes the GPU of its number; expected "
            "cuda"
        )
    try:
        device = torch.device(name if number is None or name != "cuda" else f"cuda:{number}")
        torch.zeros(1, device=device)
        if number is not None and device.type == "cuda":
            torch.cuda.set_device(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        hint = "try cpu" if number is None else "start one process per GPU, or try cpu"
        raise InputError(f"device {name!r} cannot be used ({reason}); {hint}") from error
    return device


@contextmanager
def torch_threads(workers: int) -> Iterator[None]:
    """Within the block each of `workers` threads gets its share of the cores, at least one.

    Threads started inside inherit the number; otherwise each would use one thread per core.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def full_float32() -> Iterator[None]:
    """Within the block a GPU's convolutions use float32's 24 bits; TF32 has 11.

    With TF32 a map differs from the CPU's by up to 4e-3, without TF32 by less than 1e-3.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def autocast_type(amp: bool | None, where: torch.device) -> torch.dtype | None:
    """bfloat16 for autocast, or None for none. amp None: autocast on a GPU with bfloat16.

    float16 is not offered: it would need loss scaling. Raises InputError for a GPU without
    bfloat16 if `amp` is true.
    """
    if where.type == "cuda":
        able = torch.cuda.get_device_capability(where) >= (8, 0)
        if amp and not able:
            raise InputError(
                f"{torch.cuda.get_device_name(where)} does not support bfloat16; omit `amp`"
            )
        return torch.bfloat16 if able and amp is not False else None
    return torch.bfloat16 if amp else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the GPU's or the machine's memory is full."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in MEMORY_FULL)
