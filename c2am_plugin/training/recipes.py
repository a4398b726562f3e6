"""Recipes by name, and changes of their numbers: what the tables of all networks share."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from ..errors import InputError
from .settings import FEW_IMAGES

__all__ = ["changed", "check_numbers", "choose_recipe", "with_full_batches"]

log = logging.getLogger(__name__)

R = TypeVar("R")


def choose_recipe(recipe: R | str, n_images: int, many: str = "paper") -> R | str:
    """The recipe that "auto" means for that number of images; any other is returned unchanged."""
    if recipe != "auto":
        return recipe
    return "small" if n_images < FEW_IMAGES else many


def with_full_batches(recipe: R, given: bool, n_images: int, n_ranks: int) -> R:
    """The recipe with batches that the images fill. given: the batch size, by the caller, so that
    it may not change. Raises InputError, also where a process would get no image."""
    size: int = recipe.batch_size  # type: ignore[attr-defined]
    if size > n_images:
        if given:
            raise InputError(
                f"batch size {size} with {n_images} images: no batch would ever be full; "
                f"take `batch_size={n_images}` or less"
            )
        log.info("%d images do not fill a batch of %d: using one batch of all", n_images, size)
        size = n_images
    if size < n_ranks:
        raise InputError(
            f"batch size {size} for {n_ranks} processes: each needs at least one image"
        )
    return replace(recipe, batch_size=size)  # type: ignore[type-var]


def changed(recipes: Mapping[str, R], recipe: R | str, numbers: Mapping[str, Any]) -> R:
    """A recipe, given or by name, with those `numbers` replaced that are not None.

    Raises InputError for an unknown recipe, TypeError for a number that recipes do not have.
    """
    if isinstance(recipe, str):
        if recipe not in recipes:
            raise InputError(f"recipe {recipe!r} is unknown; expected auto, {', '.join(recipes)}")
        recipe = recipes[recipe]
    known = [field.name for field in fields(recipe)]  # type: ignore[arg-type]
    if unknown := sorted(set(numbers) - set(known)):
        raise TypeError(f"{unknown[0]} is not a number of a recipe; expected {', '.join(known)}")
    given = {name: value for name, value in numbers.items() if value is not None}
    return replace(recipe, **given)  # type: ignore[type-var]


def check_numbers(recipe: Any, may_be_zero: Collection[str]) -> None:
    """Raise InputError for a number that is negative or not finite, or a count of 0."""
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        counts = type(value) is int and field.name not in may_be_zero
        least = 1 if counts else 0
        if isinstance(value, (int, float)) and not (value >= least and math.isfinite(value)):
            raise InputError(f"{field.name} {value}: expected {least} or more")
