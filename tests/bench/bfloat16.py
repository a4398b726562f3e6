"""Whether bfloat16 is worth timing: processors without it emulate it, which takes minutes."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["has_bfloat16"]


def has_bfloat16(device: torch.device) -> bool:
    """True for a GPU, and for an x86 processor with AVX512-BF16 or AMX, as Linux reports them."""
    if device.type != "cpu":
        return True
    try:
        words = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(words)
