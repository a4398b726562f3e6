"""refine_cams: a folder of CAM files and a folder of cues in, a folder of better CAM files out.

Formats are the adapters' business, the formula is in fuse.py, which file belongs to which in
pairing.py, running many images in batch.py. Here they meet, and what was done is reported.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .batch import (
    IMAGE_SUFFIXES,
    BatchResult,
    atomic_path,
    check_folder,
    claim_folder,
    find_files,
    first_names,
    record_path,
    run_images,
    write_json,
)
from .cams import CamAdapter, ImageCams, read_cams
from .cues import is_soft_cue, read_cue, resize_cue
from .errors import InputError
from .evidence import CueFit, count_agreement, fit_cues
from .fuse import check_strength, check_threshold, pseudo_label, refine
from .guard import guard_cue
from .labels import write_label
from .pairing import Pairing, check_polarity, pair
from .photos import read_photo
from .registry import detect, get_adapter

__all__ = ["RefineReport", "refine_cams", "refine_image"]

COMMAND = "c2am-refine"
SAMPLE = 16
# So many images tell what the cues are worth; more change the second decimal.
FIT_SAMPLE = 500
log = logging.getLogger("c2am_plugin")


@dataclass
class RefineReport:
    """What a run did. Counts are of images, shares of all pixels of the images of this run."""

    out_dir: str
    method: str
    threshold: float
    refined: int = 0
    kept_unchanged: int = 0
    already_there: int = 0
    left_out: int = 0
    without_class: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    foreground_before: float = 0.0
    foreground_after: float = 0.0
    cues_all_background: list[str] = field(default_factory=list)
    cues_all_foreground: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """The run in one or two lines."""
        counts = {
            "were there already": self.already_there,
            "kept as they were, without a cue": self.kept_unchanged,
            "left out": self.left_out,
            "without a class": self.without_class,
            "with a cue that is all background": len(self.cues_all_background),
            "with a cue that is all foreground": len(self.cues_all_foreground),
            "failed": len(self.failures),
        }
        rest = "".join(f"; {count} {what}" for what, count in counts.items() if count)
        done = (
            f"refined {self.refined} images in {self.seconds:.1f} s "
            f"({self.images_per_second:.1f} images/s){rest}"
        )
        if not self.refined + self.kept_unchanged:
            return done
        return (
            f"{done}\n"
            f"foreground at t = {self.threshold:g}: {self.foreground_before:.1%} of all pixels "
            f"before, {self.foreground_after:.1%} after"
        )


def refine_image(
    cams: ImageCams, cue: np.ndarray, threshold: float, strength: float = 1.0
) -> ImageCams:
    """One image's CAMs, both stored sizes, updated by its cue.

    cue: float H×W in [0, 1], 1 = surely background, of any size with the same aspect ratio.
    threshold, strength: as in `fuse.refine`. Raises InputError where the shapes do not match.
    """
    if len(cams.class_ids) == 0:
        return cams
    maps = refine(cams.maps, resize_cue(cue, cams.maps.shape[1:]), threshold, strength)
    strided = cams.strided
    if strided is not None:
        strided = refine(strided, resize_cue(cue, strided.shape[1:]), threshold, strength)
    return cams.with_maps(maps, strided)


def refine_cams(
    cam_dir: str | Path,
    cue_dir: str | Path,
    out_dir: str | Path | None = None,
    *,
    method: str = "auto",
    threshold: float | None = None,
    strength: float = 1.0,
    calibrate: str = "auto",
    guard: bool = False,
    missing: str = "error",
    flip_cues: bool = False,
    clip: bool = False,
    labels: str | Path | None = None,
    crf: bool = False,
    images: str | Path | None = None,
    ids: str | Path | Sequence[str] | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> RefineReport:
    """Refine every CAM file of a folder by the cue of the same image id.

    cam_dir    `<id>.npy` files as PSA, SC-CAM, SEAM, PuzzleCAM or AdvCAM wrote them
    cue_dir    `<id>.png` (or float `.npy`) cues, high = foreground
    out_dir    where files of the same names and layout go; default `<cam_dir>_c2am`
    method     an adapter's name, or "auto" to tell the format from the files
    threshold  t in (0, 1), what the pipeline compares its CAMs with; default the adapter's
    strength   how far the cues are trusted: exponent of their odds ratio, 1 the paper, 0 not at all
    calibrate  "on": first fit the cues' odds to what the CAMs of the set are sure of, so that no
               cue is trusted further than cues and CAMs agree (`evidence.fit_cues`, without
               ground truth); "off": take them as they stand, as the paper does; "auto": on for
               the soft cues of c2am-cues, which are made for it, off for all others
    guard      trust a cue less where it would erase most of what a class's CAM is sure of
               (`guard.guard_cue`); for cues that are taken as they stand
    missing    for an image without a cue: "error" refuse to start, "keep" its CAM, "skip" it
    flip_cues  the cues have the other polarity, high = background
    clip       accept CAMs outside [0, 1] and NaN by clipping; else such files fail
    labels     folder for pseudo labels argmax([t, refined]) as palette PNGs; default none
    crf        run the dense CRF on the labels before they are written; needs `images`
    images     folder of photographs `<id>.jpg`; only read for `crf`
    ids        a list file or a sequence of image ids; default every CAM file
    workers    images at a time; default one a core
    overwrite  replace files that another run, or somebody else, wrote

    What is done already is skipped. A file that fails does not stop the run and is in the report,
    which is also stored, with the settings, beside out_dir. Raises InputError or OutputError
    before any image is worked on.
    """
    _check_options(missing, calibrate, strength, threshold, labels, crf, images)
    cam_dir, cue_dir = Path(cam_dir), Path(cue_dir)
    out_dir = Path(out_dir) if out_dir else _sibling(cam_dir)
    _check_folders(out_dir, labels, (cam_dir, cue_dir, *([images] if images else [])))
    log.info("refined CAMs go to %s", out_dir)

    # Read everything that could refuse the run before anything is written.
    pairing = pair(cam_dir, cue_dir, ids, missing)
    sample = pairing.sample(SAMPLE)
    adapter = _choose_adapter(method, [pairing.cams[image_id] for image_id in sample])
    job = _Job(
        adapter=adapter,
        pairing=pairing,
        photos=_find_photos(images, pairing.ids) if crf and images else {},
        out_dir=out_dir,
        labels=Path(labels) if labels else None,
        threshold=float(adapter.threshold if threshold is None else threshold),
        strength=float(strength),
        flip_cues=flip_cues,
        clip=clip,
        guard=guard,
    )
    _check_sample(job, sample)
    if calibrate == "on" or (calibrate == "auto" and _all_soft(pairing, sample)):
        job = replace(job, fit=_fit(job, workers, progress))

    settings = {
        "cam_dir": str(cam_dir.resolve()),
        "cue_dir": str(cue_dir.resolve()),
        "method": adapter.name,
        "threshold": job.threshold,
        "strength": job.strength,
        "calibrated": asdict(job.fit) if job.fit else None,
        "guard": guard,
        "missing": missing,
        "flip_cues": flip_cues,
        "clip": clip,
    }
    done = _claim(job, settings, overwrite)
    todo = [image_id for image_id in pairing.ids if image_id not in done]
    prefer = _prepare_crf() if job.photos else "threads"
    outcome = run_images(
        job, todo, workers=workers, title="refining", prefer=prefer, progress=progress
    )
    report = _report(job, outcome, len(done))
    write_json(record_path(out_dir, COMMAND), {"settings": settings, "report": asdict(report)})
    return report


@dataclass(frozen=True)
class _ImageResult:
    """Counts of one image: pixels, foreground pixels before and after, and what its cue was."""

    pixels: int
    before: int
    after: int
    n_classes: int
    cue: str


@dataclass(frozen=True)
class _Job:
    """Everything that a worker needs to refine one image; called with its id."""

    adapter: CamAdapter
    pairing: Pairing
    photos: dict[str, Path]
    out_dir: Path
    labels: Path | None
    threshold: float
    strength: float
    flip_cues: bool
    clip: bool
    guard: bool = False
    fit: CueFit | None = None

    def read(self, image_id: str) -> ImageCams:
        path = self.pairing.cams[image_id]
        return read_cams(self.adapter, path, image_id, clip=self.clip)

    def read_cue(self, image_id: str) -> np.ndarray:
        return read_cue(self.pairing.cues[image_id], flip=self.flip_cues)

    def __call__(self, image_id: str) -> _ImageResult:
        cams = self.read(image_id)
        out = self.out_dir / f"{image_id}.npy"
        if image_id not in self.pairing.cues:
            with atomic_path(out) as temporary:
                shutil.copyfile(self.pairing.cams[image_id], temporary)
            return self.finish(cams, cams, cams.maps.shape[1:], "none")
        cue = self.read_cue(image_id)
        try:
            evidence = cue if self.fit is None else self.fit.apply(cams, cue, self.threshold)
            if self.guard:
                evidence = guard_cue(cams.maps, evidence, self.threshold)
            refined = refine_image(cams, evidence, self.threshold, self.strength)
        except InputError as error:
            raise InputError(f"{self.pairing.cues[image_id]}: {error}") from error
        with atomic_path(out) as temporary:
            self.adapter.dump(refined, temporary)
        flat = (
            "both" if cue.min() < cue.max() else "background" if cue.flat[0] > 0.5 else "foreground"
        )
        shape = cams.maps.shape[1:] if cams.maps.size else cue.shape
        return self.finish(cams, refined, shape, flat)

    def finish(
        self, cams: ImageCams, refined: ImageCams, shape: tuple[int, ...], cue: str
    ) -> _ImageResult:
        """Write the label, if wanted, and count."""
        if self.labels is not None:
            if 0 in shape:
                raise InputError(
                    f"{refined.image_id}: has no class and no cue, so the size of its label is "
                    "unknown"
                )
            empty = np.zeros(shape, np.uint8)
            label = pseudo_label(refined.maps, refined.class_ids, self.threshold)
            label = label if len(cams.class_ids) else empty
            if self.photos:
                label = self.smooth(refined.image_id, label)
            write_label(self.labels / f"{refined.image_id}.png", label)
        before, after = (_foreground(each.maps, self.threshold) for each in (cams, refined))
        pixels = shape[0] * shape[1]
        return _ImageResult(pixels, before, after, len(cams.class_ids), cue)

    def smooth(self, image_id: str, label: np.ndarray) -> np.ndarray:
        from .crf import label_crf

        photo = read_photo(self.photos[image_id])
        if photo.shape[:2] != label.shape:
            raise InputError(
                f"{self.photos[image_id]}: is {photo.shape[1]}×{photo.shape[0]} pixels and its "
                f"CAM {label.shape[1]}×{label.shape[0]} (width×height); expected the same"
            )
        return label_crf(photo, label)


def _foreground(maps: np.ndarray, threshold: float) -> int:
    if maps.size == 0:
        return 0
    return int(np.count_nonzero(maps.max(axis=0) > maps.dtype.type(threshold)))


def _check_options(
    missing: str,
    calibrate: str,
    strength: float,
    threshold: float | None,
    labels: Any,
    crf: bool,
    images: Any,
) -> None:
    if calibrate not in ("auto", "on", "off"):
        raise InputError(f"calibrate is {calibrate!r}; expected auto, on or off")
    if missing not in ("error", "keep", "skip"):
        raise InputError(f"missing is {missing!r}; expected error, keep or skip")
    if crf and not (images and labels):
        raise InputError("--crf works on the labels: it needs --labels DIR and --images DIR")
    check_strength(strength)
    if threshold is not None:
        check_threshold(threshold)


def _sibling(cam_dir: Path) -> Path:
    """Where refined CAMs go by default: beside the folder as it was named, links not followed."""
    folder = Path(os.path.abspath(cam_dir))
    return folder.with_name(folder.name + "_c2am")


def _check_folders(out_dir: Path, labels: Any, inputs: tuple[str | Path, ...]) -> None:
    """Outputs may not be, or lie inside, what is read: a later run would read them as input."""
    outputs = [out_dir.resolve(), *([Path(labels).resolve()] if labels else [])]
    if len(set(outputs)) < len(outputs):
        raise InputError(f"{out_dir}: labels and refined CAMs need two folders")
    for source in (Path(folder).resolve() for folder in inputs):
        for output in outputs:
            if output == source or source in output.parents:
                raise InputError(
                    f"{output}: is {'the same as' if output == source else 'inside'} the input "
                    f"{source}; choose another folder"
                )


def _choose_adapter(method: str, paths: list[Path]) -> CamAdapter:
    if method != "auto":
        return get_adapter(method)
    adapter, conclusion = detect(paths)
    log.info("%s", conclusion)
    return adapter


def _find_photos(images: str | Path, ids: list[str]) -> dict[str, Path]:
    photos = find_files(images, IMAGE_SUFFIXES)
    if lacking := [image_id for image_id in ids if image_id not in photos]:
        raise InputError(
            f"{images}: {len(lacking)} of {len(ids)} images have no photograph "
            f"({first_names(lacking)})"
        )
    return {image_id: photos[image_id] for image_id in ids}


def _check_sample(job: _Job, sample: list[str]) -> None:
    """A few images tell whether the two folders fit. Single bad files are left for the run."""
    pairs, errors = [], []
    for image_id in sample:
        if image_id in job.pairing.cues:
            try:
                pairs.append((job.read(image_id), job.read_cue(image_id)))
            except InputError as error:
                errors.append(error)
    if errors and not pairs:
        raise errors[0]
    check_polarity(pairs)


def _all_soft(pairing: Pairing, sample: list[str]) -> bool:
    cues = [pairing.cues[image_id] for image_id in sample if image_id in pairing.cues]
    return bool(cues) and all(is_soft_cue(path) for path in cues)


@dataclass(frozen=True)
class _Count:
    job: _Job

    def __call__(self, image_id: str) -> np.ndarray:
        cams, cue = self.job.read(image_id), self.job.read_cue(image_id)
        return count_agreement(cams, cue, self.job.threshold)


def _fit(job: _Job, workers: int | None, progress: bool) -> CueFit:
    ids = [i for i in job.pairing.sample(FIT_SAMPLE) if i in job.pairing.cues]
    outcome = run_images(_Count(job), ids, workers=workers, title="calibrating", progress=progress)
    if not outcome.results:
        raise InputError(next(iter(outcome.failures.values())))
    fit = fit_cues(outcome.results.values())
    if fit.limit == 0:
        log.warning(
            "the cues do not agree with what the CAMs are sure of, so they change nothing; "
            "--calibrate off takes them as they stand"
        )
    else:
        log.info(
            "the cues side with %.0f %% of what the CAMs are sure of; they may change the odds of "
            "a pixel by up to %.1f times",
            100 * fit.accuracy,
            np.exp(fit.limit),
        )
    return fit


def _claim(job: _Job, settings: dict[str, Any], overwrite: bool) -> set[str]:
    """The ids that are done: everything wanted of them is there, with the same settings."""
    claims = [(job.out_dir, settings, ".npy")]
    if job.labels is not None:
        claims.append((job.labels, {**settings, "crf": bool(job.photos)}, ".png"))
    done = set(job.pairing.ids)
    # Both folders are asked before anything is removed or written in either.
    for claim in (check_folder, claim_folder):
        for folder, wanted, suffix in claims:
            names = {image_id + suffix for image_id in job.pairing.ids}
            present = claim(folder, COMMAND, wanted, names, overwrite=overwrite)
            done &= {name.removesuffix(suffix) for name in present}
    return done


def _report(job: _Job, outcome: BatchResult, already: int) -> RefineReport:
    results: dict[str, _ImageResult] = outcome.results
    kept = sum(result.cue == "none" for result in results.values())
    pixels = max(1, sum(result.pixels for result in results.values()))
    return RefineReport(
        out_dir=str(job.out_dir),
        method=job.adapter.name,
        threshold=job.threshold,
        refined=len(results) - kept,
        kept_unchanged=kept,
        already_there=already,
        left_out=job.pairing.left_out,
        without_class=sum(result.n_classes == 0 for result in results.values()),
        seconds=round(outcome.seconds, 3),
        images_per_second=round(len(results) / max(outcome.seconds, 1e-9), 2),
        foreground_before=sum(result.before for result in results.values()) / pixels,
        foreground_after=sum(result.after for result in results.values()) / pixels,
        cues_all_background=[i for i, result in results.items() if result.cue == "background"],
        cues_all_foreground=[i for i, result in results.items() if result.cue == "foreground"],
        failures=outcome.failures,
    )


def _prepare_crf() -> str:
    """Compile, if that is still to be done, and say how the CRF likes to be run in parallel."""
    from .crf import needs_compiling, warm_up

    if needs_compiling():
        log.info("compiling the dense CRF (once; later runs find it in numba's cache)")
        warm_up()
    return "threads" if find_spec("numba") else "processes"
