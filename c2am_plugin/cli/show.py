"""`c2am-show`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .common import finish, print_failures, run
from .options import add_pictures, add_running, command_parser, one_or_several, parse

__all__ = ["show_main"]


def show_main(argv: Sequence[str] | None = None) -> int:
    parser = _show_parser()
    args, running = parse(parser, argv)
    args["cue_dir"] = one_or_several(args["cue_dir"])

    def work() -> int:
        from ..show.run import show_refinement

        result = show_refinement(**args)
        print(result.summary())
        code = print_failures(parser, result.failures, result.page)
        finish(f"{result.page}, images.csv", None, "xdg-open", result.page)
        return code

    return run(parser, work, running, again="to start over")


def _show_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "c2am-show",
        "Write a page with pictures and numbers of a finished c2am-refine run: what changed, where "
        "the cues had an effect, and how they were calibrated. Needs no ground truth.",
    )
    add = parser.add_argument_group("inputs").add_argument
    add("cam_dir", metavar="CAM_DIR", help="the CAM files that were refined")
    add("cue_dir", nargs="+", metavar="CUE_DIR", help="the cues that they were refined with")
    add("refined_dir", metavar="REFINED", help="the folder that c2am-refine wrote")
    add("--images", required=True, metavar="DIR", help="photographs, or a VOC or COCO root")
    add("--labels", metavar="DIR", help="also show the labels that c2am-refine wrote here")
    add(
        "--classes",
        metavar="NAME|FILE",
        help="voc, coco, coco91, or a file of class names, one per line, background first "
        "(default: voc for VOC's ids, else numbers)",
    )
    add = parser.add_argument_group("page").add_argument
    add("-o", "--out", required=True, metavar="PAGE", help="folder for report.html, images.csv")
    add_pictures(add, "most changed, least, random", 4)
    add_running(parser, overwrite="replace a page of other folders")
    return parser
