"""RecurSeed and RS+EPM (Jo et al., 2022): `<id>.pkl` of keys [0, c+1 …] and `seed` K×H×W.

The background is (1 − max)^2 by default, which equals the constant t* = (1 − t*)^2 = 0.382.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .keyed import KeyedAdapter
from .npy import load_pickle, save_pickle

__all__ = ["RecurSeedAdapter"]


class RecurSeedAdapter(KeyedAdapter):
    name = "recurseed"
    family = "recurseed"
    suffix = ".pkl"
    full_names = ("seed",)
    small_names = ()
    background_first = True

    def load(self, path: Path) -> Any:
        return load_pickle(path)

    def save(self, path: Path, content: Any) -> None:
        save_pickle(path, content)
