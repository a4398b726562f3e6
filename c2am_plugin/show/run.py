"""show_refinement: look at refined CAMs before they are trusted, where there is no ground truth.

Which images, and the order of the work. One image's counts are in image.py, what follows from them
in statistics.py, and how it is shown in report.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files.class_lists import UNUSED, are_voc_ids, class_names
from ..files.folders import find_files, first_names, sample
from ..files.lists import wanted_ids
from ..files.names import under_ids, unlike
from ..files.roots import photo_files
from ..files.value_ranges import check_photos
from ..refine.background import FoundScore, find_score
from ..refine.image import ImageJob
from ..refine.pairing import pair
from ..refine.several_cues import cue_folders
from ..registry import choose_adapter, find_cams
from ..runs.arguments import check_least
from ..runs.output_folders import OutputFolder, as_setting, check_folders, hold_folders
from ..runs.parallel import run_images
from .gallery import Gallery
from .image import FactsJob, ImageFacts, RefinedImage
from .record import Folders, Record
from .report import OUTPUTS, PAGE, Look, write_page_of
from .statistics import ClassFacts, choose

__all__ = ["ShowResult", "check_page", "show_refinement"]

COMMAND = "c2am-show"
# Images that the numbers are taken from; more would change only the third digit.
IMAGES = 2000
log = logging.getLogger("c2am_plugin")


@dataclass
class ShowResult:
    """What a page shows. page: the HTML file. changed: share of all pixels with another label.

    images       ids that the numbers are taken from
    shown        {image id: why its pictures are on the page}
    classes      before and after by class, see `statistics.ClassFacts`
    found_score  the background score that cues and CAMs give; None where the files contain theirs
    warnings     of the refinement, and of this look at it
    failures     {image id: why it cannot be shown}
    """

    page: Path
    images: list[str]
    changed: float
    shown: dict[str, str]
    classes: list[ClassFacts]
    found_score: FoundScore | None
    warnings: list[str]
    failures: dict[str, str]

    def summary(self) -> str:
        """The result in one line."""
        return (
            f"looked at {len(self.images)} images: {self.changed:.1%} of the pixels have another "
            f"label; pictures of {len(self.shown)}, {len(self.warnings)} warnings"
        )


def show_refinement(
    cam_dir: str | Path,
    cue_dir: Folders,
    refined_dir: str | Path,
    images: str | Path,
    out: str | Path,
    *,
    labels: str | Path | None = None,
    classes: str | Path | Sequence[str] | None = None,
    pictures: int = 4,
    show: Sequence[str] = (),
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> ShowResult:
    """Write a page of pictures and numbers of a finished refinement, without ground truth.

    cam_dir      the CAM files that were refined
    cue_dir      the cues that they were refined with; several folders where there were several
    refined_dir  what `refine_cams` wrote; the record beside it has the method, t and calibration
    images       folder of photographs `<id>.jpg`, or a VOC or COCO root
    out          folder for report.html, one file that needs no network, and images.csv
    labels       folder of the pseudo labels that the run wrote, shown beside argmax([t, CAMs])
    classes      names, background first: a file with one per line, a sequence, "voc", "coco" or
                 "coco91"; default VOC's where all ids are VOC's, else numbers
    pictures     how many images are shown of each: most changed, least changed, at random
    show         ids of further images to show
    workers      images processed at once; default one per core
    overwrite    replace a page that another run or program wrote into `out`
    progress     show a bar on stderr

    The numbers are taken from up to 2,000 of the images, spread over all of them. The page stays
    below 5 MB: pictures that do not fit are left out, and counted. Raises InputError where the
    folders do not belong together or a photograph is missing, OutputError where `out` contains
    something else.

    >>> from c2am_plugin import show_refinement
    >>> folders = "psa_cam", "cues", "psa_cam_c2am"
    >>> found = show_refinement(*folders, images="photos", out="page")  # doctest: +SKIP
    >>> print(found.page)  # doctest: +SKIP
    page/report.html
    """
    check_least(0, pictures=pictures)
    given = class_names(classes) if classes is not None else None
    record = Record.of(Path(refined_dir), Path(cam_dir), cue_dir)
    job, every = _find(record, Path(cam_dir), cue_dir, Path(refined_dir))
    ids = [each.image_id for each in every]
    photos = _photos(images, ids)
    wanted = dict.fromkeys(show)
    for known, what in ((set(ids), "refined CAMs"), (set(photos), "photograph")):
        if lacking := [each for each in wanted if each not in known]:
            raise InputError(f"cannot show {first_names(lacking)}: no {what} of that id")
    some = {each.image_id: each for each in sample(every, IMAGES)}
    some |= {each.image_id: each for each in every if each.image_id in wanted}
    written = find_files(labels, (".png",)) if labels else {}
    output = OutputFolder(Path(out), _settings(cam_dir, cue_dir, refined_dir, images))
    check_folders(COMMAND, OUTPUTS, [output], overwrite=overwrite)
    outcome = run_images(
        FactsJob(job, record.option("segments")),
        list(some.values()),
        workers=workers,
        title="looking",
        prefer="processes",
        progress=progress,
    )
    if not outcome.results:
        raise InputError(next(iter(outcome.failures.values())))
    facts: dict[str, ImageFacts] = {i: outcome.results[i] for i in some if i in outcome.results}
    names = _names(given, ids)
    with_photo = [facts[i] for i in facts if i in photos]
    chosen = choose(with_photo, pictures, [i for i in wanted if i in facts])
    score = _found(job, some.values(), workers, progress)
    look = Look(record, job, len(every), facts, names, score, output.settings)
    gallery = Gallery(FactsJob(job, record.option("segments")), some, facts, names, photos, written)
    with hold_folders(COMMAND, OUTPUTS, [output], overwrite=overwrite):
        shown, failures = write_page_of(look, gallery, chosen, Path(out))
    return ShowResult(
        page=Path(out) / PAGE,
        images=list(facts),
        changed=look.changed,
        shown=shown,
        classes=look.classes,
        found_score=score,
        warnings=look.warnings,
        failures={**outcome.failures, **failures},
    )


def check_page(
    cam_dir: str | Path,
    cue_dir: Folders,
    refined_dir: str | Path,
    images: str | Path,
    out: str | Path,
    *,
    method: str = "auto",
    ids: str | Path | Sequence[str] | None = None,
    classes: str | Path | Sequence[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Raise what a page of these folders would raise, before they are refined.

    method, ids: as in `refine_cams`.
    """
    if classes is not None:
        class_names(classes)
    cams = find_cams(Path(cam_dir), method)
    _find_photos(images, list(cams) if ids is None else wanted_ids(ids, cams, [images]))
    output = OutputFolder(Path(out), _settings(cam_dir, cue_dir, refined_dir, images))
    check_folders(COMMAND, OUTPUTS, [output], overwrite=overwrite)


