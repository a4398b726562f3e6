"""make_seeds: a folder of CAM files and its photographs in, what the next stage trains on out.

What those seeds are is the adapters' business, running many images that of batch.py. Works on any
folder of CAM files, refined or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .batch import (
    BatchResult,
    atomic_path,
    find_files,
    first_names,
    read_ids,
    record_path,
    run_images,
    write_json,
)
from .cams import CamAdapter, SeedAdapter, read_cams
from .claims import Claim, claim_folders, read_record
from .crf import make_ready
from .errors import InputError
from .labels import IGNORE
from .photos import find_photos, read_photo, read_photo_of
from .registry import choose_adapter

__all__ = ["SeedPlan", "SeedReport", "make_seeds", "plan_seeds"]

COMMAND, REFINE = "c2am-seeds", "c2am-refine"


@dataclass
class SeedReport:
    """What a run did. Counts are of images, shares of all pixels of the images of this run."""

    out_dir: str
    method: str
    settings: dict[str, float]
    made: int = 0
    already_there: int = 0
    without_class: int = 0
    seconds: float = 0.0
    foreground: float = 0.0
    background: float = 0.0
    ignored: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """The run in one or two lines."""
        counts = {
            "were there already": self.already_there,
            "without a class, so all background": self.without_class,
            "failed": len(self.failures),
        }
        rest = "".join(f"; {count} {what}" for what, count in counts.items() if count)
        done = f"made the seeds of {self.made} images in {self.seconds:.1f} s{rest}"
        if not self.made:
            return done
        return (
            f"{done}\nof all pixels {self.foreground:.1%} are sure foreground, "
            f"{self.background:.1%} sure background, {self.ignored:.1%} ignored"
        )


def make_seeds(
    cam_dir: str | Path,
    out_dir: str | Path,
    images: str | Path,
    *,
    method: str = "auto",
    settings: Mapping[str, float] | None = None,
    clip: bool = False,
    ids: str | Path | Sequence[str] | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> SeedReport:
    """Make of every CAM file what its pipeline's next stage trains on, as the pipeline does.

    cam_dir    `<id>.npy` CAM files, refined or as the pipeline wrote them
    out_dir    where the seeds go. PSA, SC-CAM: dumps `out_la_crf/<id>.npy`, `out_ha_crf/<id>.npy`;
               SEAM: `out_crf_4.0/<id>.npy`, `out_crf_24.0/<id>.npy`; each {0: background,
               c + 1: class c}, float32 H×W, sum 1. PuzzleCAM, AdvCAM (IRN): `<id>.png`, grey
               H×W uint8, 0 background, c + 1, 255 ignored
    images     folder of the photographs `<id>.jpg`, of the size of the CAMs
    method     an adapter's name, or "auto" to tell the format from the files. PSA, SC-CAM and
               SEAM cannot be told apart; "auto" takes PSA's settings and folders
    settings   the numbers of that step that are not to be the pipeline's own: "low_alpha" and
               "high_alpha" (PSA, SC-CAM 4, 32; SEAM 4, 24), or the background's scores "fg" and
               "bg" (PuzzleCAM 0.40, 0.10; AdvCAM 0.35, 0.15)
    clip       accept CAMs outside [0, 1] and NaN by clipping; else such files fail
    ids        a list file or a sequence of image ids; default every CAM file
    workers    images at a time; default one a core
    overwrite  replace files that another run, or somebody else, wrote

    What is done already is skipped. A file that fails does not stop the run and is in the report,
    which is also stored, with the settings, beside out_dir. Raises InputError or OutputError
    before any image is worked on.
    """
    cams = _find_cams(Path(cam_dir), ids)
    plan = plan_seeds(
        choose_adapter(method, list(cams.values())),
        cam_dir,
        out_dir,
        images,
        list(cams),
        settings=settings,
        clip=clip,
        refined=read_record(record_path(cam_dir, REFINE)),
    )
    with claim_folders(COMMAND, plan.photos, plan.claims, overwrite=overwrite) as done:
        outcome = run_images(
            _Job(plan, cams),
            [image_id for image_id in cams if image_id not in done],
            workers=workers,
            title="seeds",
            prefer=make_ready(),
            progress=progress,
        )
        report = _report(plan, outcome, len(done))
        content = {"settings": plan.record, "report": asdict(report)}
        write_json(record_path(plan.out_dir, COMMAND), content)
    return report


@dataclass(frozen=True)
class SeedPlan:
    """What a run is to make and where, all checked: nothing of it is written yet."""

    adapter: SeedAdapter
    settings: dict[str, float]
    photos: dict[str, Path]
    out_dir: Path
    record: dict[str, Any]
    clip: bool

    @property
    def folders(self) -> list[Path]:
        return [self.out_dir / folder for folder in self.adapter.seed_folders(self.settings)]

    @property
    def claims(self) -> list[Claim]:
        return [Claim(folder, self.record, self.adapter.seed_suffix) for folder in self.folders]


def plan_seeds(
    adapter: CamAdapter,
    cam_dir: str | Path,
    out_dir: str | Path,
    images: str | Path,
    ids: Sequence[str],
    *,
    settings: Mapping[str, float] | None,
    clip: bool,
    refined: Mapping[str, Any] | None,
) -> SeedPlan:
    """Check everything that could refuse a run of `make_seeds`; cam_dir need not be filled yet.

    refined: the settings of the run that refined these CAMs, None for a pipeline's own.
    Raises InputError.
    """
    if not isinstance(adapter, SeedAdapter):
        raise InputError(
            f"the adapter {adapter.name} makes no seeds (it has no write_seeds, see "
            "c2am_plugin.cams.SeedAdapter); its CAMs can only be refined"
        )
    wanted = dict(adapter.seed_settings)
    if unknown := sorted(set(settings or {}) - set(wanted)):
        raise InputError(
            f"seeds of {adapter.name} have no setting {', '.join(unknown)}; they have "
            f"{', '.join(f'{name} ({value:g})' for name, value in wanted.items())}"
        )
    wanted = {name: float(value) for name, value in {**wanted, **(settings or {})}.items()}
    adapter.seed_folders(wanted)
    out_dir = Path(out_dir)
    for source in (Path(cam_dir).resolve(), Path(images).resolve()):
        if source in (out_dir.resolve(), *out_dir.resolve().parents):
            raise InputError(f"{out_dir}: lies in the input {source}; choose another folder")
    record = {
        "cam_dir": str(Path(cam_dir).resolve()),
        "refined": refined,
        "images": str(Path(images).resolve()),
        "method": adapter.name,
        "clip": clip,
        **wanted,
    }
    return SeedPlan(adapter, wanted, find_photos(images, ids), out_dir, record, clip)


@dataclass(frozen=True)
class _Count:
    """Pixels of one image's seeds, and whether it has no class."""

    pixels: int
    background: int
    ignored: int
    without_class: bool


