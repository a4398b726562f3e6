"""`c2am-saliency`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from ..saliency.recipes import RECIPES
from .common import conclude, run
from .options import (
    Values,
    add_backbone,
    add_cue_form,
    add_recipe,
    add_running,
    add_seed,
    command_parser,
    count,
    parse,
    positive,
    whole,
)

__all__ = ["saliency_main"]

SHARED = ("images", "ids", "workers", "device", "overwrite", "progress")


def saliency_main(argv: Sequence[str] | None = None) -> int:
    parser = _saliency_parser()
    args, running = parse(parser, argv)
    cues, checkpoint = args.pop("cues", None), args.pop("checkpoint", None)
    if (cues is None) == (checkpoint is None):
        parser.error("give either CUES to train on, or --checkpoint FILE of a trained network")
    shared = {name: args.pop(name) for name in SHARED if name in args}
    out, scales = args.pop("out"), args.pop("scales", None)
    if checkpoint and args:
        option = "--" + next(iter(args)).replace("_", "-")
        parser.error(f"{option} is for training only; a --checkpoint is already trained")

    def work() -> int:
        from ..runs.output_folders import record_path
        from ..saliency.predict import predict_saliency

        trained = checkpoint or _train(cues, out, {**shared, **args})
        report = predict_saliency(checkpoint=trained, out=out, scales=scales, **shared)
        record = record_path(out, "c2am-saliency")
        return conclude(parser, report, record, f"cues to {out}", "c2am-refine", "CAM_DIR", out)

    return run(parser, work, running)


def _train(cues: str, out: str, args: Values) -> str:
    from ..errors import InputError
    from ..saliency.train import train_saliency

    folder = args.pop("run", None) or os.path.abspath(out) + "_run"
    taken = {"the cues to learn from": cues, "the training run": folder}
    for name, path in taken.items():
        if os.path.realpath(path) == os.path.realpath(out):
            raise InputError(f"{out}: is the folder of {name}; choose another --out")
    result = train_saliency(cues=cues, run=folder, **args)
    print(f"{result.checkpoint}: {result.steps} steps")
    return str(result.checkpoint)


def _saliency_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "c2am-saliency",
        "Refine cues: train a saliency network on images and their cues, then write its "
        "predictions as soft cues. The same command again continues where it was interrupted.",
        "Numbers that are not given are the recipe's.",
        argument_default=argparse.SUPPRESS,  # the defaults are the functions' own
    )
    add = parser.add_argument_group("images and cues").add_argument
    add("images", metavar="IMAGES", help="folder of photographs, or a VOC root")
    add("cues", nargs="?", metavar="CUES", help="<id>.png to learn from, 255 = foreground")
    add("-o", "--out", required=True, metavar="OUT", help="folder for the soft cues <id>.png")
    add("--ids", metavar="FILE", help="list of image ids; in a VOC root also a list's name")
    add(
        "--second",
        metavar="CUES2",
        help="a second set of cues: learn nothing where the two disagree",
    )
    add_cue_form(add)
    add("--checkpoint", metavar="FILE", help="RUN/last.pt instead of CUES: predict, do not train")
    add(
        "--scales",
        type=positive,
        nargs="+",
        metavar="S",
        help="sizes to predict at, as in c2am-cues",
    )

    add = parser.add_argument_group("training").add_argument
    add(
        "--run",
        metavar="RUN",
        help="gets last.pt, log.csv, pictures/, report.html (default: OUT_run)",
    )
    add_backbone(add, "torchvision weights, random, or a file, also RUN/last.pt of c2am-train")
    add_seed(add, pictures=50)

    add = parser.add_argument_group("recipe and its numbers").add_argument
    add_recipe(add, RECIPES)
    add(
        "--side",
        type=whole,
        metavar="N",
        help="side of the square that images are resized to; 0: their own size",
    )
    add("--width", type=count, metavar="N", help="channels of the head's widest level")
    add(
        "--output-stride",
        type=count,
        metavar="N",
        help="image pixels per position of the coarsest map",
    )
    add("--accumulate", type=count, metavar="N", help="images whose gradients make one step")
    overwrite = "replace runs and cues made with other settings"
    add_running(parser, overwrite=overwrite, device=True, readers=True)
    return parser
