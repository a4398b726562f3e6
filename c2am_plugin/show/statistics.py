"""From the counts of many images to what the page shows. Pure arithmetic, no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..refine.calibration import LEVELS, Calibration
from .image import ImageFacts

__all__ = ["ClassFacts", "CurvePoint", "calibrated_chance", "choose", "class_facts", "cue_curve"]

BINS = 16
# A bin with a smaller share of the CAMs' sure pixels is not shown.
FEW = 0.001


@dataclass(frozen=True)
class ClassFacts:
    """One class: shares are of all pixels of the images that have it, in [0, 1].

    trusted  share of those images in which the cue has weight; weight: its mean weight. NaN
             without a cue
    """

    class_id: int
    name: str
    images: int
    before: float
    after: float
    trusted: float
    weight: float


@dataclass(frozen=True)
class CurvePoint:
    """Cues from `low` to `high` (1 = foreground): `share` of all sure pixels is there, and `chance`
    of these is surely foreground, with both sides weighted equally."""

    low: float
    high: float
    share: float
    chance: float


def class_facts(images: Sequence[ImageFacts], names: Mapping[int, str]) -> list[ClassFacts]:
    """The classes of these images by name. names: {0-based class: name}, others get a number."""
    found = []
    for class_id in sorted({each for image in images for each in image.before}):
        mine = [image for image in images if class_id in image.before]
        pixels = sum(image.pixels for image in mine) or 1
        trust = np.array([image.trust for image in mine if image.trust is not None])
        found.append(
            ClassFacts(
                class_id,
                names.get(class_id, f"class {class_id}"),
                len(mine),
                sum(image.before[class_id] for image in mine) / pixels,
                sum(image.after[class_id] for image in mine) / pixels,
                float((trust > 0).mean()) if len(trust) else float("nan"),
                float(trust.mean()) if len(trust) else float("nan"),
            )
        )
    return sorted(
        found, key=lambda each: (each.class_id not in names, names.get(each.class_id, ""))
    )


def choose(images: Sequence[ImageFacts], count: int, show: Sequence[str] = ()) -> dict[str, str]:
    """{image id: why}: `show`, then the `count` that change most, least, and some at random.

    The same images give the same choice.
    """
    order = sorted(images, key=lambda each: (-each.change, each.image_id))
    chosen = dict.fromkeys(show, "by name")
    for why, some in (("most changed", order), ("least changed", order[::-1])):
        for image in some[:count]:
            chosen.setdefault(image.image_id, why)
    rest = [image.image_id for image in images if image.image_id not in chosen]
    picked = np.random.default_rng(0).permutation(len(rest))[:count]
    return chosen | {rest[i]: "at random" for i in sorted(picked)}


def cue_curve(images: Sequence[ImageFacts]) -> list[CurvePoint]:
    """How likely the CAMs' sure pixels are foreground, by the value of their cue; rising cues."""
    total = sum((each.sure for each in images if each.sure is not None), np.zeros((2, LEVELS)))
    sides = total.sum(axis=1, keepdims=True)
    if not np.all(sides):
        return []
    weights = (total / sides / 2)[:, ::-1].reshape(2, BINS, -1).sum(axis=2)
    return [
        CurvePoint(i / BINS, (i + 1) / BINS, float(share), float(weights[1, i] / share))
        for i, share in enumerate(weights.sum(axis=0))
        if share >= FEW
    ]


def calibrated_chance(calibration: Calibration, values: np.ndarray) -> np.ndarray:
    """What a cue of full trust makes of even odds: chance of the foreground by cue (1 = it)."""
    inner = np.clip(values, 0.5 / LEVELS, 1 - 0.5 / LEVELS)
    evidence = calibration.slope * np.log(inner / (1 - inner)) + calibration.bias
    return 1 / (1 + np.exp(-np.clip(evidence, -calibration.limit, calibration.limit)))
