"""One of N runs that share a folder of images, as started by Slurm arrays and plain loops."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..errors import InputError

__all__ = ["Shard"]

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count` disjoint parts that together cover a run's images.

    Part 1 of 1 is the whole run and has no name.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str | None) -> Shard:
        """ "2/4" is the second of four parts, None the whole. Raises InputError.

        >>> Shard.parse("2/4").of("abcdefgh")
        ['b', 'f']
        """
        if text is None:
            return cls(1, 1)
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise InputError(f"shard {text!r}: expected I/N with I from 1 to N, e.g. 1/4")
        return cls(int(match[1]), int(match[2]))

    def of(self, items: Sequence[T]) -> list[T]:
        """This shard's images: every N-th, so that neighbours of similar size are spread."""
        return list(items[self.index - 1 :: self.count])

    @property
    def name(self) -> str:
        return f"{self.index}-of-{self.count}" if self.count > 1 else ""
