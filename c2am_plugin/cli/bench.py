"""`c2am-bench`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .common import print_failures, run

__all__ = ["bench_main"]


def bench_main(argv: Sequence[str] | None = None) -> int:
    parser = _bench_parser()
    args = vars(parser.parse_args(argv))
    folders = [text.partition("=") for text in args.pop("cams")]
    if bad := [name + sign for name, sign, folder in folders if not (name and folder)]:
        parser.error(f"--cams {bad[0]}: expected NAME=DIR, e.g. psa=out/psa_cam")
    args["cams"] = {name: folder for name, _, folder in folders}
    if len(args["cams"]) < len(folders):
        parser.error("two --cams have the same name; give one a name of its own, e.g. psa:b=DIR")
    if args["crf"] and not args["images"]:
        parser.error("--crf works on photographs: it needs --images DIR")

    def work() -> int:
        from ..bench.benchmark import benchmark

        result = benchmark(**args)
        print(f"{result.table()}\npage: {result.out_dir}/report.html")
        return print_failures(parser, result.failures, f"{result.out_dir}/results.json")

    return run(parser, work, again="to start over")


def _bench_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "c2am-bench",
        description="Score stored CAMs, and the same CAMs refined by cues, against ground truth: "
        "a table, curves and a page of pictures.",
    )
    add = parser.add_argument
    add(
        "--cams",
        action="append",
        required=True,
        metavar="NAME=DIR",
        help="CAM files of a pipeline, e.g. psa, irn, weaktr:coco; repeat it for more. "
        "psa:mine=DIR is in PSA's format and called psa:mine",
    )
    add("--cues", required=True, metavar="DIR", help="<id>.png cues, 255 = foreground")
    add("--gt", required=True, metavar="DIR", help="ground truth, <id>.png of class indices")
    add("-o", "--out", required=True, metavar="DIR", help="where the page and the tables go")
    add("--ids", metavar="FILE", help="list of image ids (default: every CAM file)")
    add("--images", metavar="DIR", help="photographs: for CAM + dense CRF and for the pictures")
    add(
        "--classes",
        metavar="NAME|FILE",
        help="voc (default), coco, coco91 (COCO by its ids), or class names, one a line, "
        "background first",
    )
    add("--crf", action="store_true", help="also CAM + cues + dense CRF (needs --images)")
    add("--guard", action="store_true", help="also trust cues less that erase most of a class")
    add("--strength", type=float, default=1.0, metavar="S", help="trust in the cues: 1 paper")
    add("--calibrate", choices=("auto", "on", "off"), default="auto", help="as in c2am-refine")
    add("--band", type=int, default=10, metavar="PX", help="width of the boundary score's band")
    add("--flip-cues", action="store_true", help="the cues are high where the background is")
    add("--clip", action="store_true", help="accept CAMs outside [0, 1] and NaN by clipping")
    add("--pictures", type=int, default=3, metavar="N", help="images shown: best, worst, random")
    add("--show", action="append", default=[], metavar="ID", help="show this image; repeatable")
    add("--workers", type=int, metavar="N", help="images at a time (default: one a core)")
    add("--overwrite", action="store_true", help="replace a page of other settings")
    return parser
