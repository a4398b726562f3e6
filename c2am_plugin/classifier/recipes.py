"""How to train the classifier, as a table: every number that a recipe fixes, and its source.

Of the paper (arXiv 2112.05351) its abstract is known. What that leaves open is taken from the
authors' later repositories ("traces": AEFT, S2C, CTI, DIG), from the closest relatives (PPC, S2C,
SEAM, PuzzleCAM), or is our choice; the README of this folder has the table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from ..errors import InputError
from ..network.maps import check_scales
from .loss import SCOPES
from .split import POOLINGS
from .support import SUPPORTS

__all__ = ["RECIPES", "Recipe", "learning_rate", "make_recipe"]


@dataclass(frozen=True)
class Recipe:
    """Views of images, an optimizer, and the two self-supervised losses.

    long_side      an image's longer side is drawn between these two
    crop           side of the square that is cut from it, filled up with the mean colour
    turns          views are also turned by right angles, for images without an up
    jitter         brightness, contrast, saturation ±0.4 and hue ±0.1 in four views of five, grey
                   in one of fifty (traces)
    optimizer      "sgd" with the schedule "poly", or "adamw" with "cycle": up to the rate in the
                   first three tenths, then down to nothing, on cosines
    pooling        of the class scores: "mean", or "smooth_max" (`split.Classifier`)
    neck           channels of a layer between trunk and head; 0: none
    rcm, mam       weights λ of the losses; 0: off, the default: no reliable gain in our runs
    threshold, low a pixel is a class's where T > threshold (the pipeline's t where that is known);
                   it is ignored between low and threshold; low None: every pixel has a region
    tau            temperature of RCM's softmax
    scope          prototypes of the "batch", of each "image", or "mixed"
    weights        of pixels in RCM: "pixel" or "region"
    scales         at which SupportNet's CAMs are fused: S
    fusion         "sum" or "max" of the scales
    region_source  "fused": regions of T; "scale1": of SupportNet's CAM at scale 1
    attentive, leak, reduction  of MAM, see `loss.mam_loss`
    support        "ema", "frozen" (as it was at the start) or "self" (MainNet in eval mode)
    momentum       of the moving average; None: `support.momentum_rule`
    start          share of the steps before the self-supervised losses begin
    ramp           share of the steps after that in which their weights rise from 0
    """

    optimizer: str
    schedule: str
    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    long_side: tuple[int, int]
    crop: int
    output_stride: int
    start: float
    ramp: float
    neck: int = 0
    pooling: str = "mean"
    turns: bool = False
    jitter: bool = True
    rcm: float = 0.0
    mam: float = 0.0
    threshold: float = 0.20
    low: float | None = None
    tau: float = 0.5
    scope: str = "batch"
    weights: str = "pixel"
    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    fusion: str = "sum"
    region_source: str = "fused"
    attentive: bool = False
    leak: float = 0.0
    reduction: str = "all"
    support: str = "ema"
    momentum: float | None = None


# Optimiser, sizes, jitter, 2 epochs of 40 before the start: traces, and S2C. The momentum of its
# SGD is 0, as in all code that hands PSA's PolyOptimizer the weight decay in its place.
_VOC = Recipe(
    optimizer="sgd",
    schedule="poly",
    lr=0.01,
    weight_decay=5e-4,
    batch_size=8,
    epochs=40,
    long_side=(256, 512),
    crop=384,
    output_stride=8,
    neck=256,
    start=0.05,
    ramp=0.5,
)

RECIPES = {
    "voc": _VOC,
    # The recipe with RCM on, by PPC's pair of temperature and weight.
    "ppc": replace(_VOC, tau=0.1, rcm=0.1),
    # Some hundred images: the classifier alone for the first half.
    "small": replace(
        _VOC,
        optimizer="adamw",
        schedule="cycle",
        lr=1e-3,
        weight_decay=1e-2,
        batch_size=16,
        epochs=16,
        crop=320,
        long_side=(256, 448),
        neck=0,
        start=0.5,
        ramp=0.1,
    ),
}

CHOICES = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("poly", "cycle"),
    "pooling": ("published", *POOLINGS),
    "scope": SCOPES,
    "weights": ("pixel", "region"),
    "fusion": ("sum", "max"),
    "region_source": ("fused", "scale1"),
    "reduction": ("all", "present"),
    "support": SUPPORTS,
}
# What has to be above 0, and what lies within [0, 1].
POSITIVE = ("lr", "batch_size", "epochs", "crop", "output_stride", "tau")
SHARES = ("threshold", "low", "momentum", "start", "ramp", "leak")


def make_recipe(name: str, **changes: Any) -> Recipe:
    """The recipe of that name with the changes that are not None. Raises InputError."""
    if name not in RECIPES:
        raise InputError(f"recipe {name!r} is unknown; expected auto, {', '.join(RECIPES)}")
    given = {key: value for key, value in changes.items() if value is not None}
    _check_kinds(given)
    if "crop" in given and "long_side" not in given:
        given["long_side"] = tuple(
            round(side * given["crop"] / RECIPES[name].crop) for side in RECIPES[name].long_side
        )
    recipe = replace(RECIPES[name], **given)
    recipe = replace(recipe, scales=check_scales(recipe.scales))
    if len(recipe.long_side) != 2:
        raise InputError(f"long_side {recipe.long_side}: expected two sides in pixels")
    for key, allowed in CHOICES.items():
        if getattr(recipe, key) not in allowed:
            raise InputError(f"{key} {getattr(recipe, key)!r} is none of {', '.join(allowed)}")
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if not (math.isfinite(value) and value >= 0) or (field.name in POSITIVE and not value):
            raise InputError(f"{field.name} {value}: expected a number above 0, or 0 for off")
        if field.name in SHARES and value > 1:
            raise InputError(f"{field.name} {value}: expected a number from 0 to 1")
    low, high = recipe.long_side
    if not 32 <= low <= high:
        raise InputError(f"long side {low} to {high}: expected a range from 32 pixels")
    return recipe


def _check_kinds(given: dict[str, Any]) -> None:
    """Raises InputError for a name or a kind of value that a recipe does not have."""
    known = {field.name: str(field.type) for field in fields(Recipe)}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"{name!r} is not a number of a recipe; expected {', '.join(known)}")
        kind, number = known[name].split(" | ")[0], type(value) in (int, float)
        fits = {
            "int": type(value) is int,
            "float": number,
            "str": isinstance(value, str),
            "bool": isinstance(value, bool),
        }.get(
            kind, isinstance(value, (tuple, list)) and all(type(v) in (int, float) for v in value)
        )
        if not fits:
            raise InputError(f"{name} {value!r}: expected {kind}")


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of step number `step`, counted from 0, of `steps`."""
    if recipe.schedule == "poly":
        return recipe.lr * (1 - step / steps) ** 0.9
    rising = 0.3 * steps
    if step < rising:
        return recipe.lr * (0.52 - 0.48 * math.cos(math.pi * step / rising))
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))
