"""`c2am-bench`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .common import finish, print_failures, run
from .options import (
    add_crf_backend,
    add_cue_use,
    add_pictures,
    add_running,
    add_value_range,
    command_parser,
    count,
    method,
    one_or_several,
    parse,
    score_or_auto,
)

__all__ = ["bench_main"]


def bench_main(argv: Sequence[str] | None = None) -> int:
    parser = _bench_parser()
    args, running = parse(parser, argv)
    args["cues"] = one_or_several(args["cues"])
    args["cams"] = dict(folders := args["cams"])
    if len(args["cams"]) < len(folders):
        parser.error("two --cams have the same name; give one a different name, e.g. psa:b=DIR")
    if args["crf"] and not args["images"]:
        parser.error("--crf needs the photographs: add --images DIR")

    def work() -> int:
        from ..bench.benchmark import benchmark

        result = benchmark(**args)
        print(result.table())
        page = f"{result.out_dir}/report.html"
        record = f"{result.out_dir}/results.json"
        code = print_failures(parser, result.failures, record)
        finish(f"{page}, results.json, results.csv, table.md", None, "xdg-open", page)
        return code

    return run(parser, work, running, again="to start over")


def _named_folder(text: str) -> tuple[str, str]:
    name, _, folder = text.partition("=")
    if not (name and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR, e.g. psa=out/psa_cam")
    pipeline, *rest = name.split(":")
    if pipeline == "auto":
        raise argparse.ArgumentTypeError("auto: name the pipeline, e.g. psa=out/psa_cam")
    from ..registry import adapter_names

    if not rest or f"{pipeline}:{rest[0]}" not in adapter_names():
        method(pipeline)
    return name, folder


def _bench_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "c2am-bench",
        "Score stored CAMs, and the same CAMs refined by cues, against ground truth: "
        "a table, curves and a page of pictures.",
    )
    add = parser.add_argument_group("inputs and page").add_argument
    add(
        "--cams",
        action="append",
        required=True,
        type=_named_folder,
        metavar="NAME=DIR",
        help="CAM files of a pipeline, e.g. psa, irn, weaktr:coco; repeatable. "
        "psa:mine=DIR: CAMs in PSA's layout, shown as psa:mine",
    )
    add(
        "--cues",
        required=True,
        nargs="+",
        metavar="DIR",
        help="<id>.png cues, 255 = foreground; several folders are combined",
    )
    add(
        "--gt",
        required=True,
        metavar="DIR",
        help="<id>.png of class indices, or a VOC root",
    )
    add("-o", "--out", required=True, metavar="DIR", help="folder for the page and the tables")
    add("--ids", metavar="FILE", help="list of image ids (default: every CAM file)")
    add("--images", metavar="DIR", help="photographs, for CAM + dense CRF and for the pictures")
    add(
        "--classes",
        metavar="NAME|FILE",
        help="voc (default), coco, coco91 (COCO by its ids), or a file of class names, one per "
        "line, background first",
    )
    add(
        "--background-score",
        "--threshold",
        type=score_or_auto,
        metavar="T|auto",
        help="what the pipelines compare CAMs with (default: their own), or auto: find it",
    )

    add = parser.add_argument_group("cues").add_argument
    add_cue_use(add)
    add(
        "--segments",
        metavar="DIR",
        help="also the refined CAMs averaged within segments, as c2am-refine --segments does it",
    )
    add_value_range(add)

    add = parser.add_argument_group("rows and pictures").add_argument
    add("--crf", action="store_true", help="also CAM + cues + dense CRF (needs --images)")
    add_crf_backend(add, default="auto")
    add(
        "--band",
        type=count,
        default=10,
        metavar="PX",
        help="width in pixels of the band along outlines for the boundary score (default: 10)",
    )
    add_pictures(add, "best, worst, random", 3)
    add_running(parser, overwrite="replace a page made with other settings")
    return parser
