"""`c2am-refine`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

from .common import count, print_failures, run, score_or_auto, setting, shard, strength

__all__ = ["refine_main"]


def refine_main(argv: Sequence[str] | None = None) -> int:
    parser = _refine_parser()
    args = vars(parser.parse_args(argv))
    _check_usage(parser.error, args)
    args["seed_settings"] = dict(args["seed_settings"] or ()) or None

    # Refining does no linear algebra, and BLAS threads take a third of the start to start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    def work() -> int:
        from ..refine.run import refine_cams
        from ..runs.output_folders import record_path
        from ..runs.shards import Shard

        report = refine_cams(**args)
        code, part = 0, Shard.parse(args["shard"]).name
        reports = {"c2am-refine": report, "c2am-seeds": report.seeds}
        for name, done in reports.items():
            if done:
                record = str(record_path(done.out_dir, name, part))
                print(f"{done.summary()}\nreport: {record}")
                code |= print_failures(parser, done.failures, record)
        return code

    return run(parser, work)


def _check_usage(error: Callable[[str], Any], args: dict[str, Any]) -> None:
    if args["crf"] and not (args["labels"] and args["images"]):
        error("--crf works on the labels: it needs --labels DIR and --images DIR")
    if args["labels_only"] and (not args["labels"] or args["seeds"] or args["out_dir"]):
        error("--labels-only needs --labels DIR, and neither --out nor --seeds")
    if args["seeds"] and not args["images"]:
        error("seeds are made with the photographs: --seeds needs --images DIR")
    if args["seed_settings"] and not args["seeds"]:
        error("--seed-setting needs --seeds DIR")


def _refine_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "c2am-refine",
        description="Refine a folder of stored CAM files by a folder of background cues.",
    )
    add = parser.add_argument
    add("cam_dir", metavar="CAM_DIR", help="<id>.npy files that your pipeline wrote")
    add("cue_dir", metavar="CUE_DIR", help="<id>.png cues, 255 = foreground")
    add("-o", "--out", dest="out_dir", metavar="OUT", help="default: CAM_DIR_c2am beside CAM_DIR")
    add(
        "--method",
        default="auto",
        metavar="auto|NAME",
        help="your pipeline, e.g. psa, irn, weaktr; weaktr:coco on COCO",
    )
    add(
        "--background-score",
        "--threshold",
        type=score_or_auto,
        metavar="T|auto",
        help="background score of your pipeline (its own)",
    )
    add(
        "--strength",
        type=strength,
        default=1.0,
        metavar="S",
        help="trust in the cues: 1 paper, 0 none",
    )
    add(
        "--calibrate",
        choices=("auto", "on", "off"),
        default="auto",
        help="fit the cues' odds to your CAMs first (auto: for the soft cues of c2am-cues)",
    )
    add("--guard", action="store_true", help="trust cues less that erase most of a class")
    add("--missing", choices=("error", "keep", "skip"), default="error", help="image without a cue")
    add("--flip-cues", action="store_true", help="the cues are high where the background is")
    add("--clip", action="store_true", help="accept CAMs outside [0, 1] and NaN by clipping")
    add("--float16", action="store_true", help="store the CAMs in half the room; same labels")
    add("--labels", metavar="DIR", help="also write pseudo labels, palette PNGs")
    add("--labels-only", action="store_true", help="write the labels and no CAM files")
    add("--crf", action="store_true", help="dense CRF on the labels (needs --labels, --images)")
    add("--seeds", metavar="DIR", help="also make what your next stage trains on (needs --images)")
    add(
        "--seed-setting",
        dest="seed_settings",
        action="append",
        type=setting,
        metavar="NAME=NUMBER",
        help="for --seeds: low_alpha, high_alpha; or fg, bg (default: your pipeline's own)",
    )
    add("--images", metavar="DIR", help="photographs, for --crf and --seeds")
    add("--ids", metavar="FILE", help="list of image ids (default: every CAM file)")
    add(
        "--shard", type=shard, metavar="I/N", help="only the I-th of N parts; c2am-merge at the end"
    )
    add("--workers", type=count, metavar="N", help="images at a time (default: one a core)")
    add("--overwrite", action="store_true", help="replace files of other settings or origin")
    return parser
