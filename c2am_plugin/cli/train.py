"""`c2am-train`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..network.recipes import RECIPES
from .common import finish, run
from .options import (
    add_backbone,
    add_recipe,
    add_running,
    add_seed,
    background_score,
    command_parser,
    count,
    from_zero,
    method,
    parse,
    positive,
)

__all__ = ["train_main"]


def train_main(argv: Sequence[str] | None = None) -> int:
    parser = _train_parser()
    args, running = parse(parser, argv)
    if args.get("sync_bn") and "micro_batch" in args:
        parser.error(
            "--sync-bn and --micro-batch cannot be combined: BatchNorm would see only a part of "
            "the batch"
        )

    if "hints" not in args and (alone := [name for name in args if name.startswith("hint_")]):
        parser.error(f"--{alone[0].replace('_', '-')} needs --hints CAM_DIR")

    def work() -> int:
        from ..network.train import train_c2am
        from ..runs.ranks import is_first

        result = train_c2am(**args)
        if not is_first():
            return 0
        side = "background" if result.flag else "foreground"
        print(
            f"{result.checkpoint}: {result.steps} steps; P is high on the {side} "
            f"(margin {result.polarity['margin']:.2f} over {result.polarity['n_images']} images)"
        )
        following = ("c2am-cues", args["images"], "--checkpoint", result.checkpoint, "-o", "CUES")
        finish(str(result.checkpoint), None, *following)
        return 0

    return run(parser, work, running)


def _train_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "c2am-train",
        "Train C2AM on unlabelled images. The same command again continues a run "
        "that was interrupted.",
        "Numbers that are not given are the recipe's. On N GPUs: "
        "torchrun --standalone --no-python --nproc-per-node N c2am-train IMAGES -o RUN …",
        argument_default=argparse.SUPPRESS,  # the defaults are train_c2am's own
    )
    add = parser.add_argument_group("images and run").add_argument
    add("images", metavar="IMAGES", help="folder of images, or a VOC root")
    add(
        "-o",
        "--out",
        required=True,
        metavar="RUN",
        help="gets last.pt, log.csv, pictures/, report.html",
    )
    add("--ids", metavar="FILE", help="list of image ids; in a VOC root also a list's name")
    add(
        "--resume",
        action="store_true",
        help="require an interrupted run to continue; never start a new one",
    )
    add_seed(add, pictures=100)
    add("--tensorboard", action="store_true", help="also log to RUN for TensorBoard")

    add = parser.add_argument_group("network").add_argument
    add_backbone(
        add,
        "torchvision weights (default: IMAGENET1K_V1; of timm: pretrained), random, or a file "
        "(MoCo, DetCo, DINO, SwAV, torchvision, timm)",
    )
    add("--dilated", action="store_true", help="dilate the layers after the removed strides")
    add(
        "--freeze",
        choices=("none", "backbone"),
        help="backbone: compute the features once and train only the head (default: none)",
    )
    add(
        "--amp",
        action=argparse.BooleanOptionalAction,
        help="compute in bfloat16 (default: on a GPU that supports it)",
    )
    add(
        "--sync-bn",
        action="store_true",
        help="under torchrun: BatchNorm over the images of all processes (GPUs only)",
    )

    add = parser.add_argument_group("hints of CAM files").add_argument
    add(
        "--hints",
        metavar="CAM_DIR",
        help="pull the map towards 1 where the CAMs of this folder are sure of foreground",
    )
    add(
        "--hint-method",
        type=method,
        metavar="NAME",
        help="the pipeline of --hints (default: detect from the files)",
    )
    add(
        "--hint-threshold",
        type=background_score,
        metavar="X",
        help="CAMs from X on are confident (default: 0.4)",
    )
    add("--hint-weight", type=positive, metavar="X", help="weight of that loss (default: 1)")

    add = parser.add_argument_group("recipe and its numbers").add_argument
    add_recipe(add, RECIPES)
    add("--batch-size", type=count, metavar="N", help="images compared with each other in a step")
    add(
        "--micro-batch",
        type=count,
        metavar="N",
        help="images processed at once, to save memory (default: the whole batch)",
    )
    add(
        "--alpha",
        type=from_zero,
        metavar="X",
        help="how fast the weight of a pair falls with its rank",
    )
    add(
        "--resize",
        type=count,
        metavar="N",
        help="side of the square that images are resized to, in pixels",
    )
    add("--crop", type=count, metavar="N", help="side of the random crop of that, in pixels")
    add(
        "--output-stride",
        type=count,
        metavar="N",
        help="image pixels per position of the map: 16 or 8",
    )
    overwrite = "replace a run made with other settings"
    add_running(parser, overwrite=overwrite, device=True, readers=True)
    return parser
