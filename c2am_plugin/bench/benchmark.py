"""Stored CAMs against the same CAMs refined: what the cues gain, where, and with what certainty.

Which images, which rows, and the order of the work. One image's work is in scoring.py, the
arithmetic in metrics.py and gains.py, what is found in results.py, how it is shown in tables.py
and report.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..cams import CamAdapter, constant_score
from ..crf.dense_crf import Backend, check_backend, make_ready
from ..errors import InputError
from ..files.class_lists import class_names
from ..files.folders import first_names
from ..refine.background import check_score, find_score, needs_search, take_score
from ..refine.formula import check_strength
from ..refine.pairing import ImageFiles
from ..refine.set_calibration import calibrate_set, check_calibrate
from ..refine.several_cues import CueReading
from ..runs.output_folders import OutputFolder, as_setting, hold_folders
from ..runs.parallel import run_images
from .evaluate import THRESHOLDS
from .gains import paired_gain
from .inputs import Folders, adapter_of, choose_images
from .metrics import cumulate, scores
from .results import BenchmarkResult, PipelineResult, Row
from .scoring import BenchFiles, ImageReader, RowPlan, ScoreJob, Source, SweepJob

__all__ = ["benchmark"]

COMMAND = "c2am-bench"
log = logging.getLogger("c2am_plugin")


def benchmark(
    cams: Mapping[str, str | Path],
    cues: str | Path | Sequence[str | Path],
    gt: str | Path,
    out: str | Path | None = None,
    *,
    ids: str | Path | Sequence[str] | None = None,
    images: str | Path | None = None,
    classes: str | Path | Sequence[str] | None = None,
    crf: bool = False,
    crf_backend: Backend = "auto",
    guard: bool = False,
    background_score: float | str | None = None,
    strength: float = 1.0,
    segments: str | Path | None = None,
    calibrate: str = "auto",
    band: int = 10,
    flip_cues: bool = False,
    stretch_cues: bool = False,
    clip: bool = False,
    scale_by: float | None = None,
    pictures: int = 3,
    show: Sequence[str] = (),
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> BenchmarkResult:
    """Score stored CAMs, and the same CAMs refined by cues, against ground truth.

    cams      {pipeline: folder of its CAM files}, e.g. {"psa": DIR, "seam": DIR}; a second folder
              of the same format as "psa:mctformer": what follows the colon is only a name
    cues      `<id>.png` (or float `.npy`), high = foreground; one folder or several, as in
              `refine_cams`
    gt        `<id>.png` of class indices, 0 = background, 255 = ignore; or a VOC root
    out       folder for report.html, results.json, results.csv and table.md; None writes nothing
    ids       a list file or image ids, or the name of a list where `gt` or `images` is a VOC root;
              default every image that has all that is needed
    images    folder of photographs: adds CAM + dense CRF, and photographs to the pictures
    classes   names, background first: a file with one per line, or a sequence; default VOC's 21
    crf       adds CAM + cues + dense CRF; needs `images`
    crf_backend  "numba", "pydensecrf", or "auto": numba where it is installed. Same labels
    guard     adds the guard (guard.py), and measures the gains with it
    background_score  t of every pipeline, or "auto"; default its own, as in `refine_cams`
    strength, calibrate  how far the cues are trusted, as in `refine_cams`
    segments  folder of segments: adds the refined CAMs averaged within them, as `refine_cams`
              does it, and measures the gains with them
    band      pixels to each side of the outlines that boundaries are scored in
    flip_cues, stretch_cues, clip, scale_by  as in `refine_cams`
    pictures  how many images are shown of each: best gain, worst loss, at random
    show      ids of further images to show
    workers   images processed at once; default one per core
    overwrite  replace a report that another program wrote into `out`
    progress  show a bar on stderr

    All rows are made of the same images: those with ground truth, a cue, a CAM of every pipeline
    and, with `images` or `segments`, a photograph or segments; the others are counted and named in
    `missing`. Calibration needs no ground truth: it uses the images with a CAM and a cue, as in
    `refine_cams`. Raises InputError where nothing is left, OutputError where `out` contains
    something else.

    >>> from c2am_plugin import benchmark
    >>> result = benchmark({"psa": "psa_cam"}, "cues", "VOC2012", "report")  # doctest: +SKIP
    >>> print(result.table())  # doctest: +SKIP
    """
    if crf and images is None:
        raise InputError("`crf` works on photographs: it needs `images`")
    if not cams:
        raise InputError("no CAM folder is given; expected one or more in `cams`")
    if band < 1 or pictures < 0:
        raise InputError(f"band {band}, pictures {pictures}: expected from 1, and from 0")
    check_score(background_score)
    check_calibrate(calibrate)
    check_strength(strength)
    if images is not None:
        check_backend(crf_backend)
    names = class_names(classes)
    folders = Folders.find(
        cams,
        cues,
        gt,
        images,
        ids,
        len(names),
        flip_cues=flip_cues,
        stretch_cues=stretch_cues,
        segments=segments,
    )
    adapters = {label: adapter_of(label, folders.cams[label], scale_by) for label in cams}
    reader = ImageReader(strength, guard, folders.reading, clip, crf_backend)
    chosen, missing = choose_images(folders)
    if unknown := set(show) - {image.image_id for image in chosen}:
        raise InputError(f"cannot show {first_names(unknown)}: not among the {len(chosen)} images")
    sources = [
        _source(
            label,
            adapter,
            folders.with_cue(label),
            background_score,
            folders.reading,
            clip,
            workers,
            progress,
        )
        for label, adapter in adapters.items()
    ]
    if segments is not None:
        sources = [replace(each, segments=folders.segments[each.label]) for each in sources]
    settings: dict[str, Any] = {
        "cams": {label: str(folder) for label, folder in cams.items()},
        "cues": _cue_setting(folders),
        "gt": str(gt),
        "images": as_setting(images),
        "ids": as_setting(ids),
        "classes": as_setting(classes),
        "crf": crf,
        "crf_backend": crf_backend,
        "guard": guard,
        "background_score": background_score,
        "strength": strength,
        "segments": as_setting(segments),
        "calibrate": calibrate,
        "band": band,
        "stretch_cues": stretch_cues,
        "flip_cues": flip_cues,
        "clip": clip,
        "scale_by": scale_by,
        "pictures": pictures,
        "show": list(show),
    }
    with ExitStack() as stack:
        if out is not None:
            from .report import OUTPUTS

            output = OutputFolder(Path(out), settings)
            stack.enter_context(hold_folders(COMMAND, OUTPUTS, [output], overwrite=overwrite))
        sources = [
            _calibrated(
                source, folders.with_cue(source.label), reader, calibrate, workers, progress
            )
            for source in sources
        ]
        pipelines, used, failures = _run(
            reader, sources, chosen, len(names), crf, band, workers, progress
        )
        result = BenchmarkResult(used, names, pipelines, settings, missing, failures)
        if out is not None:
            from .report import write_report

            write_report(result, out, reader, chosen, sources, pictures, show)
        return result


def _cue_setting(folders: Folders) -> str | list[str]:
    paths = [str(folder.path) for folder in folders.cues]
    return paths if len(paths) > 1 else paths[0]


def _source(
    label: str,
    adapter: CamAdapter,
    images: Sequence[ImageFiles],
    score: float | str | None,
    reading: CueReading,
    clip: bool,
    workers: int | None,
    progress: bool,
) -> Source:
    """A pipeline's CAMs with the background score that they are compared with.

    The one found from cues and CAMs is kept beside it, unless the files contain their background.
    """
    searched, found = needs_search(adapter, score), None
    if not getattr(adapter, "stores_background", False):
        try:
            found = find_score(
                adapter, images, reading=reading, clip=clip, workers=workers, progress=progress
            )
        except InputError:  # no file can be read, which is reported with the rows
            if searched:
                raise
    label_free = None if found is None else found.background_score
    if searched and found is not None:
        t = take_score(adapter, found)
    else:
        t = constant_score(adapter, score)  # type: ignore[arg-type]
    return Source(label, adapter, np.union1d(THRESHOLDS, [t]), t, label_free)


def _calibrated(
    source: Source,
    images: Sequence[ImageFiles],
    reader: ImageReader,
    calibrate: str,
    workers: int | None,
    progress: bool,
) -> Source:
    """The source with its cues calibrated where `refine_cams` would do it, and in the same way."""
    reading, calibration = calibrate_set(
        calibrate,
        source.adapter,
        images,
        source.t,
        reader.reading,
        clip=reader.clip,
        workers=workers,
        progress=progress,
    )
    return replace(source, calibration=calibration, reading=reading)


def _run(
    reader: ImageReader,
    sources: Sequence[Source],
    chosen: list[BenchFiles],
    n_classes: int,
    crf: bool,
    band: int,
    workers: int | None,
    progress: bool,
) -> tuple[list[PipelineResult], list[str], dict[str, str]]:
    """Two passes: the CAM's best threshold has to be known before its labels meet the CRF."""
    with_photos = chosen[0].photo is not None
    sweep = run_images(
        SweepJob(reader, sources, n_classes),
        chosen,
        workers=workers,
        title="thresholds",
        progress=progress,
    )
    used = _survivors(sweep.results, sweep.failures)
    curves = {source.label: _curves(sweep.results, used, source, n_classes) for source in sources}
    plans = {
        source.label: _plan_rows(source, curves[source.label], with_photos, crf)
        for source in sources
    }
    if with_photos:
        make_ready(reader.crf_backend)
    score = run_images(
        ScoreJob(reader, sources, plans, n_classes, band),
        [image for image in chosen if image.image_id in sweep.results],
        workers=workers,
        title="rows",
        progress=progress,
    )
    failures = {**sweep.failures, **score.failures}
    used = _survivors(score.results, failures)
    if score.failures:
        curves = {s.label: _curves(sweep.results, used, s, n_classes) for s in sources}
    found = [score.results[image_id] for image_id in used]
    pipelines = [_pipeline(s, curves[s.label], plans[s.label], found) for s in sources]
    return pipelines, used, failures


