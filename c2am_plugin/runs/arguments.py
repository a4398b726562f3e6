"""Checks of arguments that several public functions share. Knows numbers and names only."""

from __future__ import annotations

from typing import TypeVar

from ..errors import InputError

__all__ = ["check_least", "either"]

T = TypeVar("T")


def check_least(least: int, **values: int | None) -> None:
    """Raise InputError for a value below `least`; None passes."""
    for name, value in values.items():
        if value is not None and value < least:
            raise InputError(f"{name} {value}: expected {least} or more")


def either(names: str, value: T, default: T, second: T | None) -> T:
    """The value of an argument with two names, of which older scripts use the second.

    Raises InputError if both are given.
    """
    if second is None:
        return value
    if value != default:
        raise InputError(f"{names}: two names of the same argument; give only one of them")
    return second
