"""`c2am-cues`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .common import count, print_failures, run, say, shard

__all__ = ["cues_main"]


def cues_main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if any(each.split("=")[0] == "--describe" for each in argv):
        return _describe(argv)
    parser = _cues_parser()
    args = vars(parser.parse_args(argv))
    if (args.get("threshold") == "agree") != ("cams" in args):
        parser.error("--threshold agree and --cams CAM_DIR go together: one is missing")

    def work() -> int:
        from ..network.make_cues import make_cues
        from ..runs.output_folders import record_path
        from ..runs.ranks import is_first
        from ..runs.shards import Shard

        report = make_cues(**args)
        if not is_first():
            return 0
        part = Shard.parse(args.get("shard")).name
        record = str(record_path(report.out, "c2am-cues", part))
        print(f"{report.summary()}\nreport: {record}")
        return print_failures(parser, report.failures, record)

    return run(parser, work)


def _describe(argv: Sequence[str]) -> int:
    parser = _describe_parser()
    args = vars(parser.parse_args(argv))

    def work() -> int:
        from ..describe.run import describe_cues

        found = describe_cues(**args)
        print(found.text())
        for message in [*found.failures.values()][:5]:
            say(parser, message)
        return 1 if found.failures else 0

    return run(parser, work, again="to start over")


def _describe_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "c2am-cues",
        description="Say what a folder of cues, or of anybody's saliency maps, is: hard or soft, "
        "which side is high, sizes, share of foreground. Writes nothing.",
    )
    add = parser.add_argument
    add("--describe", dest="cues", required=True, metavar="CUES", help="<id>.png or float <id>.npy")
    add("--cams", metavar="CAM_DIR", help="also how far they agree with these CAM files")
    add("--method", default="auto", metavar="auto|NAME", help="the format of --cams")
    add("--workers", type=count, metavar="N", help="images at a time (default: one a core)")
    return parser


def _cues_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "c2am-cues",
        description="Make background cues of photographs with a network that c2am-train trained. "
        "Or: c2am-cues --describe CUES [--cams CAM_DIR] says what a folder of cues is.",
        epilog="On N GPUs: torchrun --standalone --no-python --nproc-per-node N c2am-cues IMAGES …",
        argument_default=argparse.SUPPRESS,  # the defaults are make_cues' own
    )
    add = parser.add_argument
    add("images", metavar="IMAGES", help="folder of photographs, or a VOC root")
    add("--checkpoint", required=True, metavar="FILE", help="RUN/last.pt of c2am-train")
    add("-o", "--out", required=True, metavar="CUES", help="folder for <id>.png, 255 = foreground")
    add("--ids", metavar="FILE", help="list of image ids (default: every image)")
    add("--maps", metavar="DIR", help="also store the maps, in PuzzleCAM's layout")
    add(
        "--threshold",
        metavar="X|boundary|otsu|agree",
        help="where foreground begins: X of the map's maximum; the network's own boundary "
        "(default); Otsu's for each image; X where the maps agree best with your CAMs",
    )
    add("--cams", metavar="CAM_DIR", help="stored CAM files, for --threshold agree")
    add("--method", metavar="auto|NAME", help="the format of --cams")
    add(
        "--polarity",
        choices=("auto", "border", "contour", "keep", "flip"),
        help="where P is high: as the checkpoint says (auto, default), measured on these images "
        "(border, contour), on the foreground (keep), on the background (flip)",
    )
    add(
        "--scales",
        type=float,
        nargs="+",
        metavar="S",
        help="up to 8 factors of the image's size, from 32 sides of a square in pixels (default: "
        "0.5 1 1.5 2, or squares about the size that the checkpoint was trained with)",
    )
    add(
        "--soft",
        action=argparse.BooleanOptionalAction,
        help="grey cues to be read as odds (default), or 0/255 after the dense CRF",
    )
    add("--bf16", action="store_true", help="compute in bfloat16: faster on some devices, rougher")
    add("--batch-size", type=int, metavar="N", help="images of one size at once (8 on a GPU)")
    add(
        "--shard", type=shard, metavar="I/N", help="only the I-th of N parts; c2am-merge at the end"
    )
    add("--workers", type=int, metavar="N", help="images at a time (default: one a core)")
    add("--device", metavar="cpu|cuda", help="default: a GPU where there is one")
    add("--overwrite", action="store_true", help="replace files of other settings or origin")
    return parser
