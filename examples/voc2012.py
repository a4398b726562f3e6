"""The real thing: C2AM on PASCAL VOC 2012 with the paper's settings, and your CAMs refined by it.

    python examples/voc2012.py -o OUT --root DATA --cams seam=CAMS [--cams psa=CAMS …]

Wants the internet the first time (VOC 2012 is 2 GB) and a GPU that holds a batch of 128 images of
448×448; for a smaller one there is --micro-batch. The paper's numbers are those of MoCo weights,
which torchvision does not have: --weights moco_v2_800ep_pretrain.pth.tar.

Five steps: 1 VOC 2012 into DATA; 2 train C2AM, 10 epochs; 3 cues for the train images; 4 refine
each folder of CAMs; 5 score them on the train images, with a page. Training, cues and refining go
on where an earlier run of the same command stopped.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from c2am_plugin import C2AMError, InputError, benchmark, make_cues, refine_cams, train_c2am

ARCHIVE = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
FOLDER = Path("VOCdevkit") / "VOC2012"


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    cams = {name: Path(folder) for name, _, folder in (each.partition("=") for each in args.cams)}
    try:
        voc = prepare_voc(args.root)
        ids = args.ids or write_unlabelled(voc, args.out)
        training = {"weights": args.weights, "micro_batch": args.micro_batch}
        page = run(voc, args.out, cams, ids, training, workers=args.workers)
    except C2AMError as error:
        print(f"voc2012: {error}", file=sys.stderr)
        return 1
    print(f"page: {page}")
    return 0


def prepare_voc(root: Path) -> Path:
    """The folder VOC2012 below `root`; fetched by torchvision where it is not there yet."""
    voc = root / FOLDER
    if not (voc / "JPEGImages").is_dir():
        from torchvision.datasets import VOCSegmentation

        try:
            VOCSegmentation(root, year="2012", image_set="train", download=True)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"VOC 2012 could not be fetched ({error}). By hand: get {ARCHIVE} (or a copy of "
                f"it), unpack it in {root}, so that {voc / 'JPEGImages'} is there, and run this "
                "again"
            ) from error
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/train.txt"):
        if not (voc / name).exists():
            raise InputError(f"{voc}: does not contain {name}; unpack {ARCHIVE} in {root} again")
    return voc


def write_unlabelled(voc: Path, out: Path) -> Path:
    """A list of the images to train on: all but those of val, for C2AM needs no label.

    The paper's 10,582 images are those of train_aug.txt, which the pipelines' repositories hold;
    where it is among VOC's lists, it is taken.
    """
    lists = voc / "ImageSets" / "Segmentation"
    if (lists / "train_aug.txt").is_file():
        return lists / "train_aug.txt"
    held_out = set((lists / "val.txt").read_text().split())
    found = sorted({path.stem for path in (voc / "JPEGImages").glob("*.jpg")} - held_out)
    path = out / "unlabelled.txt"
    out.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(found) + "\n")
    print(f"training on the {len(found)} images that are not in val (the paper: train_aug, --ids)")
    return path


def run(
    voc: Path,
    out: Path,
    cams: dict[str, Path],
    ids: Path,
    training: dict[str, Any],
    workers: int | None = None,
) -> Path:
    """Steps 2 to 5; returns the page. training: options of `train` beyond the paper's recipe."""
    settings = {"recipe": "paper"} | training
    trained = train_c2am(voc, out / "c2am", ids=ids, **settings)
    labelled = voc / "ImageSets" / "Segmentation" / "train.txt"
    report = make_cues(
        voc / "JPEGImages", trained.checkpoint, out / "cues", ids=labelled, workers=workers
    )
    print(report.summary())
    for name, folder in cams.items():
        refined = refine_cams(
            folder,
            out / "cues",
            out / "cams" / name,
            method=name.split(":")[0],
            labels=out / "labels" / name,
            ids=labelled,
            workers=workers,
        )
        print(f"{name}: {refined.summary()}")
    result = benchmark(
        cams,
        out / "cues",
        voc / "SegmentationClass",
        out / "report",
        ids=labelled,
        images=voc / "JPEGImages",
        guard=True,
        workers=workers,
        overwrite=True,
    )
    print(result.table())
    return (out / "report" / "report.html").resolve()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("voc2012.py", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("-o", "--out", type=Path, required=True, metavar="OUT", help="all results go here")
    add("--root", type=Path, default=Path("data"), metavar="DATA", help="holds VOCdevkit, or will")
    add(
        "--cams",
        action="append",
        required=True,
        metavar="NAME=DIR",
        help="CAM files of psa, sc_cam, seam, puzzlecam or advcam; repeatable",
    )
    add("--ids", type=Path, metavar="FILE", help="images to train on, e.g. voc12/train_aug.txt")
    add("--weights", default="IMAGENET1K_V1", metavar="NAME|FILE", help="of the ResNet-50: MoCo v2")
    add("--micro-batch", type=int, metavar="N", help="images at once, where memory is short")
    add("--workers", type=int, metavar="N", help="images at a time (default: one a core)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
