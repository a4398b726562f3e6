"""Cue folders side by side: what they make of CAMs, and whether they mean what they say.

    python examples/compare_saliency.py DATA before=CUES0,CUES1 after=OUT0,OUT1 > table.md

DATA holds `cams/<id>.npz` (`keys` int [K] 0-based, `cam` K×H×W in [0, 1]), `JPEGImages/<id>.jpg`
and `SegmentationClass/<id>.png`. Each name is a kind of cue, its folders are seeds: cells are the
mean (worst) over them. Prints the tables of the README's section on the saliency network: mIoU of
the refined labels at t = 0.20, without and with the dense CRF on them, the cues uncalibrated and
calibrated (`c2am-refine --calibrate off` and `on`); then calibration error, log loss and AUC of
the uncalibrated cues, and of the probabilities that calibrating makes of them. The prior of these
is the share of the CAMs' foreground, so that ground truth is only used to score.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from compare_cues import Image, T, both_scores, read_images
from scipy.special import expit, logit

from c2am_plugin import read_cue
from c2am_plugin.bench.reliability import Reliability, count_levels, reliability
from c2am_plugin.refine.calibration import calibrate_cues, count_sure_pixels

MIOU = ("uncalibrated", "uncalibrated + CRF", "calibrated", "calibrated + CRF")
CALIBRATION = ("ECE", "ECE calibrated", "log loss", "log loss calibrated", "AUC", "AUC calibrated")
HIGHER_IS_BETTER = (*MIOU, "AUC", "AUC calibrated")


def probability(evidence: np.ndarray, prior: float) -> np.ndarray:
    """The foreground's probability by a calibrated cue b: odds(t)/odds(b) is its odds ratio."""
    b = np.clip(evidence, 1e-6, 1 - 1e-6)
    return expit(logit(prior) + logit(T) - logit(b))


def measured(images: list[Image], cues: list[np.ndarray]) -> tuple[dict[str, float], Reliability]:
    """All numbers of one cue folder, and its uncalibrated curve."""
    prior = np.mean(np.concatenate([(i.cams.maps.max(0) > T).ravel() for i in images]))
    fit = calibrate_cues(
        count_sure_pixels(i.cams, cue, T) for i, cue in zip(images, cues, strict=True)
    )
    calibrated = [fit.apply(i.cams, cue, T) for i, cue in zip(images, cues, strict=True)]
    stated = reliable(images, [1 - cue for cue in cues])
    found = reliable(images, [probability(each, prior) for each in calibrated])
    scores = (*both_scores(images, cues), *both_scores(images, calibrated))
    pairs = ((stated.ece, found.ece), (stated.log_loss, found.log_loss), (stated.auc, found.auc))
    numbers = (*scores, *(number for pair in pairs for number in pair))
    return dict(zip((*MIOU, *CALIBRATION), numbers, strict=True)), stated


def reliable(images: list[Image], saliency: list[np.ndarray]) -> Reliability:
    counts = [count_levels(s, i.truth) for s, i in zip(saliency, images, strict=True)]
    return reliability(np.sum(counts, axis=0))


def table(rows: dict[str, list[dict[str, float]]], columns: tuple[str, ...], digits: int) -> str:
    """Markdown: a row a kind of cue, mean (worst) over its folders."""
    lines = [f"| cue | {' | '.join(columns)} |", "|---" + "|---:" * len(columns) + "|"]
    for name, seeds in rows.items():
        cells = []
        for column in columns:
            values = [seed[column] for seed in seeds]
            worst = min(values) if column in HIGHER_IS_BETTER else max(values)
            cells.append(f"{np.mean(values):.{digits}f} ({worst:.{digits}f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("cues", nargs="+", metavar="NAME=DIR[,DIR…]")
    args = parser.parse_args()
    images = read_images(args.data)
    rows: dict[str, list[dict[str, float]]] = {}
    for text in args.cues:
        name, _, folders = text.partition("=")
        for folder in folders.split(","):
            cues = [read_cue(Path(folder, f"{i.cams.image_id}.png")) for i in images]
            numbers, curve = measured(images, cues)
            rows.setdefault(name, []).append(numbers)
            found = " ".join(f"{share:.2f}" for share in curve.found)
            print(f"{folder}: foreground found in ten bins of saliency: {found}", file=sys.stderr)
    print(table(rows, MIOU, 1), end="\n\n")
    print(table(rows, CALIBRATION, 3))


if __name__ == "__main__":
    main()
