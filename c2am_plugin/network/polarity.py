"""Which side of P is the background. The loss does not determine it, so it is measured on images.

Knows P and two rules of thumb for photographs: backgrounds reach the border (`border`, the released
code), and backgrounds surround objects (`contour`, the paper). Knows nothing of checkpoints.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import nn

from ..errors import InputError
from ..files.photos import read_photo
from ..runs.ranks import ALONE, Ranks
from ..training.normalisation import normalise
from .inference import fast_copy

__all__ = ["RULES", "UNDECIDED", "Polarity", "Vote", "border_vote", "contour_vote", "decide"]

log = logging.getLogger(__name__)

# Below this margin fewer than 60 % of the images agree.
UNDECIDED = 0.2


@dataclass(frozen=True)
class Polarity:
    """The decision over some images.

    flag      True: P is high on the background
    rule      "border" or "contour", or "hints": by the CAMs that training was given
    margin    |2·share − 1| in [0, 1], share being the images that vote for the background:
              1 where all images agree, 0 where half of them say the opposite
    n_images  how many images voted
    """

    flag: bool
    rule: str
    margin: float
    n_images: int

    @property
    def undecided(self) -> bool:
        """Whether the images disagree so much that the maps should be looked at."""
        return self.margin < UNDECIDED


def border_vote(p: np.ndarray) -> bool:
    """P h×w → whether its mean along the border is above 0.5, so that P is the background.

    The released rule. The border is the outermost ring of cells: at the network's stride that is
    what the four outer pixels of the image see.
    """
    ring = np.concatenate([p[0], p[-1], p[1:-1, 0], p[1:-1, -1]])
    return bool(ring.mean() > 0.5)


def contour_vote(p: np.ndarray) -> bool:
    """P h×w → whether the largest contour of the binarised P encloses its high side.

    The paper's rule: P is binarised at 0.5, and the contour that encloses most is taken to be the
    background's, which goes round the objects in front of it.
    """
    return _largest_contour(p > 0.5) > _largest_contour(p <= 0.5)


# P h×w of one image → whether P is high on its background; None: no opinion.
Vote = Callable[[np.ndarray], bool | None]
RULES: dict[str, Vote] = {"border": border_vote, "contour": contour_vote}


def decide(
    model: nn.Module,
    paths: Sequence[Path],
    *,
    rule: str = "border",
    votes: Sequence[Vote] | None = None,
    size: int = 448,
    device: torch.device | str | None = None,
    batch_size: int = 16,
    ranks: Ranks = ALONE,
) -> Polarity:
    """Let the images vote on the polarity of a C2AM network; `model` stays as it is.

    paths: photographs, resized to size×size squares as in training; give 64 or more. Those that
    cannot be read do not vote. votes: of each image, in place of the rule's; None: no opinion.
    An undecided vote is logged as a warning, and still decides. ranks: the processes that share the
    images; all get the decision of all.
    Raises InputError where no image can be read.
    """
    fast = fast_copy(model, device)
    counted: list[bool] = []
    own = ranks.share(list(zip(paths, votes or [RULES[rule]] * len(paths), strict=True)))
    for start in range(0, len(own), batch_size):
        squares, voters = _read_squares(own[start : start + batch_size], size)
        if squares:
            p_of_each = _probabilities(fast, np.stack(squares))
            cast = [vote(p) for vote, p in zip(voters, p_of_each, strict=True)]
            counted += [each for each in cast if each is not None]
    counted = [vote for some in ranks.collect(counted) for vote in some]
    if not counted:
        raise InputError(
            f"none of the {len(paths)} images can be read{' or has a hint' if votes else ''}, so "
            "the polarity cannot be decided"
        )
    share = float(np.mean(counted))
    polarity = Polarity(share > 0.5, rule, abs(2 * share - 1), len(counted))
    if polarity.undecided and ranks.is_first:
        log.warning(
            "the polarity is undecided: by the %s rule P is background in %.0f %% of %d images; "
            'look at the maps, and make cues with `polarity="keep"` or `polarity="flip"`',
            rule,
            100 * share,
            len(counted),
        )
    return polarity


def _read_squares(
    pairs: Sequence[tuple[Path, Vote]], size: int
) -> tuple[list[np.ndarray], list[Vote]]:
    """The squares of the photographs that can be read, and their votes."""
    squares, voters = [], []
    for path, vote in pairs:
        try:
            photo = Image.fromarray(read_photo(path))
        except InputError as error:
            log.warning("no vote on the polarity: %s", error)
            continue
        squares.append(np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR)))
        voters.append(vote)
    return squares, voters


@torch.inference_mode()
def _probabilities(model: nn.Module, squares: np.ndarray) -> np.ndarray:
    """uint8 N×size×size×3 → P, float32 N×h×w."""
    device = next(model.parameters()).device
    pixels = torch.from_numpy(squares).to(device).permute(0, 3, 1, 2)
    logits = model.logits(normalise(pixels, model))  # type: ignore[operator]
    return logits.sigmoid()[:, 0].cpu().numpy()


def _largest_contour(side: np.ndarray) -> int:
    """The pixels that the largest outer contour of a boolean h×w encloses, holes included."""
    components, count = ndimage.label(side)
    return max(
        (int(ndimage.binary_fill_holes(components == i).sum()) for i in range(1, count + 1)),
        default=0,
    )
