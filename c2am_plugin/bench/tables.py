"""A benchmark's results as JSON, CSV and Markdown, and the command that gave them."""

from __future__ import annotations

import csv
import io
import math
import shlex
from typing import Any

import numpy as np

from ..page.text import interval, percent, signed, versions
from .results import BenchmarkResult, ClassGain, PipelineResult, Row

__all__ = [
    "command_line",
    "csv_table",
    "definitions",
    "json_content",
    "losing",
    "losing_rows",
    "markdown_table",
    "scores_found",
]

PUBLISHED_NOTE = "CAM + C²AM, PASCAL VOC 2012 train, MoCo weights, batch 128"


def losing(gains: list[ClassGain]) -> str:
    """The classes that lose, worst first, in one line."""
    losers = [each for each in reversed(gains) if each.loses]
    return ", ".join(f"{each.name} {signed(each.gain)}" for each in losers) or "none"


def losing_rows(result: BenchmarkResult, pipeline: PipelineResult) -> list[tuple[str, str]]:
    """(title of the row, its classes that lose) of every row that is compared with the CAM."""
    return [
        (row.plan.title, losing(pipeline.class_gains(result.classes, key)))
        for key, row in pipeline.rows.items()
        if row.gain is not None
    ]


def command_line(settings: dict[str, Any]) -> str:
    """The `c2am-bench` command of these settings."""
    words = ["c2am-bench"]
    for label, folder in settings["cams"].items():
        words += ["--cams", f"{label}={folder}"]
    for name in ("cues", "gt", "images", "ids", "classes", "segments"):
        if isinstance(settings[name], str):
            words += [f"--{name}", settings[name]]
    words += [
        f"--{name.replace('_', '-')}"
        for name in ("crf", "guard", "flip_cues", "stretch_cues", "clip")
        if settings[name]
    ]
    for name in ("crf_backend", "calibrate"):
        if settings[name] != "auto":
            words += [f"--{name.replace('_', '-')}", settings[name]]
    numbers = {
        "background_score": None,
        "strength": 1.0,
        "scale_by": None,
        "band": 10,
        "pictures": 3,
    }
    for name, default in numbers.items():
        if settings[name] != default:
            words += [f"--{name.replace('_', '-')}", f"{settings[name]}"]
    for image_id in settings["show"]:
        words += ["--show", image_id]
    return shlex.join(words)


