"""`c2am-train`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .common import run

__all__ = ["train_main"]


def train_main(argv: Sequence[str] | None = None) -> int:
    parser = _train_parser()
    args = vars(parser.parse_args(argv))

    def work() -> int:
        from ..network.train import train
        from ..runs.ranks import is_first

        result = train(**args)
        if not is_first():
            return 0
        side = "background" if result.flag else "foreground"
        print(
            f"{result.checkpoint}: {result.steps} steps; P is high on the {side} "
            f"(margin {result.polarity['margin']:.2f} over {result.polarity['n_images']} images)"
        )
        return 0

    return run(parser, work)


def _train_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "c2am-train",
        description="Train C2AM on unlabelled images. The same command again goes on with a run "
        "that was interrupted.",
        epilog="A number that is not given is the recipe's. On N GPUs: "
        "torchrun --standalone --no-python --nproc-per-node N c2am-train IMAGES -o RUN …",
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
    add(
        "--sync-bn",
        action="store_true",
        help="under torchrun: BatchNorm over the images of all processes (GPUs only)",
    )
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
