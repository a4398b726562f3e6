"""Does pixel-level self-supervision help? The same classifier trained on with it and without.

    python examples/compare_classifiers.py --shared DATA --out OUT --arms rcm:0.1 rcm:0.1,tau=0.1

For every seed a classifier is trained by its image-level labels alone (`start`). Each arm then goes
on from it for the same steps with the same batches: `control` by the labels alone, the others as
they are written: rcm, mam or both, a weight (default 1), and any numbers of the recipe, for example
`both:0.1,tau=0.1,threshold=0.05`. `generated` makes its images (`generated.py`); `voc-animals`
needs DATA/voc-animals (JPEGImages, unlabelled, SegmentationClass, ids.txt, labels.tsv) and
DATA/squeezenet1_0_imagenet.pth.

Scores: the best mIoU over t = 0 … 0.69 (image-level labels given) of the classes that at least five
images show, that t, precision and recall of the foreground there, mIoU within 3 pixels of an
outline, the labels' accuracy in the last epoch, and the mIoU of `c2am-refine`'s labels at that t.
Prints tables and writes OUT/results.json. Ground truth is only used to score.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import logging
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from classifier_data import Data, Numbers, generated, voc_animals

from c2am_plugin import (
    C2AMError,
    get_adapter,
    make_cams,
    make_cues,
    pseudo_label,
    read_cams,
    read_label,
    refine_cams,
    train_c2am,
    train_classifier,
)
from c2am_plugin.bench.metrics import confusion, cumulate, score_histogram, scores
from c2am_plugin.bench.trimap import boundary_band
from c2am_plugin.classifier.recipes import make_recipe
from c2am_plugin.files.folders import find_files
from c2am_plugin.files.labels import IGNORE

START, CONTROL = "start", "control"
KINDS = {CONTROL: (), "rcm": ("rcm",), "mam": ("mam",), "both": ("rcm", "mam")}
SEEDS = {"voc-animals": 3, "generated": 5}  # the longest first
EPOCHS = {"voc-animals": (10, 6), "generated": (20, 10)}
THRESHOLDS = np.arange(70) / 100
BAND = 3
FEWEST = 5  # images that show a class which counts
COLUMNS = ("miou", "t", "precision", "recall", "boundary", "accuracy", "refined")
NOTED = ("label_accuracy", "rcm", "mam", "foreground", "similarity", "distance")
# Of Student's t with n − 1 degrees of freedom, one-sided 95 %.
STUDENT = {2: 6.314, 3: 2.920, 4: 2.353, 5: 2.132, 6: 2.015, 7: 1.943, 8: 1.895}


def parse_arm(text: str) -> Numbers:
    """ "rcm:0.1,tau=0.1" → what differs from the recipe. Raises ArgumentTypeError."""
    head, *changes = text.split(",")
    kind, _, weight = head.partition(":")
    try:
        losses = KINDS[kind]
        numbers: Numbers = {
            name: float(weight or 1) if name in losses else 0.0 for name in ("rcm", "mam")
        }
        for name, value in (change.split("=") for change in changes):
            numbers[name] = ast.literal_eval(value) if value[:1] in "-.0123456789TF" else value
        make_recipe("small", **numbers)
    except (C2AMError, KeyError, ValueError, SyntaxError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} ({error}): expected {', '.join(KINDS)}, then :WEIGHT, then ,NAME=VALUE"
        ) from error
    return numbers


def train(data: Data, seed: int, arm: str, epochs: int, device: str | None, workers: int) -> None:
    """The start, or an arm that goes on from it."""
    quiet(device)
    numbers = {**data.training, "epochs": epochs, "output_stride": 8, "recipe": "small"}
    if arm == START:
        numbers |= {"backbone": data.backbone, "weights": data.weights, "classes": data.classes}
    else:
        numbers |= {"checkpoint": data.run(seed, START) / "last.pt", **data.further}
        numbers |= parse_arm(arm)
    train_classifier(
        data.images,
        data.labels,
        data.run(seed, arm),
        seed=seed,
        workers=workers,
        device=device,
        picture_every=0,
        progress=False,
        **numbers,
    )


def train_arm(data: Data, seed: int, arm: str, **how: Any) -> Numbers:
    """Train on, write CAMs; returns means of the last epoch."""
    run = data.run(seed, arm)
    if arm != START:
        train(data, seed, arm, **how)
    report = make_cams(
        data.images,
        data.shown,
        run / "last.pt",
        run / "cams",
        ids=data.ids,
        classes=data.classes,
        workers=how["workers"] or None,
        device=how["device"],
        progress=False,
        **data.cams,
    )
    if report.failures:
        raise RuntimeError(next(iter(report.failures.values())))
    with (run / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = [row for row in rows if row["epoch"] == rows[-1]["epoch"]]
    found = {name: [float(row[name]) for row in last if row[name]] for name in NOTED}
    return {name: statistics.fmean(values) for name, values in found.items() if values}


def make_cue_folder(data: Data, device: str | None) -> Path:
    """Cues of a C2AM that is trained on the images, from seed 0's backbone."""
    quiet(device)
    common: Numbers = {"device": device, "progress": False}
    trained = train_c2am(
        data.images,
        data.out / "c2am",
        backbone=data.backbone,
        weights=str(data.run(0, START) / "last.pt"),
        recipe="small",
        workers=0,
        picture_every=0,
        **data.cues,
        **common,
    )
    cues = data.out / "cues"
    make_cues(
        data.images,
        trained.checkpoint,
        cues,
        ids=data.ids,
        scales=data.cue_scales,
        workers=4,
        **common,
    )
    return cues