def _settings(
    cam_dir: str | Path,
    cue_dir: Folders,
    refined_dir: str | Path,
    images: str | Path,
) -> dict[str, Any]:
    """What distinguishes one page from another."""
    return {
        "cam_dir": str(cam_dir),
        "cue_dir": as_setting(cue_dir),
        "refined_dir": str(refined_dir),
        "images": str(images),
    }


def _find(
    record: Record, cam_dir: Path, cue_dir: Folders, refined_dir: Path
) -> tuple[ImageJob, list[RefinedImage]]:
    """How the images were refined, and the files of all that were. Raises InputError."""
    method = record.settings["method"]
    refined = find_cams(refined_dir, method)
    pairing = pair(
        cam_dir,
        cue_folders(cue_dir),
        None,
        "keep",
        method=method,
        flip=record.option("flip_cues"),
        stretch=record.option("stretch_cues"),
    )
    every = [
        RefinedImage(each, refined[each.image_id])
        for each in pairing.images
        if each.image_id in refined
    ]
    if not every:
        raise InputError(
            f"no image of {refined_dir} has CAMs in {cam_dir}: {unlike(refined, pairing.ids)}"
        )
    if len(every) < len(pairing.images):
        lacking = set(pairing.ids) - set(refined)
        log.warning("%d images are not refined (%s)", len(lacking), first_names(lacking))
    adapter = choose_adapter(
        method,
        [each.files.cam for each in every],
        scale_by=record.scale_by,
        tell_below_zero=False,
    )
    job = ImageJob(
        adapter=adapter,
        out_dir=None,
        labels=None,
        background_score=float(record.settings["background_score"]),
        strength=float(record.settings.get("strength", 1.0)),
        reading=record.reading(pairing.reading),
        clip=record.option("clip"),
        calibration=record.calibration,
    )
    return job, every


def _photos(images: str | Path, ids: Sequence[str]) -> dict[str, Path]:
    """The photographs of `_find_photos`; reports which images have none, and checks some."""
    photos = _find_photos(images, ids)
    if lacking := set(ids) - set(photos):
        log.warning(
            "%d of %d images have no photograph and are not shown (%s)",
            len(lacking),
            len(ids),
            first_names(lacking),
        )
    check_photos(list(photos.values()), images)
    return photos


def _find_photos(images: str | Path, ids: Sequence[str]) -> dict[str, Path]:
    """{image id: photograph} of those that have one. Raises InputError where none has."""
    found = under_ids(photo_files(images), ids, "photographs")
    photos = {image_id: found[image_id] for image_id in ids if image_id in found}
    if not photos:
        raise InputError(f"{images}: contains no photograph of these CAMs: {unlike(ids, found)}")
    return photos


def _names(classes: Sequence[str] | None, ids: Sequence[str]) -> dict[int, str]:
    """{0-based class: name}."""
    if classes is None:
        classes = class_names("voc") if are_voc_ids(ids) else ()
    return {i: name for i, name in enumerate(classes[1:]) if name != UNUSED}


def _found(
    job: ImageJob, images: Iterable[RefinedImage], workers: int | None, progress: bool
) -> FoundScore | None:
    if getattr(job.adapter, "stores_background", False):
        return None
    with suppress(InputError):  # the cues cannot be read; the failures list them
        return find_score(
            job.adapter,
            [each.files for each in images if each.files.cue],
            reading=job.reading,
            clip=job.clip,
            workers=workers,
            progress=progress,
        )
    return None
