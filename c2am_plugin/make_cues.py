"""make_cues: photographs and a checkpoint in, a folder of cue PNGs out.

Maps are made in maps.py, boundaries in calibration.py, the polarity in polarity.py, one image's
cue in cue_writer.py. Here they meet, and what was done is reported.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .agree import Survey, agreed_boundary, stored_cams
from .batch import BatchResult, claim_folder, record_path, write_json
from .calibration import check_boundary
from .crf import needs_compiling, warm_up
from .cue_writer import CueResult, CueWriter, Reading
from .data import find_images
from .errors import InputError
from .inference import fast_copy, pick_device
from .maps import check_scales, default_scales
from .polarity import RULES, decide
from .registry import get_adapter
from .stream import Network, Stream
from .weights import Checkpoint, load_checkpoint

__all__ = ["POLARITIES", "THRESHOLDS", "CueReport", "make_cues"]

COMMAND = "c2am-cues"
THRESHOLDS = ("boundary", "otsu", "agree")
POLARITIES = ("auto", *RULES, "keep", "flip")
VOTERS = 256  # images that vote where the polarity is measured anew
GPU_BATCH = 8
DEFAULT_CROP = 448  # what the released checkpoints were trained with
log = logging.getLogger("c2am_plugin")


@dataclass
class CueReport:
    """What a run did. Shares are of all pixels of the images of this run.

    boundary  the values' boundary that was used; the mean over images where each has its own
    polarity  flag, rule, margin and n_images of the decision; margin and n_images are None where
              it was given, or the checkpoint does not say
    """

    out: str
    soft: bool
    threshold: str | float
    scales: tuple[float, ...]
    boundary: float | None = None
    polarity: dict[str, Any] = field(default_factory=dict)
    written: int = 0
    already_there: int = 0
    foreground: float = 0.0
    seconds: float = 0.0
    images_per_second: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """The run in a line or two."""
        if not self.polarity:
            return f"all {self.already_there} cues were there already; nothing to do"
        there = f"; {self.already_there} were there already" if self.already_there else ""
        failed = f"; {len(self.failures)} failed" if self.failures else ""
        cut = "" if self.boundary is None else f" ({self.boundary:.3g})"
        side = "background" if self.polarity["flag"] else "foreground"
        margin = self.polarity["margin"]
        sure = "" if margin is None else f", margin {margin:.2f}"
        return (
            f"wrote {self.written} {'soft' if self.soft else 'hard'} cues in {self.seconds:.1f} s "
            f"({self.images_per_second:.1f} images/s){there}{failed}\n"
            f"threshold {self.threshold}{cut}: {self.foreground:.1%} of all pixels are foreground; "
            f"P is high on the {side} ({self.polarity['rule']}{sure})"
        )


def make_cues(
    images: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    ids: str | Path | None = None,
    maps: str | Path | None = None,
    threshold: float | str = "boundary",
    cams: str | Path | None = None,
    method: str = "auto",
    polarity: str = "auto",
    scales: Sequence[float] | None = None,
    soft: bool = True,
    bf16: bool = False,
    batch_size: int | None = None,
    workers: int | None = None,
    device: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> CueReport:
    """Write a cue `<out>/<id>.png`, 255 = foreground, for every photograph.

    images, ids  a folder of images or a VOC root, and which of them (`data.find_images`)
    checkpoint   of c2am-train, or of the authors' code
    maps         folder for the released maps too, in PuzzleCAM's layout with keys [0, 1]
    threshold    where foreground begins. A number in (0, 1): that share of the map's maximum (the
                 released code: 0.3); "boundary": the network's own, P = 0.5 of the mean over
                 scales and mirrors; "otsu": Otsu's of each image's map; "agree": the share of the
                 maximum at which all maps together agree best with your stored CAMs
    cams, method your CAM files, and their format, for "agree"
    polarity     which side P is high on. "auto": as the checkpoint says, and by the border rule
                 where it is silent; "border", "contour": measured anew on these images, 256 of
                 them at most; "keep": the foreground; "flip": the background
    scales       up to 8 a factor of the image's size, from 32 the side of a square in pixels.
                 Default 0.5, 1, 1.5, 2 as released; where the checkpoint was trained on images of
                 another size than the released 512, squares around that size
    soft         grey cues in which mid-grey is the boundary and odds are kept, without the CRF;
                 else 0/255 after the dense CRF, as the authors'
    bf16         the network computes in bfloat16: faster where the processor has it, less exact
    batch_size   images of one size sent through the network together; default 8 on a GPU, 1 on a
                 CPU, where more gain nothing
    workers      images (batches) at a time; default one a core

    What is done already is skipped, and an interrupted run goes on. An image that fails does not
    stop the others and is in the report, which is also stored, with the settings, beside out.
    Raises InputError or OutputError before anything is written.
    """
    # Read everything that could refuse the run before anything is written.
    threshold = _check_threshold(threshold, cams)
    if polarity not in POLARITIES:
        raise InputError(f"polarity {polarity!r} is none of {', '.join(POLARITIES)}")
    where = pick_device(device)
    paths = find_images(images, ids)
    loaded = load_checkpoint(checkpoint, where)
    scales = check_scales(default_scales(loaded.info.get("resize")) if scales is None else scales)
    stored = stored_cams(cams, method, paths) if cams and threshold == "agree" else None

    settings: dict[str, Any] = {
        "checkpoint": hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()[:16],
        "scales": scales,
        "bf16": bf16,
        "polarity": polarity,
    }
    if stored or polarity in RULES:
        settings["ids"] = _digest(paths)  # what is found depends on all images together
    cue_settings = {**settings, "threshold": threshold, "soft": soft}
    if stored:
        cue_settings |= {"cams": str(Path(str(cams)).resolve()), "method": stored[1].name}
    out = Path(out)
    done = _claim(out, ".png", cue_settings, paths, overwrite)
    if maps:
        done &= _claim(Path(maps), ".npy", settings, paths, overwrite)
    report = CueReport(str(out), soft, threshold, scales, already_there=len(done))
    todo = [image_id for image_id in paths if image_id not in done]
    if not todo:
        return report

    report.polarity = _polarity(loaded, polarity, list(paths.values()))
    flag = report.polarity["flag"]
    store = out.with_name(f"{out.name}.{COMMAND}-logits") if stored else None
    kept = store / _digest([str(settings)]) if store else None
    stream = Stream(
        Network(fast_copy(loaded.model, where, bf16=bf16), scales, kept),
        paths,
        batch_size or (1 if where.type == "cpu" else GPU_BATCH),
        workers or os.cpu_count() or 1,
        progress,
    )
    boundary: float | str = threshold
    if stored:
        boundary = agreed_boundary(stream, Survey(flag, *stored))
    if not soft:
        _prepare_crf()
    puzzle = get_adapter("puzzlecam") if maps else None
    writer = CueWriter(Reading(flag, boundary), soft, out, Path(maps) if maps else None, puzzle)
    _fill(report, stream(writer, todo, "cues"))
    write_json(record_path(out, COMMAND), {"settings": cue_settings, "report": asdict(report)})
    if store and not report.failures:
        shutil.rmtree(store, ignore_errors=True)
    return report


def _check_threshold(threshold: float | str, cams: Any) -> float | str:
    if isinstance(threshold, str) and threshold not in THRESHOLDS:
        try:
            threshold = float(threshold)
        except ValueError as error:
            raise InputError(
                f"threshold {threshold!r} is neither a number nor one of {', '.join(THRESHOLDS)}"
            ) from error
    if (threshold == "agree") != bool(cams):
        raise InputError("--threshold agree and --cams CAM_DIR go together: one is missing")
    return threshold if isinstance(threshold, str) else check_boundary(threshold)


def _claim(
    folder: Path, suffix: str, settings: dict[str, Any], ids: Iterable[str], overwrite: bool
) -> set[str]:
    """The ids that are done already in a folder of ours."""
    names = {f"{image_id}{suffix}" for image_id in ids}
    present = claim_folder(folder, COMMAND, settings, names, overwrite=overwrite)
    return {name.removesuffix(suffix) for name in present}


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _polarity(loaded: Checkpoint, wanted: str, paths: list[Path]) -> dict[str, Any]:
    """flag, rule, margin and n_images of the decision, wherever it comes from."""
    if wanted in ("keep", "flip"):
        return {"flag": wanted == "flip", "rule": wanted, "margin": None, "n_images": None}
    if wanted == "auto" and loaded.flag is not None:
        noted = loaded.info.get("polarity") or {"rule": "checkpoint"}
        return {"margin": None, "n_images": None, **noted, "flag": loaded.flag}
    rule = "border" if wanted == "auto" else wanted
    voters = paths[:: -(-len(paths) // VOTERS)]
    log.info("measuring the polarity on %d images", len(voters))
    return asdict(
        decide(loaded.model, voters, rule=rule, size=loaded.info.get("crop") or DEFAULT_CROP)
    )


def _prepare_crf() -> None:
    if needs_compiling():
        log.info("compiling the dense CRF (once; later runs find it in numba's cache)")
        warm_up()


def _fill(report: CueReport, outcome: BatchResult) -> None:
    results: list[CueResult] = list(outcome.results.values())
    report.written = len(results)
    report.failures = outcome.failures
    report.seconds = round(outcome.seconds, 3)
    report.images_per_second = round(len(results) / max(outcome.seconds, 1e-9), 3)
    if results:
        pixels = sum(result.pixels for result in results)
        report.foreground = sum(result.foreground for result in results) / pixels
        report.boundary = float(np.mean([result.boundary for result in results]))