def score_arm(data: Data, seed: int, arm: str, cues: Path) -> Numbers:
    quiet("cuda")  # one thread: others score beside it
    cams, refined = data.run(seed, arm) / "cams", data.run(seed, arm) / "refined"
    found = score(data, cams, THRESHOLDS)
    t = min(max(found["t"], 0.01), 0.99)
    options: Numbers = {"method": "psa", "background_score": t, "workers": 1, "progress": False}
    refine_cams(cams, cues, refined, **options)
    return {**found, "refined": score(data, refined, np.array([t]))["miou"]}


def score(data: Data, cams: Path, thresholds: np.ndarray) -> Numbers:
    """mIoU in percent at the best threshold; precision, recall, boundary there."""
    adapter = get_adapter("psa")
    histogram, images, counts = 0, [], np.zeros(data.n_classes, int)
    for image_id, path in find_files(cams, (".npy",)).items():
        stored = read_cams(adapter, path, image_id)
        truth = read_label(data.truths / f"{image_id}.png")
        counts[[v for v in np.unique(truth) if v != IGNORE]] += 1
        ids = stored.class_ids
        maps = stored.maps if len(ids) else np.zeros((0, *truth.shape), np.float32)
        images.append((maps, ids, truth))
        histogram = histogram + score_histogram(maps, ids, truth, thresholds, data.n_classes)
    counted = counts >= FEWEST

    def miou(matrix: np.ndarray) -> float:
        return 100 * float(np.nanmean(scores(matrix).iou[counted]))

    matrices = cumulate(histogram)
    best = int(np.argmax([miou(matrix) for matrix in matrices]))
    matrix, t = matrices[best], float(thresholds[best])
    band = np.zeros((data.n_classes, data.n_classes), int)
    for maps, ids, truth in images:
        label = pseudo_label(maps, ids, t)
        band += confusion(label, boundary_band(truth, BAND), data.n_classes)
    hit = 100 * float(matrix[1:, 1:].sum())
    return {
        "miou": miou(matrix),
        "t": t,
        "precision": hit / max(1, matrix[:, 1:].sum()),
        "recall": hit / max(1, matrix[1:].sum()),
        "boundary": miou(band),
    }


def quiet(device: str | None) -> None:
    if device != "cpu":
        torch.set_num_threads(1)
    logging.getLogger("c2am_plugin").setLevel(logging.ERROR)


def table(results: dict[str, dict[str, list[Numbers]]]) -> str:
    lines = []
    for name, arms in results.items():
        lines += [f"\n{name}: means over the seeds", f"| arm | n | {' | '.join(COLUMNS)} |"]
        lines.append("|---" + "|---:" * (len(COLUMNS) + 1) + "|")
        for arm, rows in arms.items():
            cells = [f"{statistics.fmean(row[c] for row in rows):.2f}" for c in COLUMNS]
            lines.append(f"| {arm} | {len(rows)} | {' | '.join(cells)} |")
        for key in ("miou", "refined"):
            lines += [f"\n{name}: {key} over the control's, seed by seed"]
            others = [arm for arm in arms if arm not in (START, CONTROL)]
            lines += [f"- {arm}: {against(arms[CONTROL], arms[arm], key)}" for arm in others]
    return "\n".join(lines)


