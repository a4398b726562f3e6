"""`c2am-cues`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .common import conclude, run
from .describe import describe_main
from .options import (
    add_crf_backend,
    add_method,
    add_running,
    boundary,
    command_parser,
    count,
    parse,
    positive,
)

__all__ = ["cues_main"]


def cues_main(argv: Sequence[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    if any(word.split("=")[0] == "--describe" for word in argv):
        return describe_main(_without_describe(argv))
    parser = _cues_parser()
    args, running = parse(parser, argv)
    if (args.get("boundary") == "agree") != ("cams" in args):
        parser.error("--boundary agree and --cams CAM_DIR must be given together")
    if "shard" in args and args.get("boundary") == "agree":
        parser.error(
            "--boundary agree needs all images: find the boundary once without --shard, then pass "
            "the number"
        )

    def work() -> int:
        from ..network.make_cues import make_cues
        from ..runs.output_folders import record_path
        from ..runs.ranks import is_first
        from ..runs.shards import Shard

        report = make_cues(**args)
        if not is_first():
            return 0
        part = Shard.parse(args.get("shard")).name
        record = record_path(report.out, "c2am-cues", part)
        following = ("c2am-merge", report.out) if part else ("c2am-refine", "CAM_DIR", report.out)
        return conclude(parser, report, record, f"cues to {report.out}", *following)

    return run(parser, work, running)


def _without_describe(argv: list[str]) -> list[str]:
    """The older spelling `--describe CUES` or `--describe=CUES` → arguments of c2am-describe."""
    words = [word.removeprefix("--describe=") for word in argv]
    return [word for word in words if word != "--describe"]


def _cues_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "c2am-cues",
        "Make background cues of photographs with a network that c2am-train trained. "
        "c2am-describe CUES reports what a folder of cues contains.",
        "On N GPUs: torchrun --standalone --no-python --nproc-per-node N c2am-cues IMAGES …",
        argument_default=argparse.SUPPRESS,  # the defaults are make_cues' own
    )
    add = parser.add_argument_group("images and outputs").add_argument
    add("images", metavar="IMAGES", help="folder of photographs, or a VOC root")
    add("--checkpoint", required=True, metavar="FILE", help="RUN/last.pt of c2am-train")
    add("-o", "--out", required=True, metavar="CUES", help="folder for <id>.png, 255 = foreground")
    add("--ids", metavar="FILE", help="list of image ids (default: every image)")
    add("--maps", metavar="DIR", help="also store the maps, in PuzzleCAM's layout")

    add = parser.add_argument_group("cues").add_argument
    add(
        "--boundary",
        "--threshold",
        type=boundary,
        metavar="X|boundary|bimodal|otsu|agree",
        help="where foreground begins: X times the map's maximum; the network's own boundary "
        "(default); each image's own, for small objects; Otsu's threshold of each image; the X "
        "that agrees best with your CAMs",
    )
    add("--cams", metavar="CAM_DIR", help="stored CAM files, for --boundary agree")
    add_method(add, "the pipeline of --cams (default: detect from the files)")
    add(
        "--polarity",
        choices=("auto", "border", "contour", "keep", "flip"),
        help="where P is high: as recorded in the checkpoint (auto, default), as measured on these "
        "images (border, contour), on the foreground (keep), or on the background (flip)",
    )
    add(
        "--soft",
        action=argparse.BooleanOptionalAction,
        help="grey cues that are read as odds (default), or 0/255 after the dense CRF",
    )
    add_crf_backend(add)

    network = parser.add_argument_group("network")
    add = network.add_mutually_exclusive_group().add_argument
    add(
        "--scales",
        type=positive,
        nargs="+",
        metavar="S",
        help="up to 8: factors of the image's size; from 32: sides of a square in pixels "
        "(default: 0.5 1 1.5 2, or squares close to the size of the training images)",
    )
    add(
        "--fast",
        action="store_true",
        help="one scale alone, that of the training images: AUC 0.005 to 0.02 lower, 4 times as "
        "fast on a CPU or more",
    )
    add = network.add_argument
    add(
        "--bf16",
        action="store_true",
        help="compute in bfloat16: cues as good, twice as fast on processors with AVX512-BF16 or "
        "AMX, slower on others; maps differ by up to 0.1",
    )
    add(
        "--batch-size",
        type=count,
        metavar="N",
        help="images of one size processed together (default: 8 on a GPU, 1 on a CPU)",
    )
    add_running(parser, shards=True, device=True)
    return parser
