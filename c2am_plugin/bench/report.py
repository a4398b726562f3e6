"""The page that a benchmark leaves: one HTML file that needs no network and no second file.

Its text comes from results.py and tables.py, its pictures from gallery.py and page/charts.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.folders import first_names
from ..files.writing import atomic_path, write_json
from ..page.charts import Chart, Series, chart
from ..page.render import write_page
from ..page.text import percent
from .gallery import galleries
from .results import BenchmarkResult, PipelineResult
from .scoring import BenchFiles, ImageReader, Source
from .tables import (
    command_line,
    csv_table,
    definitions,
    json_content,
    losing_rows,
    markdown_table,
    scores_found,
)
from .worst import worst_images

__all__ = ["OUTPUTS", "write_report"]

OUTPUTS = ("report.html", "results.json", "results.csv", "table.md")
NAMES = {
    "cam": "CAM",
    "cues": "CAM + cues",
    "guard": "CAM + cues, guarded",
    "segments": "CAM + cues, segments",
}


def write_report(
    result: BenchmarkResult,
    out: str | Path,
    reader: ImageReader,
    images: Sequence[BenchFiles],
    sources: Sequence[Source],
    pictures: int = 3,
    show: Sequence[str] = (),
) -> None:
    """Write report.html, results.json, results.csv and table.md into the folder `out`.

    pictures: images of each kind (best gain, worst loss, at random); show: ids of further ones.
    """
    out = Path(out)
    write_json(out / "results.json", json_content(result))
    texts = {"results.csv": csv_table(result), "table.md": markdown_table(result)}
    for name, text in texts.items():
        with atomic_path(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    write_page(
        out / "report.html",
        "bench.html",
        result=result,
        names=NAMES,
        n_present=len(result.pipelines[0].class_gains(result.classes)) - 1,
        left_out=len(set().union(*result.missing.values(), result.failures)),
        command=command_line(result.settings),
        settings=_settings(result),
        definitions=definitions(result),
        galleries=galleries(result, reader, images, sources, pictures, show),
        curve=_curve,
        scatter=_scatter,
        worst_images=worst_images,
        losing_rows=losing_rows,
        scores_found=scores_found,
        plain_gains=lambda pipeline: _plain_gains(result, pipeline),
        first_names=first_names,
    )
    result.out_dir = str(out)


def _curve(pipeline: PipelineResult) -> Chart:
    """mIoU in percent over the threshold, the pipeline's own t marked."""
    best = {name: int(np.argmax(curve)) for name, curve in pipeline.curves.items()}
    titles = {
        name: f"{NAMES[name]}: {percent(pipeline.curves[name][at])} at "
        f"{pipeline.thresholds[at]:.2f}"
        for name, at in best.items()
    }
    series = [
        Series(name, pipeline.thresholds, 100 * curve, marked=[best[name]], titles=[titles[name]])
        for name, curve in pipeline.curves.items()
    ]
    return chart(
        series,
        f"mIoU over threshold, {pipeline.label}. Best: {'; '.join(titles.values())}",
        "threshold",
        x_span=(0, float(pipeline.thresholds[-1])),
        marks=[(pipeline.t, f"t = {pipeline.t:.2f}")],
    )


def _scatter(pipeline: PipelineResult, image_ids: Sequence[str]) -> Chart:
    """Mean IoU in percent of each image, before and after."""
    before, after = (100 * each for each in pipeline.image_ious)
    titles = [
        f"{image_id}: {one:.0f} → {other:.0f}"
        for image_id, one, other in zip(image_ids, before, after, strict=True)
    ]
    loses, wins = int((after < before).sum()), int((after > before).sum())
    return chart(
        [
            Series("diagonal", [0, 100], [0, 100]),
            Series("cues", before, after, dots=True, titles=titles),
        ],
        f"Mean IoU of each image before and after, {pipeline.label}: {wins} gain, {loses} lose",
        "before",
        x_span=(0, 100),
        y_span=(0, 100),
    )


def _plain_gains(result: BenchmarkResult, pipeline: PipelineResult) -> dict[str, float]:
    """The gain of each class without the guard, where the guard is on."""
    if "guard" not in pipeline.rows:
        return {}
    return {each.name: each.gain for each in pipeline.class_gains(result.classes, "cues")}


def _settings(result: BenchmarkResult) -> dict[str, Any]:
    left_out = ("cams", "ids", "show")
    settings = {name: each for name, each in result.settings.items() if name not in left_out}
    for each in result.pipelines:
        if each.calibration:
            settings[each.label] = (
                "cues calibrated: they side with "
                f"{percent(each.calibration['accuracy'], 0)} % of what the CAMs are sure of"
            )
    return settings
