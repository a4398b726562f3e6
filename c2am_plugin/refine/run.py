"""refine_cams: a folder of CAM files and a folder of cues in, a folder of better CAM files out.

This module connects the parts: the adapters know the layouts, pairing.py matches the files,
formula.py has the formula, image.py refines one image, and runs.parallel runs many.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..cams import CamAdapter, below_zero_line, stored_scale
from ..crf.dense_crf import Backend, check_backend, make_ready
from ..crf.settings import crf_setting as find_setting
from ..crf.settings import label_setting
from ..files.cam_files import cam_path
from ..files.roots import photo_folders
from ..registry import choose_adapter
from ..runs.arguments import either
from ..runs.output_folders import OutputFolder, cam_output, hold_folders, record_path, write_report
from ..runs.parallel import run_images
from ..runs.shards import Shard
from ..runs.warned import keeps_warnings, warnings_so_far
from ..seeds.run import SeedPlan, plan_seeds
from .arguments import (
    check_choices,
    check_crf_arguments,
    check_output_arguments,
    check_outputs,
    default_output,
)
from .background import settle_score
from .image import ImageJob, refine_image
from .pairing import ImageFiles, Pairing, add_photos, add_segments, pair
from .report import RefineReport
from .sample_checks import check_sample
from .set_calibration import calibrate_set, log_calibration, name_greys
from .several_cues import cue_folders

__all__ = ["RefineReport", "refine_cams", "refine_image"]

COMMAND = "c2am-refine"
log = logging.getLogger("c2am_plugin")


@keeps_warnings
def refine_cams(
    cam_dir: str | Path,
    cue_dir: str | Path | Sequence[str | Path],
    out_dir: str | Path | None = None,
    *,
    method: str = "auto",
    background_score: float | str | None = None,
    threshold: float | str | None = None,
    strength: float = 1.0,
    segments: str | Path | None = None,
    calibrate: str = "auto",
    guard: bool = False,
    missing: str = "error",
    flip_cues: bool = False,
    stretch_cues: bool = False,
    clip: bool = False,
    scale_by: float | None = None,
    float16: bool = False,
    labels: str | Path | None = None,
    labels_only: bool = False,
    crf: bool = False,
    crf_backend: Backend = "auto",
    crf_setting: str | None = None,
    ignore_below: float = 0.0,
    confidence: str | Path | None = None,
    seeds: str | Path | None = None,
    seed_settings: Mapping[str, float] | None = None,
    images: str | Path | None = None,
    ids: str | Path | Sequence[str] | None = None,
    shard: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> RefineReport:
    """Refine every CAM file of a folder with the cue of the same image id.

    cam_dir    files as a pipeline wrote them, in a layout that an adapter reads
    cue_dir    `<id>.png` (or float `.npy`) cues, high = foreground. Of several folders the cues of
               an image are combined (several_cues.py) and calibrated
    out_dir    folder for files of the same names and layout; default `<cam_dir>_c2am`
    method     the name of a profile (`registry.adapter_names`), or "auto" to detect the layout
               from the files
    background_score  t in (0, 1), what the pipeline compares its CAMs with; default the profile's.
               "auto", or a profile without a constant: the t at which the CAMs' foreground agrees
               best with the cues, without ground truth (background.py). `threshold` is a second
               name of this argument
    strength   influence of the cues: the exponent of their odds ratio, 1 as in the paper, 0 none
    segments   folder of segments, within which the refined CAMs are averaged (segments.py): a file
               of segment numbers per image, `<id>.npy` or `<id>.png`, or a folder `<id>/` of mask
               PNGs. An image without a cue is not averaged
    calibrate  "on": first calibrate the cues to the sure pixels of the set's CAMs, without ground
               truth (`calibration.calibrate_cues`), so that cues have no more influence than their
               agreement with the CAMs warrants; "off": use the cues uncalibrated, as the paper
               does; "auto": on for the soft cues and maps of c2am-cues, off for all others
    guard      down-weight a cue where it would erase most of a class's confident area
               (`guard.guard_cue`); for uncalibrated cues
    missing    for an image without a cue: "error" refuses to start, "keep" copies its CAM file,
               "skip" leaves the image out; the same without segments, where "keep" refines the
               CAMs and does not average them
    flip_cues  the cues are inverted: high = background
    stretch_cues  resize cues to their image's size whatever their aspect ratio, e.g. maps that are
               stored at the size of a network's square input
    clip       accept CAMs above 1 and NaN by clipping; else such files fail. Values below 0 are
               read as 0 without it
    scale_by   the files' values are CAMs times this, e.g. 255; they are divided by it, and what is
               written has the same scale. Folders of 0 and 255 alone are recognised without it
    float16    store the CAMs at the image's size in half the disk space. Labels are the same; the
               smaller copy of PuzzleCAM and IRN stays float32, which their random walks need
    labels     folder for pseudo labels argmax([t, refined]) as palette PNGs; default none. Where
               the CAMs are smaller than the photograph, or than the cue, the refined maps are first
               resized to its size (bilinear)
    labels_only  write no CAM files; needs `labels`
    crf        run the dense CRF on the labels before they are written; needs `images`
    crf_backend  "numba", "pydensecrf", or "auto": numba where it is installed. The labels are the
               same
    crf_setting  "irn", "c2am", "psa" or "clip_es" (crf/settings.py); default the profile's
    ignore_below  labels are 255 where the CRF's winning class is less probable; CLIP-ES: 0.95
    confidence  folder for that probability, `<id>.png`, grey, 255 = 1; needs `crf`
    seeds      folder for what the pipeline's next stage trains on, made from the refined CAMs by
               `make_seeds`; needs `images`; default none
    seed_settings  numbers of that step that replace the pipeline's own
    images     folder of photographs `<id>.jpg`, or a VOC or COCO root; only read for `crf`,
               `seeds` and the size of `labels`
    ids        a list file or a sequence of image ids; the name of a list where `images` is a VOC
               root; default every CAM file
    shard      "I/N": process only the I-th of N parts of the images, I from 1. N such runs, at the
               same time or in turn, give the result of one run without it (`c2am-merge`)
    workers    images processed at once; default one per core
    overwrite  replace files that another run or another program wrote
    progress   show a bar on stderr

    Images that are already done are skipped. A file that fails does not stop the run and is listed
    in the report, which is also stored, with the settings, beside out_dir. Raises InputError or
    OutputError before any image is processed.

    >>> from c2am_plugin import refine_cams
    >>> report = refine_cams("psa_cam", "cues", labels="labels")  # doctest: +SKIP
    >>> report.refined, report.failures  # doctest: +SKIP
    (1464, {})
    """
    background_score = either("background_score, threshold", background_score, None, threshold)
    check_choices(missing, calibrate, strength, background_score)
    check_crf_arguments(
        crf,
        labels=labels,
        images=images,
        crf_setting=crf_setting,
        ignore_below=ignore_below,
        confidence=confidence,
    )
    check_output_arguments(
        out_dir=out_dir,
        labels=labels,
        labels_only=labels_only,
        seeds=seeds,
        seed_settings=seed_settings,
        images=images,
    )
    if crf or seeds:
        check_backend(crf_backend)
    part = Shard.parse(shard)
    cam_dir, cue_dirs = Path(cam_dir), cue_folders(cue_dir)
    refined = None if labels_only else Path(out_dir) if out_dir else default_output(cam_dir)
    if refined:
        log.info("refined CAMs go to %s", refined)
    outputs = [Path(folder) for folder in (refined, labels, confidence, seeds) if folder]
    photos = photo_folders(images) if images else []
    check_outputs(outputs, [cam_dir, *cue_dirs, segments, *photos])

    # Read everything that could refuse the run before anything is written.
    pairing = pair(
        cam_dir,
        cue_dirs,
        ids,
        missing,
        method=method,
        images=images,
        flip=flip_cues,
        stretch=stretch_cues,
    )
    if segments:
        pairing = add_segments(pairing, segments, missing)
    if labels and images:
        pairing = add_photos(pairing, images)
    adapter = choose_adapter(
        method,
        [image.cam for image in pairing.images],
        scale_by=scale_by,
        tell_below_zero=False,
    )
    job = ImageJob(
        adapter=adapter,
        out_dir=refined,
        labels=Path(labels) if labels else None,
        background_score=settle_score(
            adapter,
            background_score,
            pairing.with_cue,
            reading=pairing.reading,
            clip=clip,
            workers=workers,
            progress=progress,
        ),
        strength=float(strength),
        reading=pairing.reading,
        clip=clip,
        crf=crf,
        crf_setting=_crf_name(adapter, crf_setting),
        ignore_below=float(ignore_below),
        confidence=Path(confidence) if confidence else None,
        guard=guard,
        float16=float16,
        crf_backend=crf_backend,
        zero_is_none=pairing.segments is None or pairing.segments.zero_is_none,
    )
    todo, plan = part.of(pairing.images), None
    if seeds and images and refined:
        plan = plan_seeds(
            adapter,
            refined,
            seeds,
            images,
            [each.image_id for each in todo],
            seed_settings,
            clip,
            crf_backend,
        )
    job = _calibrated(job, pairing, calibrate, workers=workers, progress=progress)
    settings = _settings(job, cam_dir, pairing, missing)
    if segments:
        settings |= {
            "segments": str(Path(segments).resolve()),
            "zero_is_none": job.zero_is_none,
        }
    if plan:
        plan.check(settings, overwrite=overwrite)
    return _run(
        job,
        settings,
        todo,
        pairing,
        part.name,
        plan,
        workers=workers,
        overwrite=overwrite,
        progress=progress,
    )


def _calibrated(
    job: ImageJob, pairing: Pairing, calibrate: str, *, workers: int | None, progress: bool
) -> ImageJob:
    """Check whether CAMs and cues fit, and calibrate the cues where that is wanted."""
    cues = check_sample(job, pairing)
    reading, calibration = calibrate_set(
        calibrate,
        job.adapter,
        pairing.with_cue,
        job.background_score,
        job.reading,
        clip=job.clip,
        workers=workers,
        progress=progress,
    )
    if calibration is None:
        name_greys(calibrate, cues)
        return job
    log_calibration(calibration)
    return replace(job, calibration=calibration, reading=reading)


def _settings(job: ImageJob, cam_dir: Path, pairing: Pairing, missing: str) -> dict[str, Any]:
    """What the CAM files depend on: a run with other settings is a different run."""
    cue_dirs = [str(folder.resolve()) for folder in pairing.folders]
    several = len(cue_dirs) > 1
    return {
        "cam_dir": str(cam_dir.resolve()),
        "cue_dir": cue_dirs if several else cue_dirs[0],
        **({"cue_shares": list(job.reading.shares)} if several else {}),
        "method": job.adapter.name,
        "background_score": job.background_score,
        "strength": job.strength,
        "calibrated": asdict(job.calibration) if job.calibration else None,
        "guard": job.guard,
        "missing": missing,
        "flip_cues": job.reading.form.flip,
        "stretch_cues": job.reading.form.stretch,
        "clip": job.clip,
        "scale_by": stored_scale(job.adapter),
        "float16": job.float16,
    }


def _run(
    job: ImageJob,
    settings: dict[str, Any],
    todo: list[ImageFiles],
    pairing: Pairing,
    shard: str,
    plan: SeedPlan | None,
    *,
    workers: int | None,
    overwrite: bool,
    progress: bool,
) -> RefineReport:
    outputs = _output_folders(job, settings)
    ids = [image.image_id for image in todo]
    with hold_folders(COMMAND, ids, outputs, overwrite=overwrite, shard=shard) as done:
        outcome = run_images(
            job,
            [image for image in todo if image.image_id not in done],
            workers=workers,
            title="refining",
            prefer=make_ready(job.crf_backend) if job.crf else "processes",
            progress=progress,
        )
        report = RefineReport.of(job, outcome, already=len(done), left_out=pairing.left_out)
        if len(pairing.folders) > 1:
            names = map(str, pairing.folders)
            report.cue_shares = dict(zip(names, job.reading.shares, strict=True))
        if report.below_zero:
            log.info("%s", below_zero_line(report.below_zero, len(outcome.results)))
        report.warnings = warnings_so_far()
        stored = asdict(report)
        stored.pop("seeds")  # they have a report of their own
        write_report(record_path(outputs[0].folder, COMMAND, shard), outputs[0].settings, stored)
        if plan and job.out_dir:
            report.seeds = plan.run(
                {
                    i: cam_path(job.adapter, job.out_dir, i)
                    for i in ids
                    if i not in outcome.failures
                },
                settings,
                shard=shard,
                workers=workers,
                overwrite=overwrite,
                progress=progress,
            )
    return report


def _output_folders(job: ImageJob, settings: dict[str, Any]) -> list[OutputFolder]:
    outputs = [] if job.out_dir is None else [cam_output(job.adapter, job.out_dir, settings)]
    if job.labels is not None:
        own = {
            **settings,
            "crf": job.crf_backend if job.crf else False,
            "crf_setting": job.crf_setting if job.crf else None,
            "ignore_below": job.ignore_below,
        }
        outputs.append(OutputFolder(job.labels, own, ".png"))
        if job.confidence is not None:
            outputs.append(OutputFolder(job.confidence, own, ".png"))
    return outputs


def _crf_name(adapter: CamAdapter, name: str | None) -> str:
    own = getattr(getattr(adapter, "profile", None), "crf", "")
    name = name or label_setting(own)
    find_setting(name)
    return name
