"""`c2am-refine`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .common import finish, print_failures, run
from .options import (
    Values,
    add_crf_backend,
    add_cue_use,
    add_method,
    add_running,
    add_value_range,
    command_parser,
    one_or_several,
    parse,
    probability,
    score_or_auto,
    setting,
)
from .wording import as_options

if TYPE_CHECKING:
    from ..refine.report import RefineReport

__all__ = ["refine_main"]

# The command's options that also apply to the page.
PAGE_OPTIONS = ("labels", "classes", "workers", "overwrite", "progress")


def refine_main(argv: Sequence[str] | None = None) -> int:
    parser = _refine_parser()
    args, running = parse(parser, argv)
    args["cue_dir"] = one_or_several(args["cue_dir"])
    _check_usage(parser, args)
    args["seed_settings"] = dict(args["seed_settings"] or ()) or None
    page, classes = args.pop("page"), args.pop("classes")

    # Refining uses no linear algebra, and starting BLAS threads takes a third of the start-up time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    def work() -> int:
        from ..refine.run import refine_cams
        from ..runs.output_folders import record_path
        from ..runs.shards import Shard

        if page:
            _check_page(page, {**args, "classes": classes})
        report = refine_cams(**args)
        code, part = 0, Shard.parse(args["shard"]).name
        for name, done in {"c2am-refine": report, "c2am-seeds": report.seeds}.items():
            if done:
                print(as_options(parser, done.summary()))
                record = record_path(done.out_dir, name, part)
                code |= print_failures(parser, done.failures, record)
        if page:
            code |= _write_page(parser, page, report.out_dir, {**args, "classes": classes})
        finish(
            _written(report.out_dir, args) + (f", page to {page}" if page else ""),
            record_path(report.out_dir, "c2am-refine", part),
            *_following(report, args),
        )
        return code

    return run(parser, work, running)


def _check_page(page: str, args: Values) -> None:
    from ..refine.arguments import default_output
    from ..show.run import check_page

    refined = args["out_dir"] or default_output(args["cam_dir"])
    folders = args["cam_dir"], args["cue_dir"], refined, args["images"]
    options = ("method", "ids", "classes", "overwrite")
    check_page(*folders, page, **{name: args[name] for name in options})


def _write_page(parser: argparse.ArgumentParser, page: str, refined: str, args: Values) -> int:
    from ..show.run import show_refinement

    folders = args["cam_dir"], args["cue_dir"], refined, args["images"]
    options = {name: args[name] for name in PAGE_OPTIONS}
    result = show_refinement(*folders, page, **options)
    print(result.summary())
    return print_failures(parser, result.failures, result.page)


def _written(out_dir: str, args: Values) -> str:
    folders = {
        "refined CAMs": None if args["labels_only"] else out_dir,
        "labels": args["labels"],
        "seeds": args["seeds"],
    }
    return ", ".join(f"{what} to {folder}" for what, folder in folders.items() if folder)


def _following(report: RefineReport, args: Values) -> tuple[str, ...]:
    if args["shard"]:
        return "c2am-merge", report.out_dir
    stored = f"{report.method}={args['cam_dir']}"
    cues = [args["cue_dir"]] if isinstance(args["cue_dir"], str) else args["cue_dir"]
    return "c2am-bench", "--cams", stored, "--cues", *cues, "--gt", "TRUTH", "-o", "PAGE"


def _check_usage(parser: argparse.ArgumentParser, args: Values) -> None:
    if args["crf"] and not (args["labels"] and args["images"]):
        parser.error("--crf smooths the labels: it needs --labels DIR and --images DIR")
    if args["labels_only"] and (not args["labels"] or args["seeds"] or args["out_dir"]):
        parser.error("--labels-only needs --labels DIR, and neither --out nor --seeds")
    if args["seeds"] and not args["images"]:
        parser.error("--seeds needs the photographs: add --images DIR")
    if args["page"] and not args["images"]:
        parser.error("--page shows the photographs: add --images DIR")
    if args["page"] and (args["shard"] or args["labels_only"]):
        parser.error(
            "--page shows the refined CAMs of a whole run, so it cannot be combined with --shard "
            "(run c2am-show after c2am-merge) or --labels-only"
        )
    if not args["crf"] and (args["crf_setting"] or args["ignore_below"] or args["confidence"]):
        parser.error("--crf-setting, --ignore-below and --confidence need --crf")
    if args["classes"] and not args["page"]:
        parser.error("--classes needs --page DIR")
    if args["seed_settings"] and not args["seeds"]:
        parser.error("--seed-setting needs --seeds DIR")


def _refine_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "c2am-refine",
        "Refine a folder of stored CAM files with a folder of background cues.",
        "Soft cues of c2am-cues are first calibrated to the CAMs; other cues are used unchanged.",
    )
    add = parser.add_argument_group("CAMs").add_argument
    add("cam_dir", metavar="CAM_DIR", help="<id>.npy files that your pipeline wrote")
    add("-o", "--out", dest="out_dir", metavar="OUT", help="default: CAM_DIR_c2am beside CAM_DIR")
    add_method(
        add,
        "your pipeline: psa, irn, weaktr, weaktr:coco … (default: detect from the files)",
        default="auto",
    )
    add(
        "--background-score",
        "--threshold",
        type=score_or_auto,
        metavar="T|auto",
        help="the score that your pipeline compares CAMs with (default: its own); auto: find it "
        "from the cues",
    )
    add("--ids", metavar="FILE", help="list of image ids (default: every CAM file)")
    add_value_range(add)
    add("--float16", action="store_true", help="store CAMs in half the disk space; same labels")

    add = parser.add_argument_group("cues").add_argument
    add(
        "cue_dir",
        nargs="+",
        metavar="CUE_DIR",
        help="<id>.png or float <id>.npy, high = foreground; several folders are combined, each "
        "weighted by what it adds to the others",
    )
    add_cue_use(add)
    add(
        "--segments",
        metavar="DIR",
        help="average the refined CAMs within segments: <id>.npy or <id>.png of segment numbers, "
        "or <id>/ of mask PNGs (SAM, superpixels)",
    )
    add(
        "--missing",
        choices=("error", "keep", "skip"),
        default="error",
        help="images without a cue or segments: stop (default), keep their CAMs, or leave them out",
    )

    add = parser.add_argument_group("labels and seeds").add_argument
    add("--labels", metavar="DIR", help="also write pseudo labels, as palette PNGs")
    add("--labels-only", action="store_true", help="write only labels, not CAM files")
    add("--images", metavar="DIR", help="photographs, or a VOC root: for --crf, --seeds, --page")
    add("--crf", action="store_true", help="dense CRF on the labels (needs --labels, --images)")
    add_crf_backend(add, default="auto")
    add("--crf-setting", metavar="NAME", help="irn, c2am, psa, clip_es (default: your pipeline's)")
    add(
        "--ignore-below",
        type=probability,
        default=0.0,
        metavar="P",
        help="label 255 where the CRF's winning class has a lower probability (CLIP-ES: 0.95)",
    )
    add("--confidence", metavar="DIR", help="also write that probability, <id>.png, 255 = 1")
    add("--seeds", metavar="DIR", help="also make what your next stage trains on (needs --images)")
    add(
        "--seed-setting",
        dest="seed_settings",
        action="append",
        type=setting,
        metavar="NAME=NUMBER",
        help="for --seeds: low_alpha, high_alpha, or fg, bg (default: your pipeline's own)",
    )

    add = parser.add_argument_group("page").add_argument
    add("--page", metavar="DIR", help="also write a page of pictures and numbers (needs --images)")
    add(
        "--classes",
        metavar="NAME|FILE",
        help="class names of the page: voc, coco, coco91, or a file with one per line, background "
        "first",
    )
    add_running(parser, shards=True)
    return parser