@dataclass(frozen=True)
class _Job:
    """Everything that a worker needs to make one image's seeds; called with its id."""

    plan: SeedPlan
    cams: dict[str, Path]

    def __call__(self, image_id: str) -> _Count:
        plan, adapter = self.plan, self.plan.adapter
        cams = read_cams(adapter, self.cams[image_id], image_id, clip=plan.clip)
        without_class = len(cams.class_ids) == 0
        path = plan.photos[image_id]
        photo = read_photo(path) if without_class else read_photo_of(path, cams.maps.shape[1:])
        outputs = [folder / f"{image_id}{adapter.seed_suffix}" for folder in plan.folders]
        with ExitStack() as stack:
            temporary = [stack.enter_context(atomic_path(path)) for path in outputs]
            adapter.write_seeds(cams, photo, plan.settings, temporary)
            label = adapter.read_seeds(temporary)
        background, ignored = (int(np.count_nonzero(label == value)) for value in (0, IGNORE))
        return _Count(label.size, background, ignored, without_class)


def _find_cams(cam_dir: Path, ids: str | Path | Sequence[str] | None) -> dict[str, Path]:
    found = find_files(cam_dir, (".npy",))
    if not found:
        raise InputError(f"{cam_dir}: holds no .npy file")
    if ids is None:
        return found
    wanted = read_ids(ids) if isinstance(ids, (str, Path)) else list(dict.fromkeys(ids))
    if lacking := [image_id for image_id in wanted if image_id not in found]:
        raise InputError(
            f"{len(lacking)} of {len(wanted)} images have no CAM in {cam_dir} "
            f"({first_names(lacking)})"
        )
    return {image_id: found[image_id] for image_id in wanted}


def _report(plan: SeedPlan, outcome: BatchResult, already: int) -> SeedReport:
    counts: list[_Count] = list(outcome.results.values())
    pixels = max(1, sum(count.pixels for count in counts))
    background = sum(count.background for count in counts) / pixels
    ignored = sum(count.ignored for count in counts) / pixels
    return SeedReport(
        out_dir=str(plan.out_dir),
        method=plan.adapter.name,
        settings=plan.settings,
        made=len(counts),
        already_there=already,
        without_class=sum(count.without_class for count in counts),
        seconds=round(outcome.seconds, 3),
        foreground=(1 - background - ignored) if counts else 0.0,
        background=background,
        ignored=ignored,
        failures=outcome.failures,
    )
