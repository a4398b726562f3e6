"""The boundary that agrees with the CAM files that a pipeline has stored.

No labels are needed: the CAMs of all images together, cut at their pipeline's own background score,
tell how large foregrounds are, and the boundary of the maps is put where both agree best.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cams import CamAdapter, constant_score, read_cams
from ..errors import InputError
from ..registry import choose_adapter, find_cams
from .boundaries import agreement_counts, best_boundary
from .maps import ScaleLogits, released_map
from .stream import Stream

__all__ = ["Survey", "agreed_boundary", "stored_cams"]

log = logging.getLogger("c2am_plugin")


def stored_cams(
    cams: str | Path, method: str, paths: Iterable[str]
) -> tuple[dict[str, Path], CamAdapter]:
    """{image id: CAM file} of the images that have one, and the adapter that reads them."""
    found = find_cams(cams, method)
    both = {image_id: found[image_id] for image_id in paths if image_id in found}
    if not both:
        raise InputError(
            f"{cams}: contains no CAM file of these images; its ids look like "
            f"{next(iter(found), 'none')}, those of the images like {next(iter(paths))}"
        )
    log.info("comparing with the CAMs of %d images", len(both))
    adapter = choose_adapter(method, list(both.values()))
    constant_score(adapter)
    return both, adapter


@dataclass(frozen=True)
class Survey:
    """Counts how one image's map agrees with its stored CAMs, see `agreement_counts`."""

    flag: bool
    cams: dict[str, Path]
    adapter: CamAdapter

    def __call__(self, image_id: str, photo: np.ndarray, logits: ScaleLogits) -> np.ndarray:
        path = self.cams[image_id]
        cams = read_cams(self.adapter, path, image_id, clip=True)
        maps, t = cams.maps, cams.score(constant_score(self.adapter))
        if maps.size and maps.shape[1:] != photo.shape[:2]:
            raise InputError(
                f"{path}: the CAMs have {maps.shape[1:]} pixels (H, W) but the photograph has "
                f"{photo.shape[:2]}"
            )
        score = maps.max(axis=0) if maps.size else np.zeros(photo.shape[:2])
        values = released_map(logits, self.flag)[1][0]
        return agreement_counts(values, score > t)


def agreed_boundary(run: Stream, survey: Survey) -> float:
    """The boundary at which the maps agree best with the stored CAMs."""
    outcome = run(survey, list(survey.cams), "comparing with the CAMs")
    if run.ranks.is_first:
        for message in list(outcome.failures.values())[:5]:
            log.warning("%s", message)
    if not outcome.results:
        raise InputError(f"no map could be compared with its CAM: {len(outcome.failures)} failed")
    boundary = best_boundary(sum(outcome.results.values()))
    log.info("maps and CAMs agree best at %.3g of the maximum", boundary)
    return boundary
