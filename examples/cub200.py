"""The other half of the paper: class-agnostic boxes on CUB-200-2011, with its settings.

    python examples/cub200.py -o OUT --root DATA

Wants the internet the first time (CUB-200-2011 is 1.1 GB) and preferably a GPU. The paper's numbers
are those of MoCo weights, which torchvision does not have: --weights moco_v2_800ep_pretrain.pth.tar
(for these the authors' code takes --alpha 0.75, for supervised ones the paper's 0.05).

Four steps: 1 CUB-200-2011 into DATA; 2 train C2AM on the 5,994 training images by the recipe
`localisation` (resize 256, crop 224, batch 16, 20 epochs, α 0.05); 3 cues and maps of all images,
as squares of 448 pixels; 4 boxes: of the training images as PSOL reads them, of the 5,794 test
images scored. Training and cues go on where an earlier run of the same command stopped.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from c2am_plugin import C2AMError, InputError, make_boxes, make_cues, train_c2am

ARCHIVE = "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"
MD5 = "97eceeb196236b17998738112f37df78"
NEEDED = ("images", "images.txt", "train_test_split.txt", "bounding_boxes.txt", "classes.txt")
MAP_SIDE = 448.0


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    training = {"weights": args.weights, "alpha": args.alpha, "micro_batch": args.micro_batch}
    try:
        cub = prepare_cub(args.root)
        report = run(cub, args.out, training, args.workers)
    except C2AMError as error:
        print(f"cub200: {error}", file=sys.stderr)
        return 1
    print(report.summary())
    return 0


def prepare_cub(root: Path) -> Path:
    """The folder CUB_200_2011 below `root`; fetched by torchvision where it is not there yet."""
    cub = root / "CUB_200_2011"
    if not cub.is_dir():
        from torchvision.datasets.utils import download_and_extract_archive

        try:
            download_and_extract_archive(ARCHIVE, str(root), md5=MD5)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"CUB-200-2011 could not be fetched ({error}). By hand: get {ARCHIVE} (or a copy "
                f"of it), unpack it in {root}, so that {cub / 'images.txt'} is there, and run this "
                "again"
            ) from error
    for name in NEEDED:
        if not (cub / name).exists():
            raise InputError(f"{cub}: does not contain {name}; unpack {ARCHIVE} in {root} again")
    return cub


def write_splits(cub: Path, out: Path) -> tuple[Path, Path]:
    """Lists of the training and of the test images, as CUB's train_test_split.txt has them."""
    names = dict(line.split() for line in (cub / "images.txt").read_text().splitlines())
    split = dict(line.split() for line in (cub / "train_test_split.txt").read_text().splitlines())
    out.mkdir(parents=True, exist_ok=True)
    lists = []
    for name, wanted in (("train", "1"), ("test", "0")):
        chosen = [names[number] for number in names if split.get(number) == wanted]
        lists.append(out / f"{name}.txt")
        lists[-1].write_text("\n".join(chosen) + "\n")
        print(f"{len(chosen)} images to {name}")
    return lists[0], lists[1]


def run(cub: Path, out: Path, training: dict[str, Any], workers: int | None = None) -> Any:
    """Steps 2 to 4; returns the report of the test images. training: options of `train` beyond the
    recipe."""
    training_list, test_list = write_splits(cub, out)
    images = cub / "images"
    settings = {"recipe": "localisation"} | training
    trained = train_c2am(images, out / "c2am", ids=training_list, **settings)
    report = make_cues(
        images,
        trained.checkpoint,
        out / "cues",
        maps=out / "maps",
        scales=[MAP_SIDE],
        workers=workers,
    )
    print(report.summary())
    for_psol = make_boxes(
        out / "cues",
        out / "psol" / "train.json",
        form="psol",
        images=images,
        ids=training_list,
        workers=workers,
    )
    print(f"{out / 'psol' / 'train.json'}: {for_psol.summary()}")
    return make_boxes(
        out / "cues", out / "test.json", images=images, ids=test_list, gt=cub, workers=workers
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("cub200.py", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("-o", "--out", type=Path, required=True, metavar="OUT", help="all results go here")
    add("--root", type=Path, default=Path("data"), metavar="DATA", help="holds CUB, or will")
    add("--weights", default="IMAGENET1K_V1", metavar="NAME|FILE", help="of the ResNet-50: MoCo v2")
    add("--alpha", type=float, metavar="X", help="of the loss (default: the recipe's 0.05)")
    add("--micro-batch", type=int, metavar="N", help="images at once, where memory is short")
    add("--workers", type=int, metavar="N", help="images at a time (default: one a core)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
