"""`make_cams`: photographs, image-level labels and a classifier in, a folder of CAM files out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..cams import CamAdapter, ImageCams
from ..convert.image import convert_image
from ..files.cam_files import suffix_of, write_cams
from ..files.photos import check_outside, find_images
from ..network.inference import fast_copy
from ..network.maps import SCALES, check_scales
from ..network.stream import Stream
from ..registry import get_adapter
from ..runs.arguments import check_least
from ..runs.output_folders import OutputFolder, digest, hold_folders, record_path, write_report
from ..runs.ranks import cores, joined
from ..runs.shards import Shard
from ..training.devices import pick_device
from .cams import CamNetwork
from .checkpoint import load_classifier
from .labels import labels_of, read_class_names, read_labels
from .report import CamReport
from .split import Classifier

__all__ = ["COMMAND", "CamReport", "make_cams"]

log = logging.getLogger(__name__)

COMMAND = "c2am-cams"
GPU_BATCH = 8
# What a layout that stores a background gets: PSA's t, where our regions begin too.
BACKGROUND = 0.20
PATIENCE = timedelta(days=7)  # of a process that is done with its images for the others


def make_cams(
    images: str | Path,
    labels: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    method: str = "psa",
    ids: str | Path | None = None,
    classes: str | Path | None = None,
    backbone: str | None = None,
    output_stride: int = 16,
    scales: Sequence[float] = SCALES,
    batch_size: int | None = None,
    shard: str | None = None,
    workers: int | None = None,
    device: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> CamReport:
    """Write the CAMs of every photograph's classes, `<out>/<id>.npy` or as the
    layout names its files, in a pipeline's layout.

    images, ids    a folder of images or a VOC root, and which of them (`files.photos.find_images`)
    labels         image-level labels of any kind (`labels.read_labels`); each image gets the CAMs
                   of its own classes, one without a class the format's empty file
    checkpoint     `last.pt` of `train_classifier`, or another classifier
                   (`checkpoint.load_classifier`, with backbone, classes and output_stride)
    method         a pipeline by name, whose layout is written; where that contains a background,
                   it is 0.20 everywhere, as a classifier has none
    classes        a file of class names in the classifier's order; default the checkpoint's
    scales         up to 8 a factor of the image's size, from 32 a square's side; each with its
                   mirror
    batch_size     images of one size sent through the network together; default 8 on a GPU, else 1
    shard          "I/N": work on the I-th of N parts of the images, I from 1
    workers        images (batches) processed at once; default one per core
    device         "cpu", "cuda", "cuda:1"; default a GPU if there is one
    overwrite      replace files that another run wrote
    progress       show a bar on stderr

    Maps are float32 in [0, 1], each divided by its maximum + 1e-5. Under torchrun the processes
    share the images. Images that are already done are skipped, and an interrupted run continues. An
    image that fails does not stop the others and is in the report, which is also stored, with the
    settings, beside out. Raises InputError or OutputError before anything is written.

    >>> from c2am_plugin import make_cams
    >>> make_cams("JPEGImages", "labels.csv", "run/last.pt", "cams")  # doctest: +SKIP
    """
    out = Path(out)
    with ExitStack() as stack:
        ranks = stack.enter_context(joined(PATIENCE))
        check_least(1, batch_size=batch_size, workers=workers)
        check_outside(images, out)
        part, scales, adapter = Shard.parse(shard), check_scales(scales), get_adapter(method)
        where = pick_device(device)
        paths = ranks.first(lambda: find_images(images, ids))
        given = read_class_names(classes) if classes else None
        loaded = load_classifier(
            checkpoint, where, backbone=backbone, classes=given, output_stride=output_stride
        )
        chosen = ranks.first(
            lambda: labels_of(read_labels(labels, given or loaded.classes), list(paths))
        )
        of = {i: np.flatnonzero(row) for i, row in zip(paths, chosen, strict=True)}
        settings: dict[str, Any] = {
            "checkpoint": digest(Path(checkpoint).read_bytes()),
            "labels": _digest(of),
            "method": method,
            "scales": scales,
            "output_stride": loaded.model.stride,
        }
        mine = part.of(list(paths))
        outputs = [OutputFolder(out, settings, suffix_of(adapter))]
        holding = hold_folders(COMMAND, mine, outputs, overwrite=overwrite, shard=part.name)
        done = ranks.first(lambda: stack.enter_context(holding))
        report = CamReport(str(out), method, scales, loaded.classes, already_there=len(done))
        if todo := [image_id for image_id in mine if image_id not in done]:
            stream = Stream(
                CamNetwork(cast(Classifier, fast_copy(loaded.model, where)), of, scales),
                paths,
                batch_size or (1 if where.type == "cpu" else GPU_BATCH),
                workers or cores(),
                progress,
                ranks,
            )
            report.add(stream(CamWriter(out, adapter), todo, "CAMs"))
        if ranks.is_first:
            if zeros := report.zeros():
                log.warning("%s", zeros)
            record = record_path(out, COMMAND, part.name)
            write_report(record, settings, asdict(report), keep=not todo)
        return report


@dataclass(frozen=True)
class CamWriter:
    """Writes one image's CAM file; returns its classes' indices, and those whose CAM is 0
    everywhere."""

    out: Path
    adapter: CamAdapter

    def __call__(
        self, image_id: str, photo: np.ndarray, cams: ImageCams
    ) -> tuple[list[int], list[int]]:
        stores = getattr(self.adapter, "stores_background", False)
        write_cams(self.adapter, convert_image(cams, BACKGROUND, None, stores), self.out)
        return cams.class_ids.tolist(), cams.class_ids[~cams.maps.any((1, 2))].tolist()


def _digest(of: Mapping[str, np.ndarray]) -> str:
    """Each image's classes, of which nothing else changes a file. A shard's are all images'."""
    text = "\n".join(f"{image_id} {ids.tolist()}" for image_id, ids in of.items())
    return digest(text)
