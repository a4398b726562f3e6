"""make_seeds: a folder of CAM files and its photographs in, seeds for the next stage out.

The adapters define the seeds, and runs.parallel runs many images. Works on any folder of CAM
files, refined or not.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..cams import CamAdapter, SeedAdapter, read_cams, stored_scale
from ..crf.dense_crf import Backend, check_backend, make_ready, use_backend
from ..errors import InputError
from ..files.folders import refuse_inside
from ..files.lists import lacking, wanted_ids
from ..files.photos import find_photos, read_photo, read_photo_of
from ..files.roots import photo_folders
from ..files.writing import atomic_path
from ..registry import choose_adapter, find_cams
from ..runs.output_folders import (
    OutputFolder,
    check_folders,
    hold_folders,
    read_record,
    record_path,
    write_report,
)
from ..runs.parallel import run_images
from ..runs.shards import Shard
from .report import SeedCount, SeedReport

__all__ = ["SeedPlan", "SeedReport", "listed_cams", "make_seeds", "plan_seeds"]

COMMAND, REFINE = "c2am-seeds", "c2am-refine"
log = logging.getLogger("c2am_plugin")


def make_seeds(
    cam_dir: str | Path,
    out_dir: str | Path,
    images: str | Path,
    *,
    method: str = "auto",
    settings: Mapping[str, float] | None = None,
    clip: bool = False,
    scale_by: float | None = None,
    crf_backend: Backend = "auto",
    ids: str | Path | Sequence[str] | None = None,
    shard: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> SeedReport:
    """Make the seeds that the pipeline's next stage trains on, from every CAM file of a folder.

    cam_dir    folder of CAM files, refined or not
    out_dir    folder for the seeds. PSA, SC-CAM: dumps `out_la_crf/<id>.npy` and
               `out_ha_crf/<id>.npy`; SEAM: `out_crf_4.0/<id>.npy` and `out_crf_24.0/<id>.npy`; each
               {0: background, c + 1: class c}, float32 H×W, sum 1 per pixel. PuzzleCAM, AdvCAM
               (IRN): `<id>.png`, grey uint8 H×W; 0 background, c + 1 for class c, 255 ignored
    images     folder of the photographs `<id>.jpg`, of the size of the CAMs
    method     the name of the pipeline, or "auto" to detect the layout. PSA, SC-CAM and SEAM have
               the same layout; "auto" uses PSA's settings and folders
    settings   numbers that replace the pipeline's own: "low_alpha" and "high_alpha" (PSA, SC-CAM 4,
               32; SEAM 4, 24), or the background scores "fg" and "bg" (PuzzleCAM 0.40, 0.10; AdvCAM
               0.35, 0.15)
    clip       accept CAMs above 1 and NaN by clipping; by default such files fail
    scale_by   the files' values are CAMs times this number, as in `refine_cams`
    crf_backend  "numba", "pydensecrf", or "auto": numba if it is installed
    ids        a list file or a sequence of image ids; default every CAM file
    shard      "I/N": only the I-th of N parts of the images, as in `refine_cams`
    workers    images processed at once; default one per core
    overwrite  replace files that another run or another program wrote
    progress   show a bar on stderr

    Images that are already done are skipped. A file that fails does not stop the run and is listed
    in the report, which is also stored, with the settings, beside out_dir. Raises InputError or
    OutputError before any image is processed.

    >>> from c2am_plugin import make_seeds
    >>> report = make_seeds("psa_cam_c2am", "seeds", "JPEGImages", method="psa")  # doctest: +SKIP
    >>> report.made  # doctest: +SKIP
    1464
    """
    found, part = listed_cams(Path(cam_dir), ids, images, method), Shard.parse(shard)
    adapter = choose_adapter(method, list(found.values()), scale_by=scale_by)
    cams = {image_id: found[image_id] for image_id in part.of(list(found))}
    plan = plan_seeds(adapter, cam_dir, out_dir, images, list(cams), settings, clip, crf_backend)
    return plan.run(
        cams,
        read_record(record_path(cam_dir, REFINE)),
        shard=part.name,
        workers=workers,
        overwrite=overwrite,
        progress=progress,
    )


@dataclass(frozen=True)
class SeedPlan:
    """The checked inputs, outputs and settings of a run; see `plan_seeds`."""

    adapter: SeedAdapter
    cam_dir: Path
    out_dir: Path
    images: Path
    photos: dict[str, Path]
    settings: dict[str, float]
    clip: bool
    crf_backend: Backend = "auto"

    @property
    def folders(self) -> list[Path]:
        return [self.out_dir / folder for folder in self.adapter.seed_folders(self.settings)]

    def record(self, refined_as: Mapping[str, Any] | None) -> dict[str, Any]:
        """The settings of these seeds. refined_as: those of the run that refined their CAMs."""
        return {
            "cam_dir": str(self.cam_dir.resolve()),
            "refined_as": refined_as,
            "images": str(self.images.resolve()),
            "method": self.adapter.name,
            "clip": self.clip,
            "scale_by": stored_scale(self.adapter),
            "crf": self.crf_backend,
            **self.settings,
        }

    def outputs(self, refined_as: Mapping[str, Any] | None) -> list[OutputFolder]:
        record, suffix = self.record(refined_as), self.adapter.seed_suffix
        return [OutputFolder(folder, record, suffix) for folder in self.folders]

    def check(self, refined_as: Mapping[str, Any] | None, *, overwrite: bool) -> None:
        """Raise the OutputError that `run` would raise for the content of the folders."""
        check_folders(COMMAND, self.photos, self.outputs(refined_as), overwrite=overwrite)

    def run(
        self,
        cams: Mapping[str, Path],
        refined_as: Mapping[str, Any] | None,
        *,
        shard: str,
        workers: int | None,
        overwrite: bool,
        progress: bool,
    ) -> SeedReport:
        """Make the seeds of these CAM files, {image id: path}, without those already done."""
        outputs = self.outputs(refined_as)
        with hold_folders(COMMAND, cams, outputs, overwrite=overwrite, shard=shard) as done:
            todo = [SeedFiles(i, cam, self.photos[i]) for i, cam in cams.items() if i not in done]
            outcome = run_images(
                SeedJob(self.adapter, self.folders, self.settings, self.clip, self.crf_backend),
                todo,
                workers=workers,
                title="seeds",
                prefer=make_ready(self.crf_backend) if todo else "threads",
                progress=progress,
            )
            report = SeedReport(str(self.out_dir), self.adapter.name, self.settings)
            report.add(outcome, len(done))
            if report.decided_everywhere:
                log.warning(
                    "the seeds ignore only %.1f %% of the pixels: these CAMs are near 0 or 1, as "
                    "uncalibrated hard cues make them, so the seed settings have no effect; "
                    'refine with `calibrate="on"`, which keeps uncertain pixels uncertain',
                    100 * report.ignored,
                )
            record = record_path(self.out_dir, COMMAND, shard)
            write_report(record, self.record(refined_as), asdict(report))
        return report


def plan_seeds(
    adapter: CamAdapter,
    cam_dir: str | Path,
    out_dir: str | Path,
    images: str | Path,
    ids: Sequence[str],
    settings: Mapping[str, float] | None,
    clip: bool,
    crf_backend: Backend = "auto",
) -> SeedPlan:
    """Check the inputs of `make_seeds`, as far as possible before there are CAMs in cam_dir.

    Writes nothing. Raises InputError.
    """
    check_backend(crf_backend)
    if not isinstance(adapter, SeedAdapter):
        raise InputError(
            f"{adapter.name}: this adapter cannot make seeds (it has no write_seeds, see "
            "c2am_plugin.cams.SeedAdapter); its CAMs can only be refined"
        )
    own, changed = dict(adapter.seed_settings) or _usual_settings(adapter), dict(settings or {})
    if unknown := sorted(set(changed) - set(own)):
        raise InputError(
            f"seeds of {adapter.name} have no setting {', '.join(unknown)}; they have "
            f"{', '.join(f'{name} ({value:g})' for name, value in own.items())}"
        )
    all_settings = {name: float(value) for name, value in {**own, **changed}.items()}
    adapter.seed_folders(all_settings)
    cam_dir, out_dir, images = Path(cam_dir), Path(out_dir), Path(images)
    refuse_inside([cam_dir, *photo_folders(images)], out_dir)
    photos = find_photos(images, ids)
    return SeedPlan(adapter, cam_dir, out_dir, images, photos, all_settings, clip, crf_backend)


def _usual_settings(adapter: CamAdapter) -> dict[str, float]:
    """fg and bg for a pipeline that publishes none: IRN's labels at t + 0.125 and t − 0.10.

    The author of ReCAM recommends t + 0.10 … 0.15 and t − 0.10 for other data. Raises InputError
    for a pipeline without a constant t.
    """
    t = None if getattr(adapter, "stores_background", False) else adapter.background_score
    if t is None:
        raise InputError(
            f"{adapter.name}: has no seed settings; name the pipeline that will read the seeds"
        )
    found = {"fg": round(min(t + 0.125, 0.99), 3), "bg": round(max(t - 0.10, 0.01), 3)}
    log.info(
        "%s publishes no seed settings; using fg %g and bg %g, from t = %g (t + 0.125, t − 0.10)",
        adapter.name,
        found["fg"],
        found["bg"],
        t,
    )
    return found


@dataclass(frozen=True)
class SeedFiles:
    """The files that one image's seeds are made from."""

    image_id: str
    cam: Path
    photo: Path


