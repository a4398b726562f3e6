"""`c2am-convert`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .common import background_score, count, print_failures, run, shard

__all__ = ["convert_main"]


def convert_main(argv: Sequence[str] | None = None) -> int:
    parser = _convert_parser()
    args = vars(parser.parse_args(argv))

    def work() -> int:
        from ..convert.run import convert_cams
        from ..runs.output_folders import record_path
        from ..runs.shards import Shard

        report = convert_cams(**args)
        part = Shard.parse(args["shard"]).name
        record = str(record_path(report.out_dir, "c2am-convert", part))
        print(f"{report.summary()}\nreport: {record}")
        return print_failures(parser, report.failures, record)

    return run(parser, work)


def _convert_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "c2am-convert",
        description="Write a folder of CAM files in the layout of another pipeline, so that its "
        "next stage runs on them.",
    )
    add = parser.add_argument
    add("cam_dir", metavar="CAM_DIR", help="CAM files that a pipeline wrote")
    add("--to", required=True, metavar="NAME", help="the pipeline that is to read them: irn, psa …")
    add("-o", "--out", dest="out_dir", required=True, metavar="OUT", help="folder for the files")
    add(
        "--method",
        default="auto",
        metavar="auto|NAME",
        help="the pipeline that wrote them (default: tell the layout from the files)",
    )
    add(
        "--background-score",
        type=background_score,
        metavar="T",
        help="what the CAMs are compared with (default: that of --method)",
    )
    add(
        "--fold",
        action="store_true",
        help="change the values so that the background score of NAME gives the same labels",
    )
    add("--clip", action="store_true", help="accept NaN and values outside [0, 1] by clipping")
    add("--ids", metavar="FILE", help="list of image ids (default: every CAM file)")
    add(
        "--shard", type=shard, metavar="I/N", help="only the I-th of N parts; c2am-merge at the end"
    )
    add("--workers", type=count, metavar="N", help="images processed at once (default: one a core)")
    add("--overwrite", action="store_true", help="replace files of other settings or origin")
    return parser
