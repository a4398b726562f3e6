"""How to train, as a table: every number that a recipe fixes, and nothing else.

The paper's appendix and the authors' released code differ; both are here by name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from ..errors import InputError
from ..training.settings import FEW_IMAGES

__all__ = ["RECIPES", "Recipe", "choose_recipe", "learning_rate", "make_recipe"]

# With fewer places than this on a side, P has no room for a foreground and a background.
SMALLEST_P = 4


@dataclass(frozen=True)
class Recipe:
    """SGD on random crop×crop views of images resized to resize×resize.

    schedule           "cosine", or "poly": (1 − step/steps)^0.9; both move at every step
    convolutions_only  train the weights of convolutions; BatchNorm's scale and shift, and biases,
                       stay, while running statistics move
    alpha              of the loss: how fast a pair's weight falls with its rank
    output_stride      pixels of the image for one of P
    head_steps         steps at the start in which the head alone learns, at ten times the rate
    least_steps        as many epochs more as it takes for this number of steps
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
        """Epochs over so many images, of whole batches only."""
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


def choose_recipe(name: str, n_images: int) -> str:
    """The recipe that "auto" stands for with so many images; any other name stays."""
    if name != "auto":
        return name
    return "small" if n_images < FEW_IMAGES else "paper"


def make_recipe(name: str, **changes: Any) -> Recipe:
    """The recipe of that name with the changes that are not None. Raises InputError.

    A crop that is given without a resize takes it along: 224 of 256 for the paper's 448 of 512.
    """
    if name not in RECIPES:
        raise InputError(f"recipe {name!r} is unknown; expected auto, {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    changes = {key: value for key, value in changes.items() if value is not None}
    if "epochs" in changes:
        changes["least_steps"] = 0
    if "crop" in changes and "resize" not in changes:
        changes["resize"] = round(changes["crop"] * recipe.resize / recipe.crop)
    recipe = replace(recipe, **changes)
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
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        counts = field.name not in ("head_steps", "least_steps") and type(value) is int
        least = 1 if counts else 0
        if isinstance(value, (int, float)) and not (value >= least and math.isfinite(value)):
            raise InputError(f"{field.name} {value}: expected {least} or more")
    return recipe


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of step number `step`, counted from 0, of `steps`."""
    if step < recipe.head_steps:
        return 10 * recipe.lr
    step, steps = step - recipe.head_steps, steps - recipe.head_steps
    if recipe.schedule == "cosine":
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
    return recipe.lr * (1 - step / steps) ** 0.9