@dataclass(frozen=True)
class SeedJob:
    """Makes the seeds of one image in their folders; called with the image's files."""

    adapter: SeedAdapter
    folders: list[Path]
    settings: dict[str, float]
    clip: bool
    crf_backend: Backend = "auto"

    def __call__(self, image: SeedFiles) -> SeedCount:
        cams = read_cams(self.adapter, image.cam, image.image_id, clip=self.clip)
        without_class = len(cams.class_ids) == 0
        if without_class:
            photo = read_photo(image.photo)
        else:
            photo = read_photo_of(image.photo, cams.maps.shape[1:])
        name = f"{image.image_id}{self.adapter.seed_suffix}"
        with ExitStack() as stack:
            temporary = [stack.enter_context(atomic_path(each / name)) for each in self.folders]
            with use_backend(self.crf_backend):
                self.adapter.write_seeds(cams, photo, self.settings, temporary)
            label = self.adapter.read_seeds(temporary)
        return SeedCount.of(label, without_class)


def listed_cams(
    cam_dir: Path,
    ids: str | Path | Sequence[str] | None,
    images: str | Path | None = None,
    method: str = "auto",
) -> dict[str, Path]:
    """{image id: path} of all CAM files of a folder, or of those listed. Raises InputError."""
    found = find_cams(cam_dir, method)
    if ids is None:
        return found
    wanted = wanted_ids(ids, found, [images])
    if without := lacking(wanted, found, f"CAM in {cam_dir}"):
        raise InputError(without)
    return {image_id: found[image_id] for image_id in wanted}
