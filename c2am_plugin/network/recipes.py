"""How to train, as a table: every number that a recipe fixes, and nothing else.

The paper's appendix and the authors' released code differ; both are here by name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InputError
from ..training.recipes import changed, check_numbers

__all__ = ["HEAD_RATE", "RECIPES", "Recipe", "learning_rate", "make_recipe"]

# The rate of the head while it learns alone, over the recipe's.
HEAD_RATE = 10

SCHEDULES = ("cosine", "poly")

# With fewer places than this on a side, P has no room for a foreground and a background.
SMALLEST_P = 4


@dataclass(frozen=True)
class Recipe:
    """The numbers of C2AM's training: SGD on random crop×crop views of images resized to squares.

    lr                 learning rate, from 0
    schedule           "cosine", or "poly": (1 − step/steps)^0.9; both move at every step
    momentum           of SGD, in [0, 1)
    weight_decay       of SGD, from 0
    convolutions_only  train the weights of convolutions; BatchNorm's scale and shift, and biases,
                       stay, while running statistics move
    alpha              of the loss: how fast a pair's weight falls with its rank, from 0
    resize, crop       pixels: side of the square an image becomes, and of the random crop of it
    output_stride      pixels of the image for one of P
    batch_size         images that are compared with each other, from 2
    epochs             passes over the images, from 1
    head_steps         steps at the start in which the head alone learns, at ten times the rate
    least_steps        as many epochs more as it takes for this number of steps

    `RECIPES` has those with a name. `dataclasses.replace` changes one:

    >>> from dataclasses import replace
    >>> replace(RECIPES["paper"], batch_size=32, epochs=5).alpha
    0.25
    """

    lr: float
    schedule: str
    momentum: float
    weight_decay: float
    convolutions_only: bool
    alpha: float
    resize: int
    crop: int
    output_stride: int
    batch_size: int
    epochs: int
    head_steps: int = 0
    least_steps: int = 0

    def epochs_for(self, n_images: int) -> int:
        """Epochs over n_images images, of whole batches only."""
        per_epoch = max(1, n_images // self.batch_size)
        return max(self.epochs, math.ceil(self.least_steps / per_epoch))


_PAPER = Recipe(
    lr=1e-4,
    schedule="cosine",
    momentum=0.9,
    weight_decay=1e-4,
    convolutions_only=False,
    alpha=0.25,
    resize=512,
    crop=448,
    output_stride=16,
    batch_size=128,
    epochs=10,
)

RECIPES = {
    # Appendix A.1, for segmentation: 10,582 images of PASCAL VOC.
    "paper": _PAPER,
    # What the released code does: its weight decay stands where SGD takes the momentum.
    "released": replace(_PAPER, lr=1e-3, schedule="poly", momentum=1e-4, convolutions_only=True),
    # Class-agnostic boxes; batch and epochs of CUB-200-2011 (ImageNet: 256 and 5). Maps are made as
    # squares of 448: c2am-cues --scales 448.
    "localisation": replace(_PAPER, alpha=0.05, resize=256, crop=224, batch_size=16, epochs=20),
    # Some hundred images and little time. The paper's ten epochs would be ten or twenty steps, so
    # there are more, with a higher rate; the head starts alone, because a random head over features
    # that move with it may never find the two sides; and images are small, but P is fine.
    "small": replace(
        _PAPER,
        lr=1e-3,
        resize=256,
        crop=224,
        output_stride=8,
        batch_size=48,
        head_steps=16,
        least_steps=64,
    ),
}


def make_recipe(recipe: Recipe | str, **numbers: Any) -> Recipe:
    """A recipe, or the one of that name, with the numbers that are not None. Raises InputError.

    A crop that is given without a resize takes it along: 224 of 256 for the paper's 448 of 512.
    """
    if numbers.get("epochs") is not None:
        numbers["least_steps"] = 0
    if numbers.get("crop") is not None and numbers.get("resize") is None:
        own = changed(RECIPES, recipe, {})
        numbers["resize"] = round(numbers["crop"] * own.resize / own.crop)
    recipe = changed(RECIPES, recipe, numbers)
    check_numbers(recipe, may_be_zero=("head_steps", "least_steps"))
    if recipe.batch_size < 2:
        raise InputError(
            f"batch size {recipe.batch_size}: the loss compares the images of a batch with each "
            "other; take at least 2, and 32 or more for good maps"
        )
    smallest = SMALLEST_P * recipe.output_stride
    if not smallest <= recipe.crop <= recipe.resize:
        raise InputError(
            f"crop {recipe.crop} of images resized to {recipe.resize}: expected at least "
            f"{smallest} at output stride {recipe.output_stride}, and at most {recipe.resize}"
        )
    if recipe.schedule not in SCHEDULES:
        raise InputError(f"schedule {recipe.schedule!r}: expected {' or '.join(SCHEDULES)}")
    return recipe


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of step number `step`, counted from 0, of `steps`."""
    if step < recipe.head_steps:
        return HEAD_RATE * recipe.lr
    step, steps = step - recipe.head_steps, steps - recipe.head_steps
    if recipe.schedule == "cosine":
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
    return recipe.lr * (1 - step / steps) ** 0.9
