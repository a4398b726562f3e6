"""Every kind of cue from one or several checkpoints, scored on CAMs with ground truth.

    python examples/compare_cues.py DATA RUN/last.pt … > table.md

DATA holds `cams/<id>.npz` (`keys` int [K] 0-based, `cam` K×H×W in [0, 1]), `JPEGImages/<id>.jpg`
and `SegmentationClass/<id>.png`. Prints the table of the README: mIoU of the refined labels at
t = 0.20, without and with the dense CRF on them, as mean (worst) over the checkpoints.
"uncalibrated" and "calibrated" are `c2am-refine --calibrate off` and `on`. Ground truth is only
used to score.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from c2am_plugin import ImageCams, cue_crf, label_crf, pseudo_label, read_label, read_photo
from c2am_plugin.bench.metrics import confusion, scores
from c2am_plugin.network.boundaries import agreement_counts, best_boundary, soft_values
from c2am_plugin.network.checkpoint import load_checkpoint
from c2am_plugin.network.cue_writer import Reading
from c2am_plugin.network.inference import fast_copy
from c2am_plugin.network.maps import ScaleLogits, default_scales, released_map, scale_logits
from c2am_plugin.refine.calibration import calibrate_cues, count_sure_pixels
from c2am_plugin.refine.formula import refine

T, N_CLASSES = 0.20, 21
BOUNDARIES: tuple[float | str, ...] = (0.30, 0.10, 0.05, 0.02, "boundary", "otsu", "agree")


@dataclass
class Image:
    cams: ImageCams
    photo: np.ndarray
    truth: np.ndarray


def read_images(data: Path) -> list[Image]:
    images = []
    for path in sorted((data / "cams").glob("*.npz")):
        with np.load(path) as stored:
            cams = ImageCams(path.stem, stored["keys"], stored["cam"].astype(np.float32))
        photo = read_photo(data / "JPEGImages" / f"{path.stem}.jpg")
        images.append(
            Image(cams, photo, read_label(data / "SegmentationClass" / f"{path.stem}.png"))
        )
    return images


def both_scores(images: list[Image], cues: list[np.ndarray]) -> np.ndarray:
    """mIoU in percent of the labels, and of the labels after the CRF: float64 [2]."""

    def one(image: Image, cue: np.ndarray) -> np.ndarray:
        refined = refine(image.cams.maps, cue, T)
        label = pseudo_label(refined, image.cams.class_ids, T)
        labels = (label, label_crf(image.photo, label))
        return np.stack([confusion(each, image.truth, N_CLASSES) for each in labels])

    parallel = Parallel(n_jobs=-1, prefer="threads")
    totals = sum(parallel(delayed(one)(*pair) for pair in zip(images, cues, strict=True)))
    return np.array([100 * scores(matrix).miou for matrix in totals])


def eight_bits(saliency: np.ndarray) -> np.ndarray:
    """b of a cue as its PNG keeps it."""
    return ((255 - np.rint(saliency.astype(np.float32) * 255)) / 255).astype(np.float32)


def rows_of(images: list[Image], checkpoint: Path) -> dict[str, np.ndarray]:
    loaded = load_checkpoint(checkpoint)
    scales, flag = default_scales(loaded.info.get("resize")), bool(loaded.flag)
    network = fast_copy(loaded.model)
    logits = [scale_logits(network, [image.photo], scales)[0] for image in images]
    raw = [eight_bits(released_map(each, flag)[1][0]) for each in logits]
    rows = {"raw map, soft, uncalibrated": both_scores(images, raw)}
    for boundary in BOUNDARIES:
        values = _values(images, logits, flag, boundary)
        name = f"{boundary:.2f}" if isinstance(boundary, float) else boundary
        soft = [eight_bits(soft_values(*pair)) for pair in values]
        pairs = zip(images, values, strict=True)
        hard = [eight_bits(cue_crf(image.photo, v > tau)) for image, (v, tau) in pairs]
        for kind, cues in (("soft", soft), ("hard CRF", hard)):
            fit = calibrate_cues(
                count_sure_pixels(i.cams, c, T) for i, c in zip(images, cues, strict=True)
            )
            calibrated = [fit.apply(i.cams, c, T) for i, c in zip(images, cues, strict=True)]
            rows[f"{name}, {kind}, uncalibrated"] = both_scores(images, cues)
            rows[f"{name}, {kind}, calibrated"] = both_scores(images, calibrated)
        print(checkpoint, name, rows[f"{name}, soft, calibrated"].round(1), file=sys.stderr)
    return rows


def _values(
    images: list[Image], logits: list[ScaleLogits], flag: bool, boundary: float | str
) -> list[tuple[np.ndarray, float]]:
    if boundary == "agree":
        counts = [
            agreement_counts(released_map(each, flag)[1][0], image.cams.maps.max(axis=0) > T)
            for each, image in zip(logits, images, strict=True)
        ]
        boundary = best_boundary(np.sum(counts, axis=0))
    reading = Reading(flag, boundary)
    return [reading(each) for each in logits]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    args = parser.parse_args()
    images = read_images(args.data)
    nothing = [np.full(image.photo.shape[:2], T, np.float32) for image in images]
    found = [rows_of(images, checkpoint) for checkpoint in args.checkpoints]
    print("| cue | CAM + cue | CAM + cue + dense CRF |\n|---|---:|---:|")
    plain, smoothed = both_scores(images, nothing)
    print(f"| none | {plain:.1f} | {smoothed:.1f} |")
    for name in found[0]:
        values = np.stack([rows[name] for rows in found])
        cells = [f"{column.mean():.1f} ({column.min():.1f})" for column in values.T]
        print(f"| {name} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
