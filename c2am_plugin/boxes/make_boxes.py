"""make_boxes: a folder of maps or cues in, one file of boxes out, scored if ground truth is given.

components.py finds boxes, box_files.py stores them, truths.py reads ground truth, scores.py scores.
This module combines them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..cams import CamAdapter, read_cams
from ..errors import InputError
from ..files.cue_folders import find_cues
from ..files.cues import CueForm, read_saliency
from ..files.image_files import open_image
from ..files.lists import lacking, wanted_ids
from ..files.photos import find_photos
from ..registry import get_adapter
from ..runs.arguments import either
from ..runs.output_folders import as_setting, hold_file, record_path, write_report
from ..runs.parallel import BatchResult, run_images
from .box_files import ImageBoxes, choose_format, write_boxes
from .box_report import BoxReport
from .components import Components, find_components, scale_boxes
from .predictions import read_predictions
from .scores import Hits, count_hits, localisation
from .truths import Truth, Truths, find_truths, read_truth

__all__ = ["BoxReport", "make_boxes"]

COMMAND = "c2am-boxes"
# Mid-grey for a cue; for a stored map, the released code's share of the maximum.
CUE_BOUNDARY, MAP_BOUNDARY = 0.5, 0.3


def make_boxes(
    maps: str | Path,
    out: str | Path | None = None,
    *,
    boundary: float | None = None,
    threshold: float | None = None,
    all_components: bool = False,
    form: str = "auto",
    images: str | Path | None = None,
    ids: str | Path | Sequence[str] | None = None,
    gt: str | Path | None = None,
    predictions: str | Path | None = None,
    flip_cues: bool = False,
    normalise: bool = False,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> BoxReport:
    """Make class-agnostic boxes: the box of the largest connected component of each map.

    maps            a folder of cues (`<id>.png` or plain float `.npy`, high = foreground), or of
                    maps in PuzzleCAM's layout, as `make_cues(maps=...)` stores them; a file with
                    several classes is reduced to their maximum at each pixel
    out             file of the boxes; None writes nothing
    boundary        in [0, 1): components of `value > boundary`. Default 0.5 for a cue, 0.3 for a
                    map; `threshold` is its second name
    all_components  write the boxes of all components, the largest first, not only of the largest
    form            "coco", "text" (`id x0 y0 x1 y1`), "psol", see `box_files.write_boxes`; "auto"
                    is text for .txt, otherwise coco
    images          folder of the photographs. Boxes are in pixels of the photograph, so this is
                    needed if maps have another size; width and height are scaled separately
    ids             a list file or image ids; default every map
    gt              ground truth boxes to score against, see `truths.find_truths`
    predictions     CSV of `id,class,class,…`, the best first, for top-1 and top-5 localisation
    flip_cues       the cues have the other polarity, high = background
    normalise       stretch each map to [0, 1] first, as the WSOL evaluation does
    workers         images processed at the same time; default one per core
    overwrite       replace files that another run wrote
    progress        show a progress bar on stderr

    Coordinates are half-open: 0 0 W H is the whole image. An image that cannot be read does not
    stop the others; it is listed in the report, which is stored beside `out`. Raises InputError or
    OutputError before anything is written.

    >>> from c2am_plugin import make_boxes
    >>> make_boxes("cues", "boxes.json", images="JPEGImages")  # doctest: +SKIP
    """
    boundary = either("boundary, threshold", boundary, None, threshold)
    form = choose_format(form, out or "")
    _check_options(boundary, form, images, gt, predictions)
    truths = find_truths(gt) if gt else None
    reader = MapOf(get_adapter("puzzlecam"))
    files, cue_form = find_cues(maps, truths.ids if truths else (), flip=flip_cues, read_map=reader)
    chosen = _choose(files, ids, maps, images)
    photos = find_photos(images, chosen) if images else {}
    scored = _scored(chosen, truths, gt)
    guesses = _guesses(predictions, truths, scored)
    settings: dict[str, Any] = {
        "maps": str(maps),
        "boundary": boundary,
        "all_components": all_components,
        "format": form,
        "images": as_setting(images),
        "ids": as_setting(ids),
        "gt": as_setting(gt),
        "predictions": as_setting(predictions),
        "flip_cues": flip_cues,
        "normalise": normalise,
    }
    if out is not None:
        hold_file(Path(out), COMMAND, settings, overwrite=overwrite)
    job = BoxJob(cue_form, boundary, all_components, normalise)
    found = [
        MapFiles(i, files[i], photos.get(i), truths.find(i) if truths and i in scored else None)
        for i in chosen
    ]
    outcome = run_images(job, found, workers=workers, title="boxes", progress=progress)
    if not outcome.results:
        raise InputError(
            f"no map could be read; the first error: {next(iter(outcome.failures.values()))}"
        )
    report = _report(outcome, out, guesses, truths)
    if report.bad_truths and report.localisation is None:
        raise InputError(
            f"{gt}: none of its boxes can be used for these {len(outcome.results)} images "
            f"({report.bad_truths} have no area or belong to an unlisted image)"
        )
    if out is not None:
        boxes = {image_id: result.boxes for image_id, result in outcome.results.items()}
        write_boxes(out, boxes, form, Path(images) if images else None)
        write_report(record_path(out, COMMAND), settings, asdict(report))
    return report


class BoxResult(NamedTuple):
    """One image's boxes, their hits if its ground truth is known, and the number of ground truth
    objects without a usable box."""

    boxes: ImageBoxes
    hits: Hits | None
    bad_truths: int


@dataclass(frozen=True)
class MapFiles:
    """One image's map, photograph, and ground truth (or its file), as far as they are known."""

    image_id: str
    map: Path
    photo: Path | None
    truth: Truth | Path | None