def _survivors(results: dict[str, Any], failures: dict[str, str]) -> list[str]:
    if not results:
        first = next(iter(failures.values()))
        raise InputError(f"all {len(failures)} images failed; first: {first}")
    return list(results)


def _curves(
    results: dict[str, Any], used: Sequence[str], source: Source, n_classes: int
) -> dict[str, np.ndarray]:
    """{variant: mIoU float64 [T]} from the sparse histograms of the images."""
    shape = (n_classes, n_classes, len(source.thresholds) + 1)
    curves = {}
    for variant in results[used[0]][source.label]:
        total = np.zeros(np.prod(shape), np.int64)
        for image_id in used:
            index, count = results[image_id][source.label][variant]
            total[index] += count
        matrices = cumulate(total.reshape(shape))
        curves[variant] = np.array([scores(matrix).miou for matrix in matrices])
        if np.isnan(curves[variant]).any():
            raise InputError("the ground truth of these images has no labelled pixel")
    return curves


def _plan_rows(
    source: Source, curves: dict[str, np.ndarray], with_photos: bool, crf: bool
) -> list[RowPlan]:
    t = source.t
    best = {name: float(source.thresholds[np.argmax(curve)]) for name, curve in curves.items()}
    final = next(name for name in ("segments", "guard", "cues") if name in curves)
    titles = {"cues": "CAM + cues", "guard": "CAM + cues, guarded"}
    titles["segments"] = f"{titles['guard' if 'guard' in curves else 'cues']}, segments"
    rows = [
        RowPlan("cam", "CAM", "cam", t),
        RowPlan("cam_best", "CAM, best threshold", "cam", best["cam"]),
        RowPlan("cam_own_crf", "CAM + dense CRF", "cam", t, crf=True),
        RowPlan("cam_crf", "CAM, best threshold + dense CRF", "cam", best["cam"], crf=True),
        RowPlan("cues", titles["cues"], "cues", t),
        RowPlan("guard", titles["guard"], "guard", t),
        RowPlan("segments", titles["segments"], "segments", t),
        RowPlan("cues_best", f"{titles[final]}, best threshold", final, best[final]),
        RowPlan("cues_crf", f"{titles[final]} + dense CRF", final, t, crf=True),
    ]
    wanted = {
        "cam_own_crf": with_photos,
        "cam_crf": with_photos,
        "guard": "guard" in curves,
        "segments": "segments" in curves,
        "cues_crf": crf,
    }
    return [row for row in rows if wanted.get(row.key, True)]


def _pipeline(
    source: Source, curves: dict[str, np.ndarray], plans: Sequence[RowPlan], found: list[Any]
) -> PipelineResult:
    counts = {
        plan.key: np.stack([image[0][source.label][plan.key] for image in found]) for plan in plans
    }
    base = counts["cam_best"][:, 0]
    rows = {}
    for plan in plans:
        whole, near = counts[plan.key][:, 0], counts[plan.key][:, 1]
        gain = None if plan.key == "cam_best" else paired_gain(base, whole)
        rows[plan.key] = Row(plan, whole, near, gain)
    trust = np.concatenate([image[1][source.label] for image in found])
    return PipelineResult(
        label=source.label,
        method=source.adapter.name,
        t=source.t,
        label_free=source.label_free,
        thresholds=source.thresholds,
        curves=curves,
        rows=rows,
        headline=next(key for key in ("segments", "guard", "cues") if key in rows),
        distrusted=int((trust < 1).sum()),
        pairs=len(trust),
        calibration=None if source.calibration is None else asdict(source.calibration),
    )
