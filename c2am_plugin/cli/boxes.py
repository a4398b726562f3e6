"""`c2am-boxes`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .common import count, cut, print_failures, run

__all__ = ["boxes_main"]


def boxes_main(argv: Sequence[str] | None = None) -> int:
    parser = _boxes_parser()
    args = vars(parser.parse_args(argv))
    if args["predictions"] and not args["gt"]:
        parser.error("--predictions are scored with the boxes: they need --gt TRUTH")
    if args["form"] == "psol" and not args["images"]:
        parser.error("--format psol names boxes by the paths of the images: it needs --images DIR")

    def work() -> int:
        from ..boxes.make_boxes import make_boxes
        from ..runs.output_folders import record_path

        report = make_boxes(**args)
        record = str(record_path(args["out"], "c2am-boxes"))
        print(f"{report.summary()}\nboxes: {args['out']}\nreport: {record}")
        return print_failures(parser, report.failures, record)

    return run(parser, work, again="to start over")


def _boxes_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "c2am-boxes",
        description="Class-agnostic boxes of background cues or stored maps: around the largest "
        "connected component of each. Coordinates are half-open pixels: 0 0 W H is a whole image.",
    )
    add = parser.add_argument
    add(
        "maps",
        metavar="MAPS_OR_CUES",
        help="<id>.png cues, 255 = foreground, or the maps of c2am-cues --maps",
    )
    add("-o", "--out", required=True, metavar="FILE", help="boxes.json, or boxes.txt")
    add(
        "--threshold",
        type=cut,
        metavar="X",
        help="components of values above X (0.5 of a cue, 0.3 of a map)",
    )
    add(
        "--all",
        dest="all_components",
        action="store_true",
        help="boxes of all components, not of the largest alone",
    )
    add(
        "--format",
        dest="form",
        choices=("auto", "coco", "text", "psol"),
        default="auto",
        help="COCO's JSON; lines of id x0 y0 x1 y1; the JSON that PSOL's training reads "
        "(auto: text for .txt, else coco)",
    )
    add("--images", metavar="DIR", help="photographs: boxes are brought to their sizes")
    add("--ids", metavar="FILE", help="list of image ids (default: every map)")
    add(
        "--gt",
        metavar="TRUTH",
        help="score the boxes: a folder of VOC's XML, CUB's folder, or a COCO JSON",
    )
    add("--predictions", metavar="CSV", help="lines of id,class,class,… for top-1 and top-5")
    add("--flip-cues", action="store_true", help="the cues are high where the background is")
    add("--normalise", action="store_true", help="stretch each map to 0 … 1 first")
    add("--workers", type=count, metavar="N", help="images at a time (default: one a core)")
    add("--overwrite", action="store_true", help="replace a file of other settings or origin")
    return parser