@dataclass(frozen=True)
class BoxJob:
    """Finds the boxes of one image; called with the image's files."""

    form: CueForm
    boundary: float | None
    all_components: bool
    normalise: bool

    def __call__(self, image: MapFiles) -> BoxResult:
        values, default = self.read(image)
        if self.normalise:
            low, high = values.min(), values.max()
            values = (values - low) / (high - low) if high > low else np.zeros_like(values)
        small = (values.shape[1], values.shape[0])
        size = _photo_size(image.photo) if image.photo else small
        found = find_components(values, default if self.boundary is None else self.boundary)
        if not self.all_components:
            found = Components(*(each[:1] for each in found))
        found = found._replace(boxes=scale_boxes(found.boxes, small, size))
        hits, bad = None, 0
        if image.truth is not None:
            truth = read_truth(image.truth)
            bad = truth.bad
            if len(truth.boxes):
                _check_size(image.map, size, truth)
                hits = count_hits(values, found.boxes, size, truth)
        return BoxResult(ImageBoxes(size, found, image.photo), hits, bad)

    def read(self, image: MapFiles) -> tuple[np.ndarray, float]:
        """A cue or stored map, float32 H×W in [0, 1], 1 = foreground, and its default boundary."""
        cut = MAP_BOUNDARY if self.form.maps else CUE_BOUNDARY
        return read_saliency(image.map, form=self.form), cut


@dataclass(frozen=True)
class MapOf:
    """Reads a stored map; a file with several classes gives their maximum at each pixel."""

    puzzle: CamAdapter

    def __call__(self, path: Path) -> np.ndarray:
        try:
            maps = read_cams(self.puzzle, path, path.stem).maps
        except InputError as error:
            raise InputError(f"{error}; expected a map of c2am-cues") from error
        if maps.size == 0:
            raise InputError(f"{path}: contains no map")
        return maps.max(axis=0).astype(np.float32)


def _check_options(
    boundary: float | None, form: str, images: Any, gt: Any, predictions: Any
) -> None:
    if boundary is not None and not 0 <= boundary < 1:
        raise InputError(f"boundary {boundary:g}: expected a number in [0, 1)")
    if form == "psol" and images is None:
        raise InputError('`form="psol"` stores the paths of the photographs: give `images`')
    if predictions is not None and gt is None:
        raise InputError("`predictions` are scored together with the boxes: give `gt`")


def _choose(
    files: Mapping[str, Path],
    ids: str | Path | Sequence[str] | None,
    maps: str | Path,
    images: str | Path | None,
) -> list[str]:
    if ids is None:
        return list(files)
    wanted = wanted_ids(ids, files, [images])
    if without := lacking(wanted, files, "map"):
        raise InputError(f"{maps}: {without}; its ids look like {next(iter(files))}")
    return wanted


def _scored(chosen: Sequence[str], truths: Truths | None, gt: str | Path | None) -> set[str]:
    if truths is None:
        return set()
    scored = set(chosen) & set(truths.ids)
    if not scored:
        bad = f" ({truths.bad} records belong to an unlisted image)" if truths.bad else ""
        raise InputError(
            f"{gt}: contains boxes for none of the {len(chosen)} images{bad}; its ids look like "
            f"{next(iter(truths.ids), 'none')}, those of the maps like {chosen[0]}"
        )
    return scored


def _guesses(
    predictions: str | Path | None, truths: Truths | None, scored: set[str]
) -> dict[str, list[str]] | None:
    if predictions is None or truths is None:
        return None
    guesses = read_predictions(predictions, truths)
    if not guesses.keys() & scored:
        raise InputError(
            f"{predictions}: contains none of the images to be scored; its ids look like "
            f"{next(iter(guesses))}, those of the maps like {min(scored)}"
        )
    return guesses


def _photo_size(path: Path) -> tuple[int, int]:
    with open_image(path) as image:
        return image.size


def _check_size(path: Path, size: tuple[int, int], truth: Truth) -> None:
    """Refuse ground truth of another image size: its boxes would silently count as misses."""
    right, bottom = truth.boxes[:, 2:].max(axis=0)
    if truth.size not in (None, size) or right > size[0] + 1 or bottom > size[1] + 1:
        of = f"{truth.size[0]}×{truth.size[1]}" if truth.size else f"{right:g}×{bottom:g} or more"
        raise InputError(
            f"{path}: the image is assumed to be {size[0]}×{size[1]} pixels, but its ground truth "
            f"is for {of} (width×height); give the photographs with `images`"
        )


def _report(
    outcome: BatchResult,
    out: str | Path | None,
    guesses: dict[str, list[str]] | None,
    truths: Truths | None,
) -> BoxReport:
    results: dict[str, BoxResult] = outcome.results
    hits = {image_id: each.hits for image_id, each in results.items() if each.hits is not None}
    return BoxReport(
        out=None if out is None else str(out),
        images=len(results),
        boxes=sum(len(each.boxes.components.areas) for each in results.values()),
        empty=[i for i, each in results.items() if not len(each.boxes.components.areas)],
        unscored=len(results) - len(hits) if truths else 0,
        bad_truths=truths.bad + sum(each.bad_truths for each in results.values()) if truths else 0,
        localisation=localisation(hits, guesses) if hits else None,
        seconds=round(outcome.seconds, 3),
        images_per_second=round(len(results) / max(outcome.seconds, 1e-9), 2),
        failures=outcome.failures,
    )
