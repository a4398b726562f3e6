"""Images that are names and nothing else, for tests of how runs go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Named", "OnNames", "named"]


@dataclass(frozen=True)
class Named:
    image_id: str


@dataclass(frozen=True)
class OnNames:
    """Work that calls a function with the image's name."""

    function: Callable[[str], Any]

    def __call__(self, image: Named) -> Any:
        return self.function(image.image_id)


def named(names: Iterable[str]) -> list[Named]:
    return [Named(name) for name in names]
