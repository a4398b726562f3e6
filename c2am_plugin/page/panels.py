"""Pictures of one image beside each other, and how many a page can hold.

Knows data URIs and captions, not what the pictures show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["MOST_BYTES", "Panel", "within"]

T = TypeVar("T")
# Of all pictures of a page together: with its text it stays below 5 MB.
MOST_BYTES = 4_500_000


@dataclass(frozen=True)
class Panel:
    """One picture. chips: (CSS colour, text) below its title."""

    title: str
    uri: str
    chips: Sequence[tuple[str, str]] = ()


def within(
    items: Iterable[T], panels_of: Callable[[T], list[Panel]], most: int = MOST_BYTES
) -> tuple[list[tuple[T, list[Panel]]], int]:
    """The items with their panels, as many as fit into `most` bytes, and how many do not fit."""
    shown: list[tuple[T, list[Panel]]] = []
    left_out, used = 0, 0
    for item in items:
        if used >= most:
            left_out += 1
            continue
        panels = panels_of(item)
        used += sum(len(panel.uri) for panel in panels)
        if used >= most:
            left_out += 1
        else:
            shown.append((item, panels))
    return shown, left_out
