"""The commands: parse, call one public function, turn known errors into exit codes.

0 done, 1 an input was bad or some images failed, 2 wrong usage, 130 interrupted. The heavy
imports stand inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

from .errors import C2AMError

__all__ = ["bench_main", "cues_main", "refine_main", "train_main"]


def _run(command: str, work: Callable[[], int]) -> int:
    log = logging.getLogger("c2am_plugin")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{command}: %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        return work()
    except C2AMError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{command}: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    finally:
        log.removeHandler(handler)


def _print_failures(command: str, failures: dict[str, str], report: str) -> int:
    """Exit code 1 and the first failures, where there are any; 0 else."""
    if not failures:
        return 0
    for message in list(failures.values())[:5]:
        print(f"{command}: {message}", file=sys.stderr)
    print(f"{command}: {len(failures)} images failed; all are listed in {report}", file=sys.stderr)
    return 1


def refine_main(argv: Sequence[str] | None = None) -> int:
    args = vars(_refine_parser().parse_args(argv))
    if args["crf"] and not (args["labels"] and args["images"]):
        _refine_parser().error("--crf works on the labels: it needs --labels DIR and --images DIR")

    def work() -> int:
        from .batch import record_path
        from .refine import refine_cams

        report = refine_cams(**args)
        record = str(record_path(report.out_dir, "c2am-refine"))
        print(f"{report.summary()}\nreport: {record}")
        return _print_failures("c2am-refine", report.failures, record)

    return _run("c2am-refine", work)


def _refine_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "c2am-refine",
        description="Refine a folder of stored CAM files by a folder of background cues.",
    )
    add = parser.add_argument
    add("cam_dir", metavar="CAM_DIR", help="<id>.npy files that your pipeline wrote")
    add("cue_dir", metavar="CUE_DIR", help="<id>.png cues, 255 = foreground")
    add("-o", "--out", dest="out_dir", metavar="OUT", help="default: CAM_DIR_c2am beside CAM_DIR")
    add(
        "--method", default="auto", metavar="auto|NAME", help="psa, sc_cam, seam, puzzlecam, advcam"
    )
    add(
        "--threshold",
        type=_threshold,
        metavar="T",
        help="background score of your pipeline (its own)",
    )
    add(
        "--strength",
        type=_strength,
        default=1.0,
        metavar="S",
        help="trust in the cues: 1 paper, 0 none",
    )
    add(
        "--calibrate",
        choices=("auto", "on", "off"),
        default="auto",
        help="fit the cues' odds to your CAMs first (auto: for the soft cues of c2am-cues)",
    )
    add("--guard", action="store_true", help="trust cues less that erase most of a class")
    add("--missing", choices=("error", "keep", "skip"), default="error", help="image without a cue")
    add("--flip-cues", action="store_true", help="the cues are high where the background is")
    add("--clip", action="store_true", help="accept CAMs outside [0, 1] and NaN by clipping")
    add("--labels", metavar="DIR", help="also write pseudo labels, palette PNGs")
    add("--crf", action="store_true", help="dense CRF on the labels (needs --labels, --images)")
    add("--images", metavar="DIR", help="photographs, for --crf")
    add("--ids", metavar="FILE", help="list of image ids (default: every CAM file)")
    add("--workers", type=_count, metavar="N", help="images at a time (default: one a core)")
    add("--overwrite", action="store_true", help="replace files of other settings or origin")
    return parser


def _threshold(text: str) -> float:
    return _number(text, lambda value: 0 < value < 1, "a number between 0 and 1")


def _strength(text: str) -> float:
    return _number(text, lambda value: 0 <= value < float("inf"), "a number from 0")


def _count(text: str) -> int:
    return int(_number(text, lambda value: value >= 1 and value % 1 == 0, "a count from 1"))


def _number(text: str, fits: Callable[[float], bool], expected: str) -> float:
    """An option's value; argparse turns the error into a usage message and exit code 2."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return value


def train_main(argv: Sequence[str] | None = None) -> int:
    args = vars(_train_parser().parse_args(argv))

    def work() -> int:
        from .network.train import train

        result = train(**args)
        side = "background" if result.flag else "foreground"
        print(
            f"{result.checkpoint}: {result.steps} steps; P is high on the {side} "
            f"(margin {result.polarity['margin']:.2f} over {result.polarity['n_images']} images)"
        )
        return 0

    return _run("c2am-train", work)


