"""How to train the saliency network, as a table: every number that a recipe fixes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import InputError
from ..training.recipes import changed, check_numbers

__all__ = ["RECIPES", "Recipe", "make_recipe"]

SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Recipe:
    """Adam on mirrored images, one at a time; the gradients of `accumulate` of them make a step.

    lr, weight_decay  of Adam. The rate stays as it is: PoolNet divides it by ten after 15 of its 24
                      epochs, which the nine epochs on cues never reach
    side              every image becomes a square of so many pixels; 0: images keep their sizes
    width             channels of the head's widest level (`net.PoolNet`)
    output_stride     pixels of the image for one of the coarsest map
    """

    lr: float
    weight_decay: float
    epochs: int
    accumulate: int
    side: int
    width: int
    output_stride: int


# C2AM, appendix A.2, and for what it leaves open the released code of it and of PoolNet.
_PAPER = Recipe(
    lr=5e-5,
    weight_decay=5e-4,
    epochs=9,
    accumulate=10,
    side=0,
    width=512,
    output_stride=16,
)

RECIPES = {
    "paper": _PAPER,
    # Some hundred images and little time: squares of about the size that c2am-train's small recipe
    # sees, and a narrow head.
    "small": replace(_PAPER, side=256, width=128),
}


def make_recipe(recipe: Recipe | str, **numbers: Any) -> Recipe:
    """A recipe, or the one of that name, with the numbers that are not None. Raises InputError."""
    recipe = changed(RECIPES, recipe, numbers)
    if recipe.side and recipe.side < SMALLEST_SIDE:
        raise InputError(
            f"side {recipe.side}: expected {SMALLEST_SIDE} or more, or 0 for images as they are"
        )
    check_numbers(recipe, may_be_zero=("side",))
    return recipe
