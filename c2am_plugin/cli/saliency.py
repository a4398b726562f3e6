"""`c2am-saliency`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from .common import print_failures, run

__all__ = ["saliency_main"]

TRAINING = (
    *("second", "flip_cues", "backbone", "weights", "recipe", "epochs", "lr", "side", "width"),
    *("output_stride", "accumulate", "seed", "picture_every", "run"),
)


def saliency_main(argv: Sequence[str] | None = None) -> int:
    parser = _saliency_parser()
    args = vars(parser.parse_args(argv))
    cues, checkpoint = args.pop("cues", None), args.pop("checkpoint", None)
    if (cues is None) == (checkpoint is None):
        parser.error("give CUES to train on, or --checkpoint FILE of a network that is trained")
    training = {name: args.pop(name) for name in TRAINING if name in args}
    if checkpoint and training:
        option = "--" + next(iter(training)).replace("_", "-")
        parser.error(f"{option} is about training, and --checkpoint is trained already")

    def work() -> int:
        from ..runs.output_folders import record_path
        from ..saliency.predict import predict_saliency

        trained = checkpoint or _train(cues, args, training)
        report = predict_saliency(**{**args, "checkpoint": trained})
        record = str(record_path(report.out, "c2am-saliency"))
        print(f"{report.summary()}\nreport: {record}")
        return print_failures(parser, report.failures, record)

    return run(parser, work)


def _train(cues: str, shared: dict[str, Any], training: dict[str, Any]) -> str:
    from ..errors import InputError
    from ..saliency.train import train_saliency

    folder = training.pop("run", None) or os.path.abspath(shared["out"]) + "_run"
    taken = {"the cues that are learnt from": cues, "the training run": folder}
    for name, path in taken.items():
        if os.path.realpath(path) == os.path.realpath(shared["out"]):
            raise InputError(f"{shared['out']}: is the folder of {name}; choose another --out")
    kept = {name: value for name, value in shared.items() if name not in ("out", "scales")}
    result = train_saliency(cues=cues, run=folder, **kept, **training)
    print(f"{result.checkpoint}: {result.steps} steps")
    return str(result.checkpoint)


def _saliency_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "c2am-saliency",
        description="Refine cues: train a saliency network on images and their cues, then write "
        "what it says as soft cues. The same command again goes on where it was interrupted.",
        argument_default=argparse.SUPPRESS,  # the defaults are the functions' own
        epilog="A number that is not given is the recipe's.",
    )
    add = parser.add_argument
    add("images", metavar="IMAGES", help="folder of photographs, or a VOC root")
    add("cues", nargs="?", metavar="CUES", help="<id>.png to learn from, 255 = foreground")
    add("--second", metavar="CUES2", help="other cues of them: learn nothing where both contradict")
    add("-o", "--out", required=True, metavar="OUT", help="folder for the soft cues <id>.png")
    add("--run", metavar="RUN", help="gets last.pt, log.csv, pictures/ (default: OUT_run)")
    add("--checkpoint", metavar="FILE", help="RUN/last.pt instead of CUES: do not train")
    add("--ids", metavar="FILE", help="list of image ids; in a VOC root also a list's name")
    add("--flip-cues", action="store_true", help="the cues are high where the background is")
    add("--backbone", metavar="NAME", help="a torchvision classifier (default: resnet50)")
    add(
        "--weights",
        metavar="NAME|FILE",
        help="torchvision weights, random, or a file, also RUN/last.pt of c2am-train",
    )
    add("--recipe", metavar="NAME", help="paper, small (auto: small below 2,000 images)")
    add("--epochs", type=int, metavar="N")
    add("--lr", type=float, metavar="X")
    add("--side", type=int, metavar="N", help="side of the square an image becomes; 0: as it is")
    add("--width", type=int, metavar="N", help="channels of the head's widest level")
    add("--output-stride", type=int, metavar="N", help="pixels for one place of the coarsest map")
    add("--accumulate", type=int, metavar="N", help="images whose gradients make a step")
    add("--seed", type=int, metavar="N")
    add("--picture-every", type=int, metavar="STEPS", help="0: no pictures (default: 50)")
    add("--scales", type=float, nargs="+", metavar="S", help="to predict at, as for c2am-cues")
    add("--workers", type=int, metavar="N", help="processes or threads for images")
    add("--device", metavar="NAME", help="cuda, cuda:1, cpu (default: a GPU if there is one)")
    add("--overwrite", action="store_true", help="replace runs and cues of other settings")
    return parser
