"""`c2am-boxes`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .common import conclude, run
from .options import add_running, below_one, command_parser, parse

__all__ = ["boxes_main"]


def boxes_main(argv: Sequence[str] | None = None) -> int:
    parser = _boxes_parser()
    args, running = parse(parser, argv)
    if args["predictions"] and not args["gt"]:
        parser.error("--predictions need ground truth: add --gt TRUTH")
    if args["form"] == "psol" and not args["images"]:
        parser.error("--format psol names boxes by the image paths: add --images DIR")

    def work() -> int:
        from ..boxes.make_boxes import make_boxes
        from ..runs.output_folders import record_path

        report = make_boxes(**args)
        record = record_path(args["out"], "c2am-boxes")
        score = ("c2am-boxes", args["maps"], "-o", "SCORED.json", "--gt", "TRUTH")
        following = () if args["gt"] else score
        return conclude(parser, report, record, f"boxes to {args['out']}", *following)

    return run(parser, work, running, again="to start over")


def _boxes_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "c2am-boxes",
        "Make class-agnostic boxes from background cues or stored maps, one around the largest "
        "connected component of each. Coordinates are half-open pixels: 0 0 W H is a whole image.",
    )
    add = parser.add_argument_group("maps and boxes").add_argument
    add(
        "maps",
        metavar="MAPS_OR_CUES",
        help="<id>.png cues, 255 = foreground, or the maps of c2am-cues --maps",
    )
    add("-o", "--out", required=True, metavar="FILE", help="boxes.json, or boxes.txt")
    add(
        "--boundary",
        "--threshold",
        type=below_one,
        metavar="X",
        help="values above X are foreground (default: 0.5 for cues, 0.3 for maps)",
    )
    add(
        "--all",
        dest="all_components",
        action="store_true",
        help="boxes around all components (default: only around the largest)",
    )
    add(
        "--format",
        dest="form",
        choices=("auto", "coco", "text", "psol"),
        default="auto",
        help="coco: COCO's JSON; text: lines of id x0 y0 x1 y1; psol: the JSON that PSOL's "
        "training reads; auto: text for .txt, else coco",
    )
    add("--images", metavar="DIR", help="photographs; the boxes are scaled to their sizes")
    add("--ids", metavar="FILE", help="list of image ids (default: every map)")
    add("--flip-cues", action="store_true", help="the cues are high on the background")
    add("--normalise", action="store_true", help="stretch each map to [0, 1] first")

    add = parser.add_argument_group("scores").add_argument
    add(
        "--gt",
        metavar="TRUTH",
        help="score the boxes: a folder of VOC's XML, CUB's folder, or a COCO JSON",
    )
    add("--predictions", metavar="CSV", help="lines of id,class,class,… for top-1 and top-5 scores")
    add_running(parser, overwrite="replace a file made with other settings or by another program")
    return parser