def _train_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "c2am-train",
        description="Train C2AM on unlabelled images. The same command again goes on with a run "
        "that was interrupted.",
        epilog="A number that is not given is the recipe's.",
    )
    add = parser.add_argument
    add("images", metavar="IMAGES", help="a folder of images, or a VOC root")
    add("-o", "--out", required=True, metavar="RUN", help="gets last.pt, log.csv, pictures/")
    add("--ids", metavar="FILE", help="list of image ids; in a VOC root also a list's name")
    add("--backbone", default="resnet50", metavar="NAME", help="a torchvision classifier")
    add(
        "--weights",
        default="IMAGENET1K_V1",
        metavar="NAME|FILE",
        help="torchvision weights, random, or a file (MoCo, DetCo, DINO, SwAV, torchvision)",
    )
    add(
        "--recipe",
        default="auto",
        metavar="NAME",
        help="paper, released, localisation, small (auto: small below 2,000 images, else paper)",
    )
    add("--batch-size", type=int, metavar="N", help="images that are compared with each other")
    add("--micro-batch", type=int, metavar="N", help="of these, at once in memory (default: all)")
    add("--epochs", type=int, metavar="N")
    add("--lr", type=float, metavar="X")
    add("--alpha", type=float, metavar="X", help="how fast a pair's weight falls with its rank")
    add("--resize", type=int, metavar="N", help="side of the square an image becomes, in pixels")
    add("--crop", type=int, metavar="N", help="side of the random crop of it, in pixels")
    add("--output-stride", type=int, metavar="N", help="pixels for one place of the map: 16, 8")
    add("--dilated", action="store_true", help="dilate behind the removed strides")
    add("--seed", type=int, default=0, metavar="N")
    add(
        "--amp",
        action=argparse.BooleanOptionalAction,
        help="bfloat16 (default: on a GPU that has it)",
    )
    add("--resume", action="store_true", help="refuse to start anew: there must be a run to go on")
    add("--overwrite", action="store_true", help="replace a run of other settings")
    add("--workers", type=int, metavar="N", help="processes that read images")
    add("--device", metavar="NAME", help="cuda, cuda:1, cpu (default: a GPU if there is one)")
    add("--picture-every", type=int, default=100, metavar="STEPS", help="0: no pictures of maps")
    add("--tensorboard", action="store_true", help="also log for TensorBoard, into RUN")
    return parser


def cues_main(argv: Sequence[str] | None = None) -> int:
    parser = _cues_parser()
    args = vars(parser.parse_args(argv))
    if (args.get("threshold") == "agree") != ("cams" in args):
        parser.error("--threshold agree and --cams CAM_DIR go together: one is missing")

    def work() -> int:
        from .batch import record_path
        from .network.make_cues import make_cues

        report = make_cues(**args)
        record = str(record_path(report.out, "c2am-cues"))
        print(f"{report.summary()}\nreport: {record}")
        return _print_failures("c2am-cues", report.failures, record)

    return _run("c2am-cues", work)


def _cues_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "c2am-cues",
        description="Make background cues of photographs with a network that c2am-train trained.",
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
    add("--workers", type=int, metavar="N", help="images at a time (default: one a core)")
    add("--device", metavar="cpu|cuda", help="default: a GPU where there is one")
    add("--overwrite", action="store_true", help="replace files of other settings or origin")
    return parser


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
        from .bench.benchmark import benchmark

        result = benchmark(**args)
        print(f"{result.table()}\npage: {result.out_dir}/report.html")
        return _print_failures("c2am-bench", result.failures, f"{result.out_dir}/results.json")

    return _run("c2am-bench", work)


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
        help="CAM files of psa, sc_cam, seam, puzzlecam or advcam; repeat it for more. "
        "psa:mine=DIR is in PSA's format and called psa:mine",
    )
    add("--cues", required=True, metavar="DIR", help="<id>.png cues, 255 = foreground")
    add("--gt", required=True, metavar="DIR", help="ground truth, <id>.png of class indices")
    add("-o", "--out", required=True, metavar="DIR", help="where the page and the tables go")
    add("--ids", metavar="FILE", help="list of image ids (default: every CAM file)")
    add("--images", metavar="DIR", help="photographs: for CAM + dense CRF and for the pictures")
    add("--classes", metavar="FILE", help="class names, one a line, background first (VOC's)")
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
