"""`c2am-cams`."""

from __future__ import annotations

import argparse
import ast
import os
from collections.abc import Sequence
from typing import Any

from .common import conclude, run
from .options import (
    add_backbone,
    add_method,
    add_running,
    add_seed,
    command_parser,
    count,
    from_zero,
    parse,
    positive,
)
from .wording import as_options

__all__ = ["cams_main"]

# The arguments of `make_cams` that training does not have.
WRITING = ("out", "method", "scales", "shard")


def cams_main(argv: Sequence[str] | None = None) -> int:
    parser = _cams_parser()
    args, running = parse(parser, argv)
    if args.get("method") == "auto":
        parser.error("--method auto needs existing files; name the pipeline to write files for")
    further, checkpoint = args.pop("train_further", False), args.get("checkpoint")
    training = {name: args.pop(name) for name in _of_training(parser) if name in args}
    if further and not checkpoint:
        parser.error("--train-further needs --checkpoint FILE")
    if checkpoint and training and not further:
        message = f"`{next(iter(training))}` is a training option; add --train-further to use it"
        parser.error(as_options(parser, message))
    if "shard" in args and (further or not checkpoint):
        parser.error("--shard needs --checkpoint FILE: train once, then write the parts")

    def work() -> int:
        from ..classifier.make_cams import COMMAND, make_cams
        from ..runs.output_folders import record_path
        from ..runs.ranks import is_first
        from ..runs.shards import Shard

        if further or not checkpoint:
            args["checkpoint"] = _train(args, training)
            args.pop("backbone", None)
        report = make_cams(**args)
        if not is_first():
            return 0
        record = record_path(report.out, COMMAND, Shard.parse(args.get("shard")).name)
        following = ("c2am-refine", report.out, "CUES")
        return conclude(parser, report, record, f"CAMs to {report.out}", *following)

    return run(parser, work, running)


def _train(args: dict[str, Any], training: dict[str, Any]) -> str:
    from ..classifier.train import train_classifier
    from ..errors import InputError
    from ..runs.ranks import is_first

    folder = training.pop("run", None) or os.path.abspath(args["out"]) + "_run"
    if os.path.realpath(folder) == os.path.realpath(args["out"]):
        raise InputError(f"{folder}: is the folder of the CAMs; choose another --run")
    shared = {name: value for name, value in args.items() if name not in WRITING}
    more = dict(training.pop("more", ()))
    result = train_classifier(run=folder, **shared, **training, **more)
    if is_first():
        print(f"{result.checkpoint}: {result.steps} steps")
    return str(result.checkpoint)


def _of_training(parser: argparse.ArgumentParser) -> list[str]:
    """The arguments of training alone; a checkpoint, too, may need the name of its backbone."""
    (group,) = (each for each in parser._action_groups if each.title == "training")
    names = dict.fromkeys(action.dest for action in group._group_actions)
    return [name for name in names if name != "backbone"]


def _number_of_recipe(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    if not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def _cams_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "c2am-cams",
        "Make CAM files of your own images: train a classifier on image-level labels, and write "
        "its CAMs in a pipeline's layout. Pixel-level self-supervision (RCM, MAM) is optional. The "
        "same command again continues where it was interrupted.",
        "Numbers that are not given are the recipe's. On N GPUs: "
        "torchrun --standalone --no-python --nproc-per-node N c2am-cams IMAGES …",
        argument_default=argparse.SUPPRESS,  # the defaults are the functions' own
    )
    add = parser.add_argument_group("images and outputs").add_argument
    add("images", metavar="IMAGES", help="folder of photographs, or a VOC root")
    add(
        "--labels-file",
        dest="labels",
        required=True,
        metavar="LABELS",
        help="image-level labels: cls_labels.npy, a CSV or TSV of id,class,class, COCO's JSON, or "
        "a folder of VOC's XML or of mask PNGs",
    )
    add("-o", "--out", required=True, metavar="CAMS", help="folder for the CAM files <id>.npy")
    add_method(add, "the pipeline whose layout is written (default: psa)")
    add("--ids", metavar="FILE", help="list of image ids; in a VOC root also a list's name")
    add("--classes", metavar="FILE", help="class names in the order of their ids, background first")
    add(
        "--scales",
        type=positive,
        nargs="+",
        metavar="S",
        help="factors of the image's size (default: 0.5 1 1.5 2)",
    )
    add("--checkpoint", metavar="FILE", help="write the CAMs of a trained classifier, do not train")
    add("--train-further", action="store_true", help="train the --checkpoint further first")
    add(
        "--output-stride",
        type=count,
        metavar="N",
        help="image pixels per position of the map: 16 or 8",
    )
    add = parser.add_argument_group("training").add_argument
    add(
        "--run",
        metavar="RUN",
        help="gets last.pt, log.csv, pictures/, report.html (default: CAMS_run)",
    )
    add_backbone(add, "torchvision weights, random, or a file")
    add("--recipe", metavar="NAME", help="voc, ppc, small (auto: small below 2,000 images)")
    add(
        "--rcm",
        type=from_zero,
        nargs="?",
        const=1.0,
        metavar="X",
        help="weight of the region loss (default: off; recipe ppc: 0.1)",
    )
    add("--no-rcm", dest="rcm", action="store_const", const=0.0, help="no region loss")
    add(
        "--mam",
        type=from_zero,
        nargs="?",
        const=1.0,
        metavar="X",
        help="weight of the map loss (default: off)",
    )
    add("--no-mam", dest="mam", action="store_const", const=0.0, help="no map loss")
    add("--threshold", type=positive, metavar="X", help="where regions begin: your pipeline's t")
    add("--epochs", type=count, metavar="N", help="passes over the images")
    add("--lr", type=positive, metavar="X", help="learning rate")
    add("--batch-size", type=count, metavar="N", help="images in a step")
    add("--crop", type=count, metavar="N", help="side of the random crop, in pixels")
    add("--dilated", action="store_true", help="dilate the layers after the removed strides")
    add("--turns", action="store_true", help="also rotate views, for images without an upright")
    add(
        "--set",
        dest="more",
        action="append",
        type=_number_of_recipe,
        metavar="NAME=VALUE",
        help="any other number of the recipe: tau=0.1, support=frozen, scope=image, neck=256, …",
    )
    add_seed(add, pictures=100)
    add(
        "--amp",
        action=argparse.BooleanOptionalAction,
        help="compute in bfloat16 (default: on a GPU that supports it)",
    )
    add(
        "--resume",
        action="store_true",
        help="require an interrupted run to continue; never start a new one",
    )
    add_running(parser, shards=True, device=True)
    return parser
