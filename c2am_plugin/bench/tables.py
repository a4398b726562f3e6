"""A benchmark's results as JSON, CSV and Markdown, and the command that gave them."""

from __future__ import annotations

import csv
import io
import math
import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .results import BenchmarkResult, ClassGain, PipelineResult, Row

__all__ = ["command_line", "csv_table", "json_content", "losing", "markdown_table", "versions"]

PUBLISHED_NOTE = "CAM + C²AM, PASCAL VOC 2012 train, MoCo weights, batch 128"


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage without its sign, "–" for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.{digits}f}"


def signed(value: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    text = "–" if math.isnan(value) else f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def interval(low: float, high: float) -> str:
    return f"[{signed(low)}, {signed(high)}]"


def losing(gains: list[ClassGain]) -> str:
    """The classes that lose, worst first, in one line."""
    losers = [each for each in reversed(gains) if each.loses]
    return ", ".join(f"{each.name} {signed(each.gain)}" for each in losers) or "none"


def command_line(settings: dict[str, Any]) -> str:
    """The `c2am-bench` command of these settings."""
    words = ["c2am-bench"]
    for label, folder in settings["cams"].items():
        words += ["--cams", f"{label}={folder}"]
    for name in ("cues", "gt", "images", "ids", "classes"):
        if isinstance(settings[name], str):
            words += [f"--{name}", settings[name]]
    words += [
        f"--{name.replace('_', '-')}"
        for name in ("crf", "guard", "flip_cues", "clip")
        if settings[name]
    ]
    for name in ("crf_backend", "calibrate"):
        if settings[name] != "auto":
            words += [f"--{name.replace('_', '-')}", settings[name]]
    for name, default in (("strength", 1.0), ("band", 10), ("pictures", 3)):
        if settings[name] != default:
            words += [f"--{name}", f"{settings[name]:g}"]
    for image_id in settings["show"]:
        words += ["--show", image_id]
    return shlex.join(words)


def versions() -> dict[str, str]:
    """What the numbers depend on, by name."""
    found = {"python": platform.python_version()}
    for name in ("c2am-plugin", "numpy", "scipy", "numba", "Pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def markdown_table(result: BenchmarkResult) -> str:
    """All rows of all pipelines, and below them what they are made of; percent throughout."""
    lines = [
        "| pipeline | labels | t | mIoU | gain [95 %] | FP | FN | boundary | mIoU, absent = 0 "
        "| published |",
        "|---|---|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    for pipeline in result.pipelines:
        lines += [_markdown_row(pipeline, row) for row in pipeline.rows.values()]
    lines += ["", f"{len(result.image_ids)} images. {_definitions(result)}", ""]
    lines += [f"- {pipeline.label}, {scores_found(pipeline)}" for pipeline in result.pipelines]
    for pipeline in result.pipelines:
        title = pipeline.rows[pipeline.headline].plan.title
        lines.append(
            f"- {pipeline.label}, {title}, classes that lose: "
            f"{losing(pipeline.class_gains(result.classes))}"
        )
        if pipeline.guard_gain is not None:
            without = losing(pipeline.class_gains(result.classes, "cues"))
            lines.append(
                f"- {pipeline.label}, without the guard: {without}. The guard adds "
                f"{signed(pipeline.guard_gain.miou)} "
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


def _markdown_row(pipeline: PipelineResult, row: Row) -> str:
    final = row.plan.key == pipeline.headline
    published = f"{pipeline.published:.1f}" if final and pipeline.published else ""
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


def _definitions(result: BenchmarkResult) -> str:
    return (
        "mIoU over the classes that are present; “absent = 0” counts the others as 0, as the "
        "pipelines’ own evaluators do. Gain over the CAM at its best threshold, with the bootstrap "
        "95 % interval over images. FP, FN: over- and under-activation, shares of the union, mean "
        "over foreground classes. Boundary: trimap mIoU within "
        f"{result.settings['band']} pixels of the outlines. Published: "
        f"{PUBLISHED_NOTE}; comparable on that data only."
    )


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
        "cues_calibrated": pipeline.fit,
        "published_miou_percent_voc2012_train": pipeline.published,
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
