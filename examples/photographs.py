"""From a folder of photographs to refined CAMs and a page, without a single label.

    python examples/photographs.py IMAGES -o OUT
    python examples/photographs.py IMAGES -o OUT --backbone squeezenet1_0 --weights FILE \
        --checkpoint RUN/last.pt

The CAMs are those of a torchvision classifier of ImageNet (ResNet-50; its weights are downloaded
unless --weights is a file), of the class that it takes each photograph for. C²AM is trained on the
photographs unless --checkpoint is a trained one. It learns from many: a handful gives something to
look at and no more. OUT gets cams/, cues/, refined/, labels/ and page/report.html.

Without IMAGES: four photographs of scikit-image's package, free of rights by its documentation:
chelsea (CC0, Stefan van der Walt), coffee (CC0, Rachel Michetti), astronaut (NASA, public domain)
and rocket (SpaceX, public domain). Its motorcycle states no licence, and is left out.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision import models

from c2am_plugin import (
    C2AMError,
    InputError,
    make_cams,
    make_cues,
    refine_cams,
    show_refinement,
    train_c2am,
)
from c2am_plugin.files.photos import find_images
from c2am_plugin.training.weights import read_torch_file

FREE = ("astronaut", "chelsea", "coffee", "rocket")
# C²AM's recipe is for hundreds of images; these numbers are for a handful.
FEW, HANDFUL = 32, {"epochs": 40, "resize": 256, "crop": 224, "picture_every": 0}
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run(
    images: Path,
    out: Path,
    *,
    backbone: str = "resnet50",
    weights: str | None = None,
    checkpoint: Path | None = None,
    epochs: int | None = None,
) -> Path:
    """All steps; returns the page."""
    classifier = write_classifier(images, out, backbone, weights)
    made = make_cams(
        images,
        out / "labels.csv",
        classifier,
        out / "cams",
        backbone=backbone,
        classes=out / "classes.txt",
    )
    if made.failures:
        raise InputError(f"no CAMs: {next(iter(made.failures.values()))}")
    print(made.summary())
    if checkpoint is None:
        checkpoint = train(images, out, backbone, epochs)
    print(make_cues(images, checkpoint, out / "cues").summary())
    folders = out / "cams", out / "cues", out / "refined"
    labels: dict[str, Any] = {"labels": out / "labels", "crf": True, "images": images}
    print(refine_cams(*folders, method="psa", **labels).summary())
    page = show_refinement(
        *folders, images, out / "page", labels=out / "labels", classes=out / "classes.txt"
    )
    return Path(page.page).resolve()


def train(images: Path, out: Path, backbone: str, epochs: int | None) -> Path:
    """C²AM on the photographs, from the classifier's weights; returns its checkpoint."""
    count = len(find_images(images, None))
    numbers: dict[str, Any] = {**HANDFUL, "batch_size": count} if count < FEW else {}
    numbers |= {"epochs": epochs} if epochs else {}
    start = str(out / "imagenet.pth")
    run = train_c2am(images, out / "c2am", backbone=backbone, weights=start, **numbers)
    return run.checkpoint


def write_classifier(images: Path, out: Path, backbone: str, weights: str | None) -> Path:
    """Name each photograph's class; write labels.csv, classes.txt, and the classifier with these
    classes alone, as `make_cams` reads it; imagenet.pth is the whole one, a start for C²AM."""
    network, state = imagenet_classifier(backbone, weights)
    names = models.get_model_weights(backbone).DEFAULT.meta["categories"]
    found = {i: best_class(network, path) for i, path in find_images(images, None).items()}
    shown = sorted(set(found.values()))
    out.mkdir(parents=True, exist_ok=True)
    lines = [f'{image_id},"{names[c]}"' for image_id, c in found.items()]
    (out / "labels.csv").write_text("\n".join(lines) + "\n")
    (out / "classes.txt").write_text("\n".join(["background", *(names[c] for c in shown)]) + "\n")
    head = {name for name, value in state.items() if len(value) == len(names)}
    ours = {name: value[shown] if name in head else value for name, value in state.items()}
    torch.save(state, out / "imagenet.pth")
    torch.save(ours, out / "classifier.pth")
    return out / "classifier.pth"


def imagenet_classifier(
    backbone: str, weights: str | None
) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    try:
        network = models.get_model(backbone, weights=None if weights else "DEFAULT")
    except OSError as error:
        raise InputError(f"{backbone}: no weights ({error}); give a file with --weights") from error
    if weights:
        network.load_state_dict(read_torch_file(weights))
    return network.eval(), network.state_dict()


@torch.inference_mode()
def best_class(network: torch.nn.Module, path: Path) -> int:
    """ImageNet's usual view: the shorter side resized, the middle square."""
    photo = Image.open(path).convert("RGB")
    factor = SIDE / 0.875 / min(photo.size)
    photo = photo.resize([round(side * factor) for side in photo.size], Image.Resampling.BILINEAR)
    left, top = ((side - SIDE) // 2 for side in photo.size)
    photo = photo.crop((left, top, left + SIDE, top + SIDE))
    pixels = torch.frombuffer(bytearray(photo.tobytes()), dtype=torch.uint8)
    image = pixels.view(SIDE, SIDE, 3).permute(2, 0, 1) / 255
    image = (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return int(network(image[None]).argmax())


def free_photographs(folder: Path) -> Path:
    """Those of scikit-image's wheel, as PNGs. Raises InputError without the package."""
    try:
        from skimage import data
    except ImportError as error:
        raise InputError("no IMAGES, and scikit-image is not installed (pip install it)") from error
    folder.mkdir(parents=True, exist_ok=True)
    for name in FREE:
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.png")
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("photographs.py", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("images", type=Path, nargs="?", metavar="IMAGES", help="default: four free photographs")
    add("-o", "--out", type=Path, default=Path("photographs-out"), metavar="OUT")
    add("--backbone", default="resnet50", metavar="NAME", help="a torchvision classifier")
    add("--weights", metavar="FILE", help="its ImageNet state dict (default: torchvision's)")
    add("--checkpoint", type=Path, metavar="FILE", help="a trained C²AM (default: train one)")
    add("--epochs", type=int, metavar="N", help="of C²AM (default: its recipe's)")
    args = vars(parser.parse_args(argv))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        images = args.pop("images") or free_photographs(args["out"] / "photographs")
        print(f"page: {run(images, **args)}")
    except C2AMError as error:
        print(f"photographs: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
