"""`predict_saliency`: photographs and a trained network in, a folder of soft cue PNGs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch.nn import functional as F

from ..files.cues import write_cue
from ..files.photos import check_outside, find_images
from ..network.inference import fast_copy
from ..network.maps import ScaleLogits, check_scales
from ..network.stream import Network, Stream
from ..runs.arguments import check_least
from ..runs.output_folders import OutputFolder, digest, hold_folders, record_path, write_report
from ..runs.ranks import cores
from ..training.devices import pick_device
from .checkpoint import load_saliency

__all__ = ["PredictionReport", "image_logits", "predict_saliency"]

COMMAND = "c2am-saliency"


@dataclass
class PredictionReport:
    """The report of a run. foreground: the share of pixels above mid-grey in its images."""

    out: str
    scales: tuple[float, ...]
    written: int = 0
    already_there: int = 0
    foreground: float = 0.0
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """The run in one line."""
        there = f"; {self.already_there} already done" if self.already_there else ""
        failed = f"; {len(self.failures)} failed" if self.failures else ""
        return (
            f"wrote {self.written} soft cues in {self.seconds:.1f} s{there}{failed}; "
            f"{self.foreground:.1%} of their pixels are foreground"
        )


def predict_saliency(
    images: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    ids: str | Path | None = None,
    scales: Sequence[float] | None = None,
    workers: int | None = None,
    device: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> PredictionReport:
    """Write a soft cue `<out>/<id>.png`, 255 = foreground, mid-grey undecided, for each photograph.

    images, ids  a folder of images or a VOC root, and which of them (`files.photos.find_images`)
    checkpoint   `last.pt` of `train_saliency`
    scales       numbers up to 8 are factors of the image's size, numbers from 32 the side of a
                 square in pixels. Default: squares of 3/4, 1 and 11/8 of the training side, or the
                 image's own size. Each scale is also run mirrored; the log-odds are averaged
    workers      images processed at once; default one per core
    device       "cpu", "cuda", "cuda:1"; default a GPU if there is one
    overwrite    replace cues that another run wrote
    progress     show a progress bar on stderr

    Finished cues are skipped. An image that fails does not stop the others; it is listed in the
    report, which is also stored, with the settings, beside `out`. Raises InputError or OutputError
    before anything is written.

    >>> from c2am_plugin import predict_saliency
    >>> predict_saliency("JPEGImages", "saliency_run/last.pt", "cues")  # doctest: +SKIP
    """
    out = Path(out)
    check_least(0, workers=workers)
    check_outside(images, out)
    found = find_images(images, ids)
    where = pick_device(device)
    loaded = load_saliency(checkpoint, where)
    sizes = check_scales(loaded.info["scales"] if scales is None else scales)
    settings: dict[str, Any] = {
        "checkpoint": digest(Path(checkpoint).read_bytes()),
        "scales": sizes,
    }
    output = OutputFolder(out, settings, ".png")
    with hold_folders(COMMAND, found, [output], overwrite=overwrite) as done:
        report = PredictionReport(str(out), sizes, already_there=len(done))
        todo = [image_id for image_id in found if image_id not in done]
        record = record_path(out, COMMAND)
        if not todo:
            write_report(record, settings, asdict(report), keep=True)
            return report
        network = Network(fast_copy(loaded.model, where), sizes)
        stream = Stream(network, found, 1, workers or cores(), progress)
        outcome = stream(_Writer(out), todo, "saliency")
        counts = np.array(list(outcome.results.values())).reshape(-1, 2)
        report.written, report.failures = len(counts), outcome.failures
        report.foreground = float(counts[:, 0].sum() / max(1, counts[:, 1].sum()))
        report.seconds = round(outcome.seconds, 3)
        write_report(record, settings, asdict(report))
        return report


def image_logits(logits: ScaleLogits) -> np.ndarray:
    """The log-odds of the foreground, float32 H×W: the mean over scales and mirrors."""
    maps = [
        F.interpolate(pair.mean(0)[None, None], logits.size, mode="bilinear", align_corners=False)
        for pair in logits.pairs
    ]
    return torch.cat(maps)[:, 0].mean(0).numpy()


@dataclass(frozen=True)
class _Writer:
    """Writes one image's cue; returns the number of its pixels above mid-grey, and of all."""

    out: Path

    def __call__(self, image_id: str, photo: np.ndarray, logits: ScaleLogits) -> tuple[int, int]:
        saliency = expit(image_logits(logits))
        write_cue(self.out / f"{image_id}.png", saliency)
        return int(np.count_nonzero(saliency > 0.5)), saliency.size
