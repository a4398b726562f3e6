"""The page that a benchmark leaves: one HTML file that needs no network and no second file.

What it says comes from results.py and tables.py, what it shows from gallery.py and curves.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from ..files.folders import first_names
from ..files.writing import atomic_path, write_json
from .curves import NAMES, curve_svg
from .gallery import gallery
from .results import BenchmarkResult, ClassGain, PipelineResult, Row
from .scoring import BenchFiles, ImageReader, Source
from .tables import (
    PUBLISHED_NOTE,
    command_line,
    csv_table,
    interval,
    json_content,
    losing,
    markdown_table,
    percent,
    scores_found,
    signed,
    versions,
)

__all__ = ["OUTPUTS", "write_report"]

OUTPUTS = ("report.html", "results.json", "results.csv", "table.md")
STYLE = Path(__file__).parents[1] / "page" / "page.css"


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
    page = _page(result, reader, images, sources, pictures, show)
    texts = {
        "results.csv": csv_table(result),
        "table.md": markdown_table(result),
        "report.html": page,
    }
    for name, text in texts.items():
        with atomic_path(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    result.out_dir = str(out)


def _page(
    result: BenchmarkResult,
    reader: ImageReader,
    images: Sequence[BenchFiles],
    sources: Sequence[Source],
    pictures: int,
    show: Sequence[str],
) -> str:
    sections = [
        ("What the cues gain", _summary(result) + _table(result)),
        ("mIoU over the threshold", _curves(result)),
        ("Which classes gain, which lose", _classes(result)),
        ("Pictures", gallery(result, reader, images, sources, pictures, show)),
        ("How this was made", _making(result)),
    ]
    body = "".join(f"<section><h2>{title}</h2>{content}</section>" for title, content in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>CAMs and C²AM’s cues</title><style>{STYLE.read_text(encoding='utf-8')}</style>"
        f"</head><body><main><header><h1>CAMs and C²AM’s cues</h1>{_facts(result)}</header>{body}"
        "</main></body></html>\n"
    )


def _facts(result: BenchmarkResult) -> str:
    here = sum(1 for each in result.pipelines[0].class_gains(result.classes)) - 1
    left_out = set().union(*result.missing.values(), result.failures)
    rest = f", {len(left_out)} left out" if left_out else ""
    return (
        f'<p class="facts">{len(result.image_ids)} images{rest} · {here} of '
        f"{len(result.classes) - 1} foreground classes · ground truth "
        f"{escape(result.settings['gt'])}"
        "</p>"
    )


def _summary(result: BenchmarkResult) -> str:
    cards = []
    for pipeline in result.pipelines:
        before, after = pipeline.rows["cam_best"], pipeline.rows[pipeline.headline]
        if after.gain is None:
            continue
        others = "".join(
            f"<br>{name} {signed(row.gain.miou)}"
            for name, row in (
                ("best threshold", pipeline.rows["cues_best"]),
                ("dense CRF alone", pipeline.rows.get("cam_crf")),
            )
            if row and row.gain
        )
        cards.append(
            f'<div class="card"><h3>{escape(pipeline.label)}</h3>'
            f'<p class="gain {"down" if after.gain.miou < 0 else "up"}">'
            f"{signed(after.gain.miou)}</p>"
            f"<p>{percent(before.scores.miou)} → {percent(after.scores.miou)} mIoU<br>"
            f'<span class="muted">95 % {interval(after.gain.low, after.gain.high)}{others}'
            f"<br>{scores_found(pipeline)}</span>"
            "</p></div>"
        )
    title = result.pipelines[0].rows[result.pipelines[0].headline].plan.title
    return (
        f'<div class="cards">{"".join(cards)}</div><p class="muted">{title}, at each pipeline’s '
        "own threshold, over the CAM at its best threshold (chosen with the ground truth).</p>"
    )


def _table(result: BenchmarkResult) -> str:
    heads = (
        "<th>labels</th><th>t</th><th>mIoU</th><th>gain</th><th>95 %</th><th>FP</th><th>FN</th>"
        "<th>boundary</th><th>mIoU,<br>absent = 0</th>"
    )
    bodies = []
    for pipeline in result.pipelines:
        published = (
            f" · published {pipeline.published:.1f} with C²AM on VOC 2012 train"
            if pipeline.published
            else ""
        )
        rows = "".join(
            _table_row(row, key == pipeline.headline) for key, row in pipeline.rows.items()
        )
        bodies.append(
            f'<tbody><tr class="group"><th colspan="9">{escape(pipeline.label)}'
            f'<span class="muted">{published}</span></th></tr>{rows}</tbody>'
        )
    return (
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead>{"".join(bodies)}</table></div>'
        '<p class="muted">All in percent, gains in percentage points over the CAM at its best '
        "threshold, with the bootstrap 95 % interval over images. mIoU is the mean over the "
        "classes that are present; the last column counts absent classes as 0, as the "
        "pipelines’ own evaluators do. FP and FN are over- and under-activation as shares of the "
        "union, mean over foreground classes. Boundary is the mIoU within "
        f"{result.settings['band']} pixels of the outlines. Published: {PUBLISHED_NOTE}; "
        "comparable on that data only.</p>"
    )


def _table_row(row: Row, final: bool) -> str:
    gain = (
        ("", "")
        if row.gain is None
        else (
            signed(row.gain.miou),
            interval(row.gain.low, row.gain.high),
        )
    )
    cells = (
        f"{row.plan.background_score:.2f}",
        percent(row.scores.miou),
        *gain,
        percent(row.scores.mean_fp),
        percent(row.scores.mean_fn),
        percent(row.trimap_miou),
        percent(row.scores.counting_absent().miou),
    )
    return (
        f"<tr{' class=final' if final else ''}><td>{row.plan.title}</td>"
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _curves(result: BenchmarkResult) -> str:
    names = [name for name in NAMES if name in result.pipelines[0].curves]
    legend = "".join(f'<span><i class="key key-{name}"></i>{NAMES[name]}</span>' for name in names)
    figures = "".join(
        f"<figure><figcaption>{escape(each.label)}</figcaption>{curve_svg(each)}</figure>"
        for each in result.pipelines
    )
    return (
        f'<p class="legend">{legend}<span class="muted">dots: best threshold; dashed: the '
        f'pipeline’s own t; mIoU in percent</span></p><div class="curves">{figures}</div>'
    )


def _classes(result: BenchmarkResult) -> str:
    return "".join(
        _class_table(result, pipeline, opened=index == 0)
        for index, pipeline in enumerate(result.pipelines)
    )


def _class_table(result: BenchmarkResult, pipeline: PipelineResult, opened: bool) -> str:
    gains = pipeline.class_gains(result.classes)
    largest = max(abs(each.gain) for each in gains) or 1.0
    plain = {}
    if "guard" in pipeline.rows:
        plain = {each.name: each.gain for each in pipeline.class_gains(result.classes, "cues")}
    rows = "".join(_class_row(each, largest, plain.get(each.name)) for each in gains)
    guard = "<th>unguarded</th>" if plain else ""
    note = ""
    if pipeline.guard_gain is not None:
        note = (
            f"<p>The guard trusts the cue less for {pipeline.distrusted} of {pipeline.pairs} "
            f"classes of an image, which adds {signed(pipeline.guard_gain.miou)} "
            f"{interval(pipeline.guard_gain.low, pipeline.guard_gain.high)} to the mIoU.</p>"
        )
    return (
        f"<details{' open' if opened else ''}><summary>{escape(pipeline.label)}: "
        f"{sum(each.loses for each in gains)} of {len(gains)} classes lose</summary>{note}"
        '<div class="wide"><table class="classes"><thead><tr><th>class</th><th>images</th>'
        "<th>CAM</th><th>cues</th><th>gain</th><th class='bar'></th><th>95 %</th>"
        f"{guard}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _class_row(each: ClassGain, largest: float, plain: float | None) -> str:
    side = "down" if each.loses else "up"
    width = 50 * abs(each.gain) / largest
    ends = interval(each.low, each.high) if each.images > 1 else "–"
    flag = ' <span class="flag">loses</span>' if each.loses else ""
    unguarded = "" if plain is None else f"<td>{signed(plain)}</td>"
    return (
        f"<tr><td>{escape(each.name)}{flag}</td><td>{each.images}</td>"
        f"<td>{percent(each.before)}</td><td>{percent(each.after)}</td>"
        f"<td>{signed(each.gain)}</td>"
        f'<td class="bar"><i class="{side}" style="width:{width:.1f}%"></i></td>'
        f"<td>{ends}</td>{unguarded}</tr>"
    )


def _making(result: BenchmarkResult) -> str:
    settings = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>"
        for name, value in result.settings.items()
        if name not in ("cams", "ids", "show")
    )
    found = " · ".join(f"{name} {number}" for name, number in versions().items())
    fitted = "".join(
        f"<tr><td>{escape(each.label)}</td><td>cues calibrated: they side with "
        f"{percent(each.fit['accuracy'], 0)} % of what the CAMs are sure of</td></tr>"
        for each in result.pipelines
        if each.fit
    )
    missing = "".join(
        f"<li>{len(ids)} images have no {escape(what)}: {escape(first_names(ids))}</li>"
        for what, ids in result.missing.items()
    )
    failed = "".join(f"<li>{escape(message)}</li>" for message in result.failures.values())
    losers = "".join(
        f"<li>{escape(each.label)}: {escape(losing(each.class_gains(result.classes)))}</li>"
        for each in result.pipelines
    )
    return (
        f"<pre>{escape(command_line(result.settings))}</pre><p>{escape(found)}</p>"
        f'<div class="wide"><table class="settings"><tbody>{settings}{fitted}</tbody></table></div>'
        f"<h3>Classes that lose</h3><ul>{losers}</ul>"
        + (f"<h3>Left out</h3><ul>{missing}{failed}</ul>" if missing or failed else "")
    )
