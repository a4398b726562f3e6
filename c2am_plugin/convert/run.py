"""convert_cams: a folder of CAM files in, the same CAMs in another pipeline's layout out.

The adapters know the layouts, image.py converts one image, and runs.parallel runs many. This module
combines them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..cams import CamAdapter, read_cams
from ..errors import InputError
from ..files.cam_files import write_cams
from ..files.folders import refuse_inside
from ..refine.formula import check_background_score
from ..registry import choose_adapter, get_adapter
from ..runs.output_folders import cam_output, hold_folders, record_path, write_report
from ..runs.parallel import run_images
from ..runs.shards import Shard
from ..seeds.run import listed_cams
from .image import convert_image
from .report import ConvertReport

__all__ = ["ConvertReport", "convert_cams"]

COMMAND = "c2am-convert"
log = logging.getLogger("c2am_plugin")


def convert_cams(
    cam_dir: str | Path,
    out_dir: str | Path,
    *,
    to: str,
    method: str = "auto",
    background_score: float | None = None,
    fold: bool = False,
    clip: bool = False,
    ids: str | Path | Sequence[str] | None = None,
    shard: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> ConvertReport:
    """Write every CAM file of a folder in another pipeline's layout.

    cam_dir    folder of CAM files that a pipeline wrote, K×H×W in [0, 1] per image
    out_dir    folder for the new files, with the same image ids
    to         the name of the pipeline whose next stage will read them
    method     the name of the pipeline that wrote them, or "auto" to detect the layout
    background_score  t in (0, 1) of the CAMs; default that of `method`
    fold       change the CAMs so that the target's own t gives the labels that `background_score`
               gives: odds(max') = odds(max)·odds(t')/odds(t), with the same class ratios. By
               default the values stay, and their reader must compare them with `background_score`
    clip       accept CAMs outside [0, 1] and NaN by clipping; by default such files fail
    ids        a list file or a sequence of image ids; default every CAM file
    shard      "I/N": only the I-th of N parts of the images, as in `refine_cams`
    workers    images processed at once; default one per core
    overwrite  replace files that another run or another program wrote
    progress   show a bar on stderr

    Class ids, containers, dtypes and sizes are the target's; unknown keys of a file are dropped. A
    background in the source's files is folded into the CAMs if the target's files contain none; a
    constant becomes a map if they do. The labels stay the same.
    A copy at ⌈H/4⌉×⌈W/4⌉ is made if only the target stores one, and dropped if only the source
    does. Images that are already done are skipped. A file that fails does not stop the run and is
    listed in the report, which is also stored, with the settings, beside out_dir. Raises InputError
    or OutputError before any image is processed.

    >>> from c2am_plugin import convert_cams
    >>> convert_cams("weaktr/cams", "cams_irn", to="irn", method="weaktr")  # doctest: +SKIP
    """
    if background_score is not None:
        check_background_score(background_score)
    cam_dir, out_dir, part = Path(cam_dir), Path(out_dir), Shard.parse(shard)
    refuse_inside([cam_dir], out_dir)
    target = get_adapter(to)
    cams = listed_cams(cam_dir, ids, method=method)
    source = choose_adapter(method, list(cams.values()))
    stored, store = (getattr(each, "stores_background", False) for each in (source, target))
    score = source.background_score if background_score is None else float(background_score)
    fold = (fold or stored) and not store
    _check_scores(source, target, score, stored=stored, store=store, fold=fold)
    job = ConvertJob(
        source, target, out_dir, clip, score, target.background_score if fold else None, store
    )
    if not (fold or store):
        _tell_score(source, target, score)
    settings = {
        "cam_dir": str(cam_dir.resolve()),
        "method": source.name,
        "to": target.name,
        "background_score": score if fold or store else None,
        "fold": fold,
        "clip": clip,
    }
    todo = part.of(list(cams))
    output = cam_output(target, out_dir, settings)
    with hold_folders(COMMAND, todo, [output], overwrite=overwrite, shard=part.name) as done:
        outcome = run_images(
            job,
            [CamFile(image_id, cams[image_id]) for image_id in todo if image_id not in done],
            workers=workers,
            title="converting",
            prefer="processes",
            progress=progress,
        )
        report = ConvertReport(
            out_dir=str(out_dir),
            method=source.name,
            to=target.name,
            background_score=target.background_score if fold else None if store else score,
            converted=len(outcome.results),
            already_there=len(done),
            without_class=sum(n_classes == 0 for n_classes in outcome.results.values()),
            seconds=round(outcome.seconds, 3),
            failures=outcome.failures,
        )
        write_report(record_path(out_dir, COMMAND, part.name), settings, asdict(report))
    return report


@dataclass(frozen=True)
class CamFile:
    """One image's CAM file."""

    image_id: str
    path: Path


@dataclass(frozen=True)
class ConvertJob:
    """Converts one image; called with its file.

    score, fold_to, store_background: as for `convert_image`.
    """

    source: CamAdapter
    target: CamAdapter
    out_dir: Path
    clip: bool
    score: float | None
    fold_to: float | None
    store_background: bool

    def __call__(self, image: CamFile) -> int:
        cams = read_cams(self.source, image.path, image.image_id, clip=self.clip)
        cams = convert_image(cams, self.score, self.fold_to, self.store_background)
        write_cams(self.target, cams, self.out_dir)
        return len(cams.class_ids)


def _check_scores(
    source: CamAdapter,
    target: CamAdapter,
    score: float | None,
    *,
    stored: bool,
    store: bool,
    fold: bool,
) -> None:
    if stored:
        if not store:
            log.info(
                "%s's files contain a background and %s's do not, so it is folded into the CAMs; "
                "t = %s gives the same labels",
                source.name,
                target.name,
                target.background_score,
            )
    elif (fold or store) and score is None:
        raise InputError(
            f"{source.name} has no constant background score; give background_score, a number "
            "between 0 and 1"
        )
    if fold and target.background_score is None:
        raise InputError(
            f"{target.name} has no constant background score to fold the CAMs to; name a pipeline "
            "of the same layout that has one"
        )


def _tell_score(source: CamAdapter, target: CamAdapter, score: float | None) -> None:
    own: Any = target.background_score
    if score != own:
        log.warning(
            "the values are unchanged, so compare them with %s, not with %s",
            f"t = {score:g} of {source.name}" if score else f"a t chosen for {source.name}",
            f"{target.name}'s {own:g}" if own else f"a t chosen for {target.name}",
        )
