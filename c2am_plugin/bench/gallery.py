"""Rows of pictures for a page: photograph, CAM, cue, refined CAM, labels before and after, truth.

Chooses the images and makes their pictures; the template of the page puts them side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from ..boxes.components import find_components, overlaps, scale_boxes
from ..files.labels import IGNORE
from ..page.panels import MOST_BYTES, Panel, within
from ..page.pictures import colour_of, cue_picture, heat_picture, label_picture, photo_picture
from ..page.text import percent, signed
from .gains import count_scores
from .results import BenchmarkResult, PipelineResult
from .scoring import BenchFiles, ImageReader, Source, make_label

__all__ = ["choose_pictures", "galleries"]

CUE_BOX, TRUTH_BOX = "#ffd000", "#00d0ff"


def choose_pictures(
    pipeline: PipelineResult, image_ids: Sequence[str], count: int, show: Sequence[str] = ()
) -> dict[str, str]:
    """{image id: why it is shown}: `show`, then best gains, worst losses, and some at random."""
    gains = pipeline.image_gains
    order = np.argsort(-gains, kind="stable")
    kinds = {
        "chosen": [i for i, image_id in enumerate(image_ids) if image_id in set(show)],
        "best gain": [i for i in order[:count] if gains[i] > 0],
        "worst loss": [i for i in order[::-1][:count] if gains[i] < 0],
        "at random": [],
    }
    taken = {i for kind in kinds.values() for i in kind}
    rest = [i for i in range(len(image_ids)) if i not in taken]
    picked = np.random.default_rng(0).permutation(len(rest))[:count]
    kinds["at random"] = [rest[i] for i in sorted(picked)]
    chosen: dict[str, str] = {}
    for why, indices in kinds.items():
        for i in indices:
            chosen.setdefault(image_ids[i], f"{why}, {signed(gains[i])}")
    return chosen


def galleries(
    result: BenchmarkResult,
    reader: ImageReader,
    images: Sequence[BenchFiles],
    sources: Sequence[Source],
    count: int,
    show: Sequence[str],
) -> list[tuple[PipelineResult, list[tuple[tuple[str, str], list[Panel]]], int]]:
    """Of each pipeline: ((image id, why), its pictures), and how many images do not fit."""
    files = {image.image_id: image for image in images}
    found = []
    for pipeline, source in zip(result.pipelines, sources, strict=True):
        chosen = choose_pictures(pipeline, result.image_ids, count, show)
        make = partial(_panels, result, pipeline, reader, files, source)
        rows, left_out = within(chosen.items(), make, MOST_BYTES // len(sources))
        found.append((pipeline, rows, left_out))
    return found


def _panels(
    result: BenchmarkResult,
    pipeline: PipelineResult,
    reader: ImageReader,
    files: Mapping[str, BenchFiles],
    source: Source,
    chosen: tuple[str, str],
) -> list[Panel]:
    image = files[chosen[0]]
    truth = reader.truth(image)
    photo = reader.photo(image, truth.shape)
    cams = reader.cams(image, source, truth.shape)
    raw = reader.raw_cue(image, source, truth.shape)
    cue = reader.cue(image, source, cams, raw)
    variants = reader.variants(source, cams, cue, raw)
    refined = variants[pipeline.headline]
    index = result.image_ids.index(image.image_id)
    panels = [_photograph(photo, raw, truth)] if photo is not None else []
    panels += [
        Panel("CAM", heat_picture(cams.maps, photo)),
        Panel("cue, white = foreground", cue_picture(cue)),
        Panel("refined CAM", heat_picture(refined, photo)),
    ]
    for title, key in (("label before", "cam_best"), ("label after", pipeline.headline)):
        row = pipeline.rows[key]
        label = make_label(row.plan, variants[row.plan.variant], cams.class_ids)
        title += f", t = {row.plan.background_score:.2f}"
        panels.append(Panel(title, label_picture(label), _ious(row.counts[index], result.classes)))
    panels.append(Panel("ground truth", label_picture(truth), _names(truth, result.classes)))
    return panels


def _photograph(photo: np.ndarray, raw: np.ndarray, truth: np.ndarray) -> Panel:
    """The photograph with the box of its cue (b, as stored) and those of its objects."""
    size = (photo.shape[1], photo.shape[0])
    of_cue = find_components(1 - raw, 0.5).boxes[:1]
    boxes = {TRUTH_BOX: class_boxes(truth), CUE_BOX: scale_boxes(of_cue, raw.shape[::-1], size)}
    found = overlaps(boxes[CUE_BOX], boxes[TRUTH_BOX])
    iou = f" {percent(found.max(), 0)}" if found.size else ""
    chips = [(CUE_BOX, f"box of the cue{iou}"), (TRUTH_BOX, "ground truth")]
    return Panel("photograph", photo_picture(photo, boxes), chips)


def class_boxes(truth: np.ndarray) -> np.ndarray:
    """The box of the largest component of each foreground class: int64 [N, 4]."""
    indices = [index for index in np.unique(truth) if index not in (0, IGNORE)]
    found = [find_components((truth == index).astype(np.float32), 0.5) for index in indices]
    return np.array([each.boxes[0] for each in found], np.int64).reshape(-1, 4)


def _ious(counts: np.ndarray, classes: tuple[str, ...]) -> list[tuple[str, str]]:
    iou = count_scores(counts).iou
    return [
        (colour_of(c), f"{classes[c]} {percent(iou[c], 0)}")
        for c in range(1, len(classes))
        if not np.isnan(iou[c])
    ]


def _names(truth: np.ndarray, classes: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(colour_of(int(c)), classes[c]) for c in np.unique(truth) if 0 < c < len(classes)]
