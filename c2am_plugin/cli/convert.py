"""`c2am-convert`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .common import conclude, run
from .options import add_method, add_running, background_score, command_parser, method, parse

__all__ = ["convert_main"]


def convert_main(argv: Sequence[str] | None = None) -> int:
    parser = _convert_parser()
    args, running = parse(parser, argv)

    def work() -> int:
        from ..convert.run import convert_cams
        from ..runs.output_folders import record_path
        from ..runs.shards import Shard

        report = convert_cams(**args)
        part = Shard.parse(args["shard"]).name
        record = record_path(report.out_dir, "c2am-convert", part)
        following = ("c2am-refine", report.out_dir, "CUES", "--method", args["to"])
        return conclude(parser, report, record, f"CAMs to {report.out_dir}", *following)

    return run(parser, work, running)


def _convert_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "c2am-convert",
        "Write a folder of CAM files in the layout of another pipeline, so that its "
        "next stage runs on them.",
    )
    add = parser.add_argument_group("CAMs").add_argument
    add("cam_dir", metavar="CAM_DIR", help="CAM files that a pipeline wrote")
    add(
        "--to",
        required=True,
        type=method,
        metavar="NAME",
        help="the pipeline that will read them: irn, psa …",
    )
    add("-o", "--out", dest="out_dir", required=True, metavar="OUT", help="output folder")
    add_method(add, "the pipeline that wrote them (default: detect from the files)", default="auto")
    add(
        "--background-score",
        "--threshold",
        type=background_score,
        metavar="T",
        help="the score that the CAMs are compared with (default: the pipeline's own)",
    )
    add(
        "--fold",
        action="store_true",
        help="rescale the CAMs so that the background score of --to gives the same labels",
    )
    add("--clip", action="store_true", help="accept NaN and values above 1 by clipping")
    add("--ids", metavar="FILE", help="list of image ids (default: every CAM file)")
    add_running(parser, shards=True)
    return parser
