"""make_cues: photographs and a checkpoint in, a folder of cue PNGs out.

maps.py makes maps, boundaries.py finds boundaries, polarity.py decides the polarity, cue_writer.py
writes one image's cue. This module combines them and reports the run.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..crf.dense_crf import Backend, check_backend, make_ready
from ..errors import InputError
from ..files.folders import sample
from ..files.photos import check_outside, find_images
from ..registry import get_adapter
from ..runs.arguments import check_least, either
from ..runs.output_folders import OutputFolder, digest, hold_folders, record_path, write_report
from ..runs.ranks import Ranks, cores, joined
from ..runs.shards import Shard
from ..training.devices import pick_device
from .agreed_boundary import Survey, agreed_boundary, stored_cams
from .boundaries import read_boundary
from .checkpoint import Checkpoint, load_checkpoint
from .cue_report import CueReport
from .cue_writer import CueWriter, Reading
from .inference import fast_copy
from .maps import check_scales, default_scales, fast_scales
from .polarity import RULES, UNDECIDED, decide
from .stream import Network, Stream

__all__ = ["POLARITIES", "CueReport", "make_cues"]

COMMAND = "c2am-cues"
POLARITIES = ("auto", *RULES, "keep", "flip")
VOTERS = 256  # images that vote where the polarity is measured anew
GPU_BATCH = 8
DEFAULT_CROP = 448  # what the released checkpoints were trained with
PATIENCE = timedelta(days=7)  # of a process that is done with its images for the others
log = logging.getLogger("c2am_plugin")


def make_cues(
    images: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    ids: str | Path | None = None,
    maps: str | Path | None = None,
    boundary: float | str = "boundary",
    threshold: float | str | None = None,
    cams: str | Path | None = None,
    method: str = "auto",
    polarity: str = "auto",
    scales: Sequence[float] | None = None,
    fast: bool = False,
    soft: bool = True,
    crf_backend: Backend = "auto",
    bf16: bool = False,
    batch_size: int | None = None,
    shard: str | None = None,
    workers: int | None = None,
    device: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> CueReport:
    """Write a cue `<out>/<id>.png`, 255 = foreground, for every photograph.

    images, ids  a folder of images or a VOC root, and which of them (`data.find_images`)
    checkpoint   of c2am-train, or of the authors' code
    maps         folder for the released maps too, in PuzzleCAM's layout with keys [0, 1]
    boundary     where foreground begins. A number in (0, 1): that share of the map's maximum (the
                 released code: 0.3); "boundary": the network's own, P = 0.5 of the mean over
                 scales and mirrors; "bimodal": each image's own, between that and Otsu's of its
                 log-odds, for small objects; "otsu": Otsu's of each image's map; "agree": the share
                 of the maximum at which all maps together agree best with your stored CAMs.
                 `threshold` is its second name
    cams, method your CAM files, and their format, for "agree"
    polarity     which side P is high on. "auto": as the checkpoint says, and by the border rule
                 where it is silent; "border", "contour": measured anew on these images, 256 of
                 them at most; "keep": the foreground; "flip": the background
    scales       up to 8 a factor of the image's size, from 32 the side of a square in pixels.
                 Default 0.5, 1, 1.5, 2 as released; where the checkpoint was trained on images of
                 another size than the released 512, squares around that size
    fast         one scale alone (`maps.fast_scales`): a small loss for a fraction of the time; not
                 with `scales`
    soft         grey cues in which mid-grey is the boundary and odds are kept, without the CRF;
                 else 0/255 after the dense CRF, as the authors'
    crf_backend  of that CRF: "numba", "pydensecrf", or "auto": numba where it is installed
    bf16         the network computes in bfloat16: about twice as fast where the processor has it;
                 maps differ by up to 0.1, and cues are as good
    batch_size   images of one size sent through the network together; default 8 on a GPU, 1 on a
                 CPU, where more gain nothing
    shard        "I/N": work on the I-th of N parts of the images, I from 1; N such runs, at once or
                 one after another, do what one without it does (`c2am-merge`)
    workers      images (batches) at a time; default one a core
    device       "cpu", "cuda", "cuda:1"; default a GPU if there is one
    overwrite    replace cues that another run wrote
    progress     show a bar on stderr

    Under torchrun the processes share the images, and all return the report of all.
    Images that are already done are skipped, and an interrupted run continues. An image that fails
    does not stop the others and is in the report, which is also stored, with the settings, beside
    out. Raises InputError or OutputError before anything is written.

    >>> from c2am_plugin import make_cues
    >>> report = make_cues("JPEGImages", "run/last.pt", "cues", boundary="agree",
    ...     cams="psa_cam")  # doctest: +SKIP
    """
    # Read everything that could refuse the run before anything is written.
    out, maps = Path(out), Path(maps) if maps else None
    with ExitStack() as stack:
        ranks = stack.enter_context(joined(PATIENCE))
        boundary = read_boundary(either("boundary, threshold", boundary, "boundary", threshold))
        part = Shard.parse(shard)
        check_least(1, batch_size=batch_size, workers=workers)
        if not soft:
            check_backend(crf_backend)
        if fast and scales is not None:
            raise InputError("`fast` chooses a scale, so it excludes `scales`")
        if polarity not in POLARITIES:
            raise InputError(f"polarity {polarity!r}: expected {', '.join(POLARITIES)}")
        _check_agreement(boundary, bool(cams), part)
        _check_folders(Path(images), out, maps)
        where = pick_device(device)
        paths = ranks.first(lambda: find_images(images, ids))
        loaded = load_checkpoint(checkpoint, where)
        choose = fast_scales if fast else default_scales
        scales = check_scales(choose(loaded.info.get("resize")) if scales is None else scales)
        stored = stored_cams(cams, method, paths) if cams else None

        logits_of = {
            "checkpoint": digest(Path(checkpoint).read_bytes()),
            "scales": scales,
            "bf16": bf16,
        }
        settings = {**logits_of, "polarity": polarity}
        if stored or polarity in RULES or (polarity == "auto" and loaded.flag is None):
            # What is found depends on all images together.
            settings["ids"] = digest("\n".join(paths))
        cue_settings = {**settings, "boundary": boundary, "soft": soft}
        if not soft:
            cue_settings["crf"] = crf_backend
        if stored:
            cue_settings |= {"cams": str(Path(str(cams)).resolve()), "method": stored[1].name}
        outputs = [OutputFolder(out, cue_settings, ".png")]
        if maps:
            outputs.append(OutputFolder(maps, settings, ".npy"))
        mine = part.of(list(paths))
        holding = hold_folders(COMMAND, mine, outputs, overwrite=overwrite, shard=part.name)
        done = ranks.first(lambda: stack.enter_context(holding))
        report = CueReport(str(out), soft, boundary, scales, already_there=len(done))
        todo = [image_id for image_id in mine if image_id not in done]
        record = record_path(out, COMMAND, part.name)
        if not todo:
            if ranks.is_first:
                write_report(record, cue_settings, asdict(report), keep=True)
            return report

        report.polarity = _polarity(loaded, polarity, list(paths.values()), ranks)
        flag = report.polarity["flag"]
        store = out.with_name(f"{out.name}.{COMMAND}-logits") if stored else None
        stream = Stream(
            Network(
                fast_copy(loaded.model, where, bf16=bf16),
                scales,
                store / digest(str(logits_of)) if store else None,
            ),
            paths,
            batch_size or (1 if where.type == "cpu" else GPU_BATCH),
            workers or cores(),
            progress,
            ranks,
        )
        if stored:
            boundary = agreed_boundary(stream, Survey(flag, *stored))
        if not soft:
            ranks.first(lambda: make_ready(crf_backend))
        writer = CueWriter(
            Reading(flag, boundary),
            soft,
            out,
            maps,
            get_adapter("puzzlecam") if maps else None,
            crf_backend,
            frozenset((loaded.info.get("hints") or {}).get("taught", ())),
        )
        report.add(stream(writer, todo, "cues"))
        if ranks.is_first:
            write_report(record, cue_settings, asdict(report))
            if store and not report.failures:
                shutil.rmtree(store, ignore_errors=True)
        return report


def _check_agreement(boundary: str | float, cams: bool, part: Shard) -> None:
    if (boundary == "agree") != cams:
        raise InputError('`boundary="agree"` and `cams` need each other; only one is given')
    if part.name and boundary == "agree":
        raise InputError(
            '`boundary="agree"` needs all images: run it once without `shard`, then give the '
            "boundary that it reports"
        )


def _check_folders(images: Path, out: Path, maps: Path | None) -> None:
    check_outside(images, out, *([maps] if maps else []))
    if maps is not None and maps.resolve() == out.resolve():
        raise InputError(f"{out}: cues and maps need different folders")


def _polarity(loaded: Checkpoint, wanted: str, paths: list[Path], ranks: Ranks) -> dict[str, Any]:
    """flag, rule, margin and n_images of the decision, wherever it comes from."""
    if wanted in ("keep", "flip"):
        return {"flag": wanted == "flip", "rule": wanted, "margin": None, "n_images": None}
    if wanted == "auto" and loaded.flag is not None:
        noted = loaded.info.get("polarity") or {"rule": "checkpoint"}
        margin = noted.get("margin")
        if margin is not None and margin < UNDECIDED and ranks.is_first:
            log.warning("training left the polarity undecided; look at the cues")
        return {"margin": None, "n_images": None, **noted, "flag": loaded.flag}
    rule = "border" if wanted == "auto" else wanted
    voters = sample(paths, VOTERS)
    why = "the checkpoint does not contain its polarity: " if loaded.flag is None else ""
    log.info("%smeasuring the polarity on %d images", why, len(voters))
    size = loaded.info.get("crop") or DEFAULT_CROP
    return asdict(decide(loaded.model, voters, rule=rule, size=size, ranks=ranks))