def against(control: list[Numbers], rows: list[Numbers], key: str) -> str:
    """The gains over the control, their mean, and its lower bound."""
    gains = [own[key] - other[key] for own, other in zip(rows, control, strict=True)]
    text = f"mean {statistics.fmean(gains):+.2f} ({', '.join(f'{g:+.2f}' for g in gains)})"
    if len(gains) in STUDENT:
        error = statistics.stdev(gains) / len(gains) ** 0.5
        bound = statistics.fmean(gains) - STUDENT[len(gains)] * error
        text += f"; one-sided 95 % bound {bound:+.2f}"
    return text


def main(argv: list[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    makers = {
        "generated": lambda out: generated(out, args.count or 400),
        "voc-animals": lambda out: voc_animals(out, args.shared, args.count),
    }
    sets = [makers[name](args.out / name) for name in SEEDS if name in args.data]
    pairs = [(data, seed) for data in sets for seed in range(args.seeds or SEEDS[data.name])]
    arms = list(dict.fromkeys([START, CONTROL, *args.arms]))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, mp_context=context) as pool:
        try:
            rows = run(pool, pairs, arms, args)
        except BaseException:  # an error ends the run at once, without the jobs that wait
            pool.shutdown(cancel_futures=True)
            raise
    results: dict[str, dict[str, list[Numbers]]] = {}
    for data, seed in pairs:
        for arm in arms:
            row = {"seed": seed, **rows[data.name, seed, arm]}
            results.setdefault(data.name, {}).setdefault(arm, []).append(row)
    (args.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


def run(
    pool: ProcessPoolExecutor,
    pairs: list[tuple[Data, int]],
    arms: list[str],
    args: argparse.Namespace,
) -> dict[tuple[str, int, str], Numbers]:
    """Train the starts, then the arms and the cues, and score: {(data, seed, arm): numbers}."""
    say = partial(_say, time.perf_counter())
    how: Numbers = {"device": args.device, "workers": args.workers}
    epochs = {data.name: args.epochs or EPOCHS[data.name] for data, _ in pairs}
    starts = [
        pool.submit(train, data, seed, START, epochs=epochs[data.name][0], **how)
        for data, seed in pairs
    ]
    for job in as_completed(starts):
        job.result()
    say("the starts are trained")
    given = dict(each.split("=", 1) for each in args.cues)
    cues: dict[str, Any] = {
        data.name: pool.submit(make_cue_folder, data, args.device)
        for data, seed in pairs
        if seed == 0 and data.name not in given
    }
    training = {
        pool.submit(train_arm, data, seed, arm, epochs=epochs[data.name][1], **how): key
        for data, seed in pairs
        for arm in arms
        for key in [(data, seed, arm)]
    }
    rows, scoring = {}, {}
    for job in as_completed(training):
        data, seed, arm = training[job]
        rows[data.name, seed, arm] = job.result()
        folder = Path(given[data.name]) if data.name in given else cues[data.name].result()
        scoring[pool.submit(score_arm, data, seed, arm, folder)] = (data.name, seed, arm)
    say("arms and cues are trained, CAMs are written")
    for job in as_completed(scoring):
        row = rows[scoring[job]]
        row |= {**job.result(), "accuracy": 100 * row["label_accuracy"]}
    say("all is scored")
    return rows


def _say(begin: float, text: str) -> None:
    print(f"[{time.perf_counter() - begin:.0f} s] {text}", flush=True)


def _arm(text: str) -> str:
    parse_arm(text)
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--data", nargs="+", choices=list(SEEDS), default=list(SEEDS))
    add("--shared", type=Path, default=Path("../shared/data"), help="folder of voc-animals")
    add("--out", type=Path, required=True, help="everything is written here")
    add("--seeds", type=int, help="default: 5 of generated, 3 of voc-animals")
    add("--arms", nargs="+", type=_arm, default=["rcm", "mam", "both"], help="beside the control")
    add("--epochs", type=int, nargs=2, metavar=("START", "ARM"))
    add("--count", type=int, help="images: generated (400), or scored ones alone of voc-animals")
    add("--cues", nargs="*", default=[], metavar="DATA=DIR", help="cue folders (default: C2AM's)")
    add("--device", help="cuda, cpu (default: a GPU if there is one)")
    add("--jobs", type=int, default=8, help="processes at once")
    add("--workers", type=int, default=2, help="loader processes of each")
    return parser


if __name__ == "__main__":
    main()
