"""The training recipes of the saliency network, as a table of all their numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import InputError
from ..training.recipes import changed, check_numbers

__all__ = ["RECIPES", "Recipe", "make_recipe"]

SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Recipe:
    """Adam on randomly mirrored images, one at a time; a step sums `accumulate` gradients.

    lr, weight_decay  of Adam. The rate is constant: PoolNet divides it by ten after 15 of its 24
                      epochs, which the nine epochs on cues never reach
    side              every image is resized to a square of this side; 0: images keep their sizes
    width             channels of the head's widest level (`net.PoolNet`)
    output_stride     pixels of the image per pixel of the coarsest map
    """

    lr: float
    weight_decay: float
    epochs: int
    accumulate: int
    side: int
    width: int
    output_stride: int


# C2AM, appendix A.2; what it leaves open follows the released code of C2AM and PoolNet.
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
    # For a few hundred images and little time: squares of about the size of c2am-train's small
    # recipe, and a narrow head.
    "small": replace(_PAPER, side=256, width=128),
}


def make_recipe(recipe: Recipe | str, **numbers: Any) -> Recipe:
    """A recipe, given or by name, with those `numbers` replaced that are not None. Raises
    InputError."""
    recipe = changed(RECIPES, recipe, numbers)
    if recipe.side and recipe.side < SMALLEST_SIDE:
        raise InputError(
            f"side {recipe.side}: expected {SMALLEST_SIDE} or more, or 0 to keep the images' sizes"
        )
    check_numbers(recipe, may_be_zero=("side",))
    return recipe
