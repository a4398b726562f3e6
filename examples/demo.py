"""The whole path, offline: images, a classifier and its CAMs, C2AM, better CAMs, a page.

    python examples/demo.py -o demo-out
    python examples/demo.py -o demo-out --images JPEGImages --cams CAMS [--gt SegmentationClass]

Without --images it begins with four photographs, where an ImageNet classifier can be downloaded for
their CAMs (5 MB). Then a small data set with ground truth is generated, and a classifier is trained
on its image-level labels, as `c2am-cams` does it; its CAMs are stored in the formats of the paper's
five pipelines. With --images and --cams your own are used, in any format; with --gt they are scored
as well.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import time
from pathlib import Path

import torch
from generated import SIDE, make_folder
from photographs import free_photographs
from photographs import run as run_photographs

from c2am_plugin import (
    C2AMError,
    InputError,
    benchmark,
    convert_cams,
    make_cams,
    make_cues,
    refine_cams,
    train_c2am,
    train_classifier,
)
from c2am_plugin.runs.memory import keep_freed_memory

COUNT, BATCH = 190, 32
FORMATS = ("advcam", "psa", "puzzlecam", "sc_cam", "seam")
# The images are small and the network's maps coarse: enlarged, outlines come out finer.
SCALES = (2.0, 3.0)
# Only a folder that holds this file is emptied.
MARKER = ".c2am-demo"
BACKBONE, SMALL = "shufflenet_v2_x0_5", "squeezenet1_0"


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    if bool(args.images) != bool(args.cams):
        _parser().error("--images and --cams belong together: give both, or neither")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    keep_freed_memory()  # a quarter off the time of a training step
    started = time.perf_counter()
    try:
        run_on(args) if args.images else run_generated(args.out, args.count)
    except C2AMError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"{time.perf_counter() - started:.0f} s")
    return 0


def run_generated(
    out: Path,
    count: int = COUNT,
    epochs: int = 20,
    c2am_epochs: int = 10,
    photographs: bool = True,
) -> None:
    """The whole path on generated images; everything is made anew below `out`."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).exists():
            raise C2AMError(
                f"{out}: contains files that the demo did not write; choose another folder with -o"
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()
    # The maps are too small to be shared among cores: waiting for each other costs more.
    torch.set_num_threads(1)
    if photographs:
        show_photographs(out / "photographs")
    say(f"1/5 {count} generated images with ground truth: {out}/JPEGImages")
    make_folder(out, count)

    say("2/5 a classifier of their image-level labels, and its CAMs in five formats")
    checkpoint = write_cams(out, epochs)

    say("3/5 C2AM, without any label; the classifier's backbone is its start")
    trained = train_c2am(
        out / "JPEGImages",
        out / "c2am",
        backbone=BACKBONE,
        weights=str(checkpoint),
        batch_size=BATCH,
        epochs=c2am_epochs,
        resize=SIDE,
        crop=SIDE * 7 // 8,
        workers=0,
        picture_every=0,
    )
    say("4/5 cues, and with them better CAM files")
    report = make_cues(out / "JPEGImages", trained.checkpoint, out / "cues", scales=SCALES)
    print(report.summary())
    for name in FORMATS:
        refined = refine_cams(out / "cams" / name, out / "cues", method=name, progress=False)
        print(f"{name}: {refined.summary()}")

    say("5/5 what it was worth")
    score(out, {name: out / "cams" / name for name in FORMATS}, out / "names.txt")


def show_photographs(out: Path) -> None:
    """A page of photographs to look at, without ground truth; a line where that is not possible."""
    say("0/5 four photographs, the CAMs of a SqueezeNet, and a C2AM trained on these four alone")
    try:
        print(f"page: {run_photographs(free_photographs(out / 'images'), out, backbone=SMALL)}")
    except InputError as error:
        print(f"left out: {error}")


def write_cams(out: Path, epochs: int) -> Path:
    """Train a classifier, write its CAMs to cams/<pipeline>/; returns its checkpoint.

    All that is taken from the ground truth is which classes an image shows.
    """
    images, labels, classes = out / "JPEGImages", out / "SegmentationClass", out / "names.txt"
    trained = train_classifier(
        images,
        labels,
        out / "classifier",
        classes=classes,
        backbone=BACKBONE,
        weights="random",
        recipe="small",
        epochs=epochs,
        batch_size=BATCH,
        lr=3e-3,
        crop=SIDE,
        long_side=(SIDE, SIDE),
        output_stride=8,
        pooling="smooth_max",
        turns=True,  # the images have no up
        jitter=False,
        workers=0,
        picture_every=0,
    )
    first, *others = FORMATS
    cams = out / "cams" / first
    report = make_cams(images, labels, trained.checkpoint, cams, method=first, scales=(1.0,))
    print(report.summary())
    for name in others:
        convert_cams(cams, out / "cams" / name, to=name, method=first, progress=False)
    return trained.checkpoint


def score(out: Path, cams: dict[str, Path], classes: Path | None, **options: object) -> None:
    paths = {"cues": out / "cues", "gt": out / "SegmentationClass", "images": out / "JPEGImages"}
    result = benchmark(
        cams,
        out=out / "report",
        classes=classes,
        guard=True,
        overwrite=True,
        **{**paths, **options},  # type: ignore[arg-type]
    )
    print(f"\n{result.table()}\npage: {(out / 'report' / 'report.html').resolve()}")


def run_on(args: argparse.Namespace) -> None:
    """The path on somebody's own images and CAM files."""
    say(f"1/3 C2AM on {args.images}, without any label")
    trained = train_c2am(
        args.images,
        args.out / "c2am",
        backbone=args.backbone,
        weights=args.weights,
        epochs=args.epochs,
    )
    say("2/3 cues")
    print(make_cues(args.images, trained.checkpoint, args.out / "cues").summary())
    say("3/3 better CAM files")
    refined = args.out / "refined"
    report = refine_cams(args.cams, args.out / "cues", refined, method=args.method, missing="keep")
    print(f"{report.summary()}\nrefined CAMs: {refined}")
    if args.gt:
        score(args.out, {report.method: args.cams}, args.classes, gt=args.gt, images=args.images)
    else:
        print("with --gt DIR they would be scored, and a page of pictures made")


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("demo.py", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("-o", "--out", type=Path, default=Path("demo-out"), metavar="DIR", help="all goes here")
    add("--count", type=int, default=COUNT, metavar="N", help="images to generate")
    add("--images", type=Path, metavar="DIR", help="your own photographs")
    add("--cams", type=Path, metavar="DIR", help="your pipeline's CAM files for them")
    add("--method", default="auto", metavar="NAME", help="the pipeline, where its files do not say")
    add("--gt", type=Path, metavar="DIR", help="ground truth PNGs, to score your CAMs")
    add("--classes", type=Path, metavar="FILE", help="class names, background first (VOC's)")
    add("--backbone", default="resnet50", metavar="NAME", help="for C2AM on your images")
    add("--weights", default="IMAGENET1K_V1", metavar="NAME|FILE", help="its initial weights")
    add("--epochs", type=int, metavar="N", help="of C2AM on your images (its recipe's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
