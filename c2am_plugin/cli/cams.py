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

__all__ = ["cams_main"]

# Of training alone, and of training and loading a checkpoint, as the functions name them.
TRAINING = (
    "run",
    "weights",
    "recipe",
    "epochs",
    "lr",
    "batch_size",
    "crop",
    "rcm",
    "mam",
    "threshold",
    "turns",
    "dilated",
    "seed",
    "amp",
    "resume",
    "picture_every",
    "more",
)
SHARED = (
    "images",
    "labels",
    "ids",
    "classes",
    "backbone",
    "workers",
    "device",
    "overwrite",
    "progress",
)


def cams_main(argv: Sequence[str] | None = None) -> int:
    parser = _cams_parser()
    args, quiet = parse(parser, argv)
    if args.get("method") == "auto":
        parser.error("--method auto reads files; name the pipeline whose files are written")
    further, checkpoint = args.pop("train_further", False), args.get("checkpoint")
    training = {name: args.pop(name) for name in TRAINING if name in args}
    if further and not checkpoint:
        parser.error("--train-further goes on from --checkpoint FILE, which is missing")
    if checkpoint and training and not further:
        option = "--" + next(iter(training)).replace("_", "-")
        parser.error(f"{option} is about training; add --train-further to train the checkpoint on")
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

    return run(parser, work, quiet=quiet)


def _train(args: dict[str, Any], training: dict[str, Any]) -> str:
    from ..classifier.train import train_classifier
    from ..errors import InputError
    from ..runs.ranks import is_first

    folder = training.pop("run", None) or os.path.abspath(args["out"]) + "_run"
    if os.path.realpath(folder) == os.path.realpath(args["out"]):
        raise InputError(f"{folder}: is the folder of the CAMs; choose another --run")
    shared = {name: args[name] for name in (*SHARED, "checkpoint", "output_stride") if name in args}
    more = dict(training.pop("more", ()))
    result = train_classifier(run=folder, **shared, **training, **more)
    if is_first():
        print(f"{result.checkpoint}: {result.steps} steps")
    return str(result.checkpoint)


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
        "CAM files of your own images: train a classifier of image-level labels, and write its "
        "CAMs in a pipeline's layout. Pixel-level self-supervision (RCM, MAM) is an option. The "
        "same command again goes on where it was interrupted.",
        "A number that is not given is the recipe's. On N GPUs: "
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
    add("-o", "--out", required=True, metavar="CAMS", help="folder for <id>.npy")
    add_method(add, "the pipeline whose layout is written (default: psa)")
    add("--ids", metavar="FILE", help="list of image ids; in a VOC root also a list's name")
    add("--classes", metavar="FILE", help="class names, background first: the order of the ids")
    add(
        "--scales", type=positive, nargs="+", metavar="S", help="of the CAMs (default: 0.5 1 1.5 2)"
    )
    add("--checkpoint", metavar="FILE", help="a trained classifier: write its CAMs, do not train")
    add("--train-further", action="store_true", help="train the --checkpoint on first")
    add("--output-stride", type=count, metavar="N", help="pixels for one place of the map: 16, 8")
    add = parser.add_argument_group("training").add_argument
    add("--run", metavar="RUN", help="gets last.pt, log.csv, pictures/ (default: CAMS_run)")
    add_backbone(add, "torchvision weights, random, or a file")
    add("--recipe", metavar="NAME", help="voc, ppc, small (auto: small below 2,000 images)")
    add(
        "--rcm",
        type=from_zero,
        nargs="?",
        const=1.0,
        metavar="X",
        help="weight of the regions' loss (default: off; recipe ppc: 0.1)",
    )
    add("--no-rcm", dest="rcm", action="store_const", const=0.0)
    add(
        "--mam",
        type=from_zero,
        nargs="?",
        const=1.0,
        metavar="X",
        help="weight of the maps' loss (default: off)",
    )
    add("--no-mam", dest="mam", action="store_const", const=0.0)
    add("--threshold", type=positive, metavar="X", help="where regions begin: your pipeline's t")
    add("--epochs", type=count, metavar="N")
    add("--lr", type=positive, metavar="X")
    add("--batch-size", type=count, metavar="N")
    add("--crop", type=count, metavar="N", help="side of the square that is cut, in pixels")
    add("--dilated", action="store_true", help="dilate behind the removed strides")
    add("--turns", action="store_true", help="also turn views, of images without an up")
    add(
        "--set",
        dest="more",
        action="append",
        type=_number_of_recipe,
        metavar="NAME=VALUE",
        help="any other number of the recipe: tau=0.1, support=frozen, scope=image, neck=256, …",
    )
    add_seed(add, pictures=100)
    add("--amp", action=argparse.BooleanOptionalAction, help="bfloat16 (default: on a GPU)")
    add("--resume", action="store_true", help="refuse to start anew: there must be a run to go on")
    add_running(parser, shards=True, device=True)
    return parser
