"""CAMs of VOC's classes from an ImageNet classifier, as a second source for `compare_training.py`.

    python examples/imagenet_cams.py DATA… --backbone timm:tf_efficientnet_lite0 --weights FILE \
        --out OUT
    python examples/compare_training.py OUT/NAME… --out RESULTS --weights squeezenet1_0.pth

DATA is a folder as `compare_training.py` reads it. OUT/<name of DATA> becomes such a folder with
other CAMs: cams/<id>.npz for the classes that DATA's own CAMs have, psa/<id>.npy with the same CAMs
in PSA's layout, and links to the photographs and to the ground truth. FILE is the state dict of a
whole classifier of torchvision, or EfficientNet-Lite0's in lukemelas' naming (timm is needed).

A class of VOC stands for several of ImageNet (`GROUPS`; people are none): their CAMs are added,
weighted by the softmax of their logits for the image within the group. Each scale and mirror, ReLU,
sum, divided by the maximum.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from c2am_plugin import InputError, read_photo
from c2am_plugin.classifier.checkpoint import load_classifier
from c2am_plugin.classifier.split import Classifier
from c2am_plugin.network.maps import network_input, scaled_size
from c2am_plugin.training.normalisation import Statistics

SCALES = (0.5, 1.0)
LITE0 = "timm:tf_efficientnet_lite0"
N_IMAGENET, STRIDE = 1000, 16

# VOC's classes, 0-based, as indices of ImageNet's.
GROUPS: dict[int, Sequence[int]] = {
    0: (404, 895),
    1: (444, 671),
    2: (*range(7, 25), *range(80, 101), *range(127, 147)),
    3: (472, 484, 510, 554, 576, 625, 628, 780, 814, 871, 914),
    4: (440, 720, 737, 898, 907),
    5: (654, 779, 874),
    6: (407, 436, 468, 511, 609, 627, 656, 661, 734, 751, 817),
    7: range(281, 286),
    8: (423, 559, 765),
    9: (345, 346, 347),
    10: (532,),
    11: range(151, 269),
    12: (339,),
    13: (665, 670),
    15: (738,),
    16: (348, 349),
    17: (831,),
    18: (466, 547, 705, 820, 829),
    19: (664, 782, 851),
}


class Lite0(nn.Module):
    """EfficientNet-Lite0 of timm whose classifier is asked at each place, as `Classifier`."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        import timm
        from compare_training import timm_names

        self.backbone = timm.create_model(LITE0.partition(":")[2], output_stride=STRIDE)
        self.backbone.load_state_dict(timm_names(torch.load(weights, weights_only=True)))
        self.backbone.statistics = Statistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.head = self.backbone.get_classifier()

    def features(self, images: Tensor) -> Tensor:
        found: Tensor = self.backbone.forward_features(images)
        return found

    def scores(self, features: Tensor) -> Tensor:
        return F.conv2d(features, self.head.weight[:, :, None, None])

    def pool(self, scores: Tensor) -> Tensor:
        pooled: Tensor = scores.mean((2, 3)) + self.head.bias
        return pooled


def imagenet_classifier(backbone: str, weights: Path) -> Classifier | Lite0:
    """The whole classifier at output stride 16. Raises InputError."""
    if backbone == LITE0:
        return Lite0(weights).eval()
    names = [str(index) for index in range(N_IMAGENET)]
    return load_classifier(weights, backbone=backbone, classes=names, output_stride=STRIDE).model


@torch.inference_mode()
def group_cams(model: Classifier | Lite0, photo: np.ndarray, classes: Iterable[int]) -> np.ndarray:
    """float32 K×H×W in [0, 1]. photo: uint8 H×W×3. classes: of VOC, 0-based."""
    height, width = photo.shape[:2]
    scores = [
        model.scores(model.features(network_input(model, [photo], scaled_size(s, height, width))))
        for s in SCALES
    ]
    logits = torch.stack([model.pool(each).mean(0) for each in scores]).mean(0)
    maps = []
    for c in classes:
        group = torch.tensor(GROUPS[c])
        weight = logits[group].softmax(0)[:, None, None]
        total = torch.zeros(height, width)
        for plain, mirrored in scores:
            for each in (plain, mirrored.flip(-1)):
                cam = F.relu((weight * each[group]).sum(0))[None, None]
                total += F.interpolate(cam, (height, width), mode="bilinear")[0, 0]
        maps.append(total / (total.max() + 1e-5))
    return torch.stack(maps).numpy()


def write_cams(model: Classifier | Lite0, data: Path, out: Path) -> None:
    for name in ("JPEGImages", "SegmentationClass"):
        (out / name).unlink(missing_ok=True)
        (out / name).symlink_to((data / name).resolve())
    for path in tqdm(sorted((data / "cams").glob("*.npz")), desc=data.name):
        with np.load(path) as stored:
            keys = stored["keys"]
        cams = group_cams(
            model, read_photo(data / "JPEGImages" / f"{path.stem}.jpg"), keys.tolist()
        )
        np.savez_compressed(out / "cams" / path.name, keys=keys, cam=cams.astype(np.float16))
        content = dict(zip(keys.tolist(), cams, strict=True))
        np.save(out / "psa" / f"{path.stem}.npy", content, allow_pickle=True)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("data", nargs="+", type=Path, metavar="DATA")
    add("--backbone", default=LITE0, metavar="NAME", help=f"of torchvision; default {LITE0}")
    add("--weights", type=Path, required=True, metavar="FILE")
    add("--out", type=Path, required=True, metavar="OUT")
    args = parser.parse_args()
    for data in args.data:
        for kind in ("cams", "psa"):
            (args.out / data.resolve().name / kind).mkdir(parents=True, exist_ok=True)
    try:
        model = imagenet_classifier(args.backbone, args.weights)
    except InputError as error:
        raise SystemExit(f"imagenet_cams: {error}") from error
    for data in args.data:
        write_cams(model, data, args.out / data.resolve().name)


if __name__ == "__main__":
    main()