def markdown_table(result: BenchmarkResult) -> str:
    """All rows of all pipelines, and below them what they are made of; percent throughout."""
    lines = [
        "| pipeline | labels | t | mIoU | gain [95 %] | FP | FN | boundary | mIoU, absent = 0 "
        "| published |",
        "|---|---|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    for pipeline in result.pipelines:
        lines += [_markdown_row(result, pipeline, row) for row in pipeline.rows.values()]
    lines += ["", f"{len(result.image_ids)} images. {definitions(result)}", ""]
    lines += [f"- {pipeline.label}, {scores_found(pipeline)}" for pipeline in result.pipelines]
    for pipeline in result.pipelines:
        lines += [
            f"- {pipeline.label}, {title}, classes that lose: {line}"
            for title, line in losing_rows(result, pipeline)
        ]
        if pipeline.guard_gain is not None:
            lines.append(
                f"- {pipeline.label}: the guard adds {signed(pipeline.guard_gain.miou)} "
                f"{interval(pipeline.guard_gain.low, pipeline.guard_gain.high)}; it trusts the "
                f"cue less for {pipeline.distrusted} of {pipeline.pairs} classes of an image"
            )
    return "\n".join(lines) + "\n"


def scores_found(pipeline: PipelineResult) -> str:
    """The background score in use beside the one by ground truth and the one without."""
    best = pipeline.rows["cam_best"].plan.background_score
    found = pipeline.label_free
    alone = "none that cues and CAMs agree on" if found is None else f"{found:.2f}"
    return (
        f"background score {pipeline.t:.2f}; the CAM's best with ground truth {best:.2f}, "
        f"without {alone}"
    )


def _markdown_row(result: BenchmarkResult, pipeline: PipelineResult, row: Row) -> str:
    final = row.plan.key == pipeline.headline
    number = result.published(pipeline) if final else None
    published = f"{number:.1f}" if number else ""
    miou = f"**{percent(row.scores.miou)}**" if final else percent(row.scores.miou)
    cells = [
        pipeline.label,
        row.plan.title,
        f"{row.plan.background_score:.2f}",
        miou,
        ""
        if row.gain is None
        else f"{signed(row.gain.miou)} {interval(row.gain.low, row.gain.high)}",
        percent(row.scores.mean_fp),
        percent(row.scores.mean_fn),
        percent(row.trimap_miou),
        percent(row.scores.counting_absent().miou),
        published,
    ]
    return f"| {' | '.join(cells)} |"


def definitions(result: BenchmarkResult) -> str:
    """What the columns mean, and where the published numbers come from if there are any."""
    text = (
        "mIoU over the classes that are present; “absent = 0” counts the others as 0, as the "
        "pipelines’ own evaluators do. Gain over the CAM at its best threshold, with the bootstrap "
        "95 % interval over images. FP, FN: over- and under-activation, shares of the union, mean "
        "over foreground classes. Boundary: trimap mIoU within "
        f"{result.settings['band']} pixels of the outlines."
    )
    if any(result.published(each) for each in result.pipelines):
        text += f" Published: {PUBLISHED_NOTE}; comparable on that data only."
    return text


def json_content(result: BenchmarkResult) -> dict[str, Any]:
    """Everything of a benchmark as plain values, NaN as null; shares in [0, 1]."""
    content = {
        "command": command_line(result.settings),
        "versions": versions(),
        "settings": result.settings,
        "classes": list(result.classes),
        "images": len(result.image_ids),
        "image_ids": result.image_ids,
        "missing": result.missing,
        "failures": result.failures,
        "pipelines": {each.label: _json_pipeline(each, result) for each in result.pipelines},
    }
    plain: dict[str, Any] = _without_nan(content)
    return plain


def _json_pipeline(pipeline: PipelineResult, result: BenchmarkResult) -> dict[str, Any]:
    guard = pipeline.guard_gain
    return {
        "method": pipeline.method,
        "t": pipeline.t,
        "t_without_ground_truth": pipeline.label_free,
        "headline": pipeline.headline,
        "cues_calibrated": pipeline.calibration,
        "published_miou_percent_voc2012_train": result.published(pipeline),
        "thresholds": pipeline.thresholds,
        "miou_by_threshold": pipeline.curves,
        "rows": {key: _json_row(row, result.classes) for key, row in pipeline.rows.items()},
        "class_gains": [vars(each) for each in pipeline.class_gains(result.classes)],
        "image_gains": dict(zip(result.image_ids, pipeline.image_gains, strict=True)),
        "guard": guard
        and {
            "gain_over_unguarded": guard.miou,
            "gain_95": [guard.low, guard.high],
            "classes_of_images_trusted_less": pipeline.distrusted,
            "classes_of_images": pipeline.pairs,
        },
    }


def _json_row(row: Row, classes: tuple[str, ...]) -> dict[str, Any]:
    scores = row.scores
    return {
        "title": row.plan.title,
        "background_score": row.plan.background_score,
        "miou": scores.miou,
        "miou_counting_absent_as_0": scores.counting_absent().miou,
        "fp": scores.mean_fp,
        "fn": scores.mean_fn,
        "trimap_miou": row.trimap_miou,
        "gain": None if row.gain is None else row.gain.miou,
        "gain_95": None if row.gain is None else [row.gain.low, row.gain.high],
        "iou": dict(zip(classes, scores.iou, strict=True)),
        "fp_by_class": dict(zip(classes, scores.fp, strict=True)),
        "fn_by_class": dict(zip(classes, scores.fn, strict=True)),
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_without_nan(each) for each in value]
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else round(float(value), 6)
    return value


def csv_table(result: BenchmarkResult) -> str:
    """One line a row of a pipeline, shares in [0, 1], an empty cell for what is absent."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ["miou", "miou_counting_absent_as_0", "fp", "fn", "trimap_miou", "gain"]
    writer.writerow(
        ["pipeline", "row", "background_score", *names, "gain_low", "gain_high"]
        + [f"iou {name}" for name in result.classes]
    )
    for label, pipeline in json_content(result)["pipelines"].items():
        for key, row in pipeline["rows"].items():
            ends = row["gain_95"] or [None, None]
            values = [row[name] for name in names]
            writer.writerow(
                [label, key, row["background_score"], *values, *ends, *row["iou"].values()]
            )
    return text.getvalue()
