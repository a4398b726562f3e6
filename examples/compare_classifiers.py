"""Does pixel-level self-supervision help? The same classifier trained on with it and without.

    python examples/compare_classifiers.py --data generated voc-animals --shared DATA --out OUT

For every seed a classifier is trained by its image-level labels alone; each arm then goes on from
it for the same steps with the same batches: `control` by the labels alone, `rcm`, `mam`, `both`.
`generated` makes its images (`generated.py`); `voc-animals` needs DATA/voc-animals (JPEGImages,
unlabelled, SegmentationClass, ids.txt, labels.tsv) and DATA/squeezenet1_0_imagenet.pth.

Scores: the best mIoU over t = 0 … 0.69 (image-level labels given) of the classes that at least five
images show, that t, precision and recall of the foreground there, mIoU within 3 pixels of an
outline, the same of CAMs of scale 1 alone, the labels' accuracy in the last epoch, and the mIoU of
`c2am-refine`'s labels at that t. Prints tables and writes OUT/results.json. Ground truth is only
used to score.

The gate, fixed before the run: over the seeds of `generated`, RCM is above the control where the
one-sided 95 % bound of the mean difference is above 0 and no seed is more than 0.5 below.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generated import CLASSES, SIDE, make_folder

from c2am_plugin import (
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
from c2am_plugin.classifier.split import Classifier
from c2am_plugin.classifier.trainer import ClassifierTrainer
from c2am_plugin.files.folders import find_files
from c2am_plugin.files.labels import IGNORE
from c2am_plugin.files.lists import read_ids

Numbers = dict[str, Any]

ARMS: dict[str, Numbers] = {
    "control": {"rcm": 0.0, "mam": 0.0},
    "rcm": {"rcm": 1.0, "mam": 0.0},
    "mam": {"rcm": 0.0, "mam": 1.0},
    "both": {"rcm": 1.0, "mam": 1.0},
    # Ablations: of RCM …
    "rcm tau 0.1": {"rcm": 1.0, "mam": 0.0, "tau": 0.1},
    "rcm tau 1": {"rcm": 1.0, "mam": 0.0, "tau": 1.0},
    "rcm frozen": {"rcm": 1.0, "mam": 0.0, "support": "frozen"},
    "rcm self": {"rcm": 1.0, "mam": 0.0, "support": "self"},
    "rcm image": {"rcm": 1.0, "mam": 0.0, "scope": "image"},
    "rcm region": {"rcm": 1.0, "mam": 0.0, "weights": "region"},
    "rcm 0.1": {"rcm": 1.0, "mam": 0.0, "threshold": 0.1},
    "rcm 0.3": {"rcm": 1.0, "mam": 0.0, "threshold": 0.3},
    # … and of MAM.
    "mam present": {"rcm": 0.0, "mam": 1.0, "reduction": "present"},
    "mam leak": {"rcm": 0.0, "mam": 1.0, "reduction": "present", "leak": 0.1},
    "mam attentive": {"rcm": 0.0, "mam": 1.0, "reduction": "present", "attentive": True},
    "mam max": {"rcm": 0.0, "mam": 1.0, "reduction": "present", "fusion": "max"},
}
MAIN_ARMS = ("control", "rcm", "mam", "both")
THRESHOLDS = np.arange(70) / 100
BAND = 3
FEWEST = 5  # images that show a class which counts
COLUMNS = ("miou", "t", "precision", "recall", "boundary", "single", "accuracy", "refined")
# Of Student's t with n − 1 degrees of freedom, one-sided 95 %.
STUDENT = {2: 6.314, 3: 2.920, 4: 2.353, 5: 2.132, 6: 2.015, 7: 1.943, 8: 1.895}


@dataclass(frozen=True, eq=False)
class Data:
    """One set of images, how its classifiers are trained, and where all is written."""

    name: str
    out: Path
    images: Path
    labels: Path
    shown: Path  # labels of the classes that get CAMs
    truths: Path
    ids: Path
    n_classes: int
    backbone: str
    weights: str
    base: Numbers
    arm: Numbers
    cues: Numbers
    scales: tuple[float, ...]
    classes: Path | None = None


def generated(out: Path, count: int, base: int, arm: int) -> Data:
    if not (out / "names.txt").exists():
        make_folder(out, count)
    ids = [f"{seed:04d}" for seed in range(count)]
    (out / "ids.txt").write_text("\n".join(ids) + "\n")
    shared: Numbers = {
        "batch_size": min(32, count),
        "crop": SIDE,
        "long_side": (SIDE, SIDE),
        "output_stride": 8,
        "turns": True,
        "jitter": False,
        "pooling": "smooth_max",
    }
    scales = (1.0, 1.5, 2.0)
    return Data(
        name="generated",
        out=out,
        images=out / "JPEGImages",
        labels=out / "SegmentationClass",
        shown=out / "SegmentationClass",
        truths=out / "SegmentationClass",
        ids=out / "ids.txt",
        n_classes=len(CLASSES),
        backbone="shufflenet_v2_x0_5",
        weights="random",
        base={**shared, "epochs": base, "lr": 3e-3},
        arm={**shared, "epochs": arm, "scales": scales, "threshold": 0.1},
        cues={"batch_size": min(32, count), "epochs": 10, "resize": SIDE, "crop": SIDE * 7 // 8},
        scales=scales,
        classes=out / "names.txt",
    )


def voc_animals(out: Path, shared: Path, count: int | None, base: int, arm: int) -> Data:
    source = shared / "voc-animals"
    labels = [line.split("\t") for line in (source / "labels.tsv").read_text().splitlines()[1:]]
    scored = read_ids(source / "ids.txt")[:count]
    known = {i: names.split() for i, names in labels}
    kept = scored + ([] if count else [i for i in known if i not in scored])
    (out / "images").mkdir(parents=True, exist_ok=True)
    for image_id in kept:
        places = (source / "JPEGImages", source / "unlabelled")
        path = next(p for f in places if (p := f / f"{image_id}.jpg").exists())
        link = out / "images" / path.name
        if not link.exists():
            link.symlink_to(path.resolve())
    write_table(out / "labels.csv", {i: known[i] for i in kept})
    # Persons are ignored in the ground truth: a CAM of theirs would only count against others.
    shown = {i: [n for n in known[i] if n != "person"] for i in kept}
    write_table(out / "shown.csv", shown)
    (out / "ids.txt").write_text("\n".join(scored) + "\n")
    return Data(
        name="voc-animals",
        out=out,
        images=out / "images",
        labels=out / "labels.csv",
        shown=out / "shown.csv",
        truths=source / "SegmentationClass",
        ids=out / "ids.txt",
        n_classes=21,
        backbone="squeezenet1_0",
        weights=str(shared / "squeezenet1_0_imagenet.pth"),
        base={"epochs": base, "output_stride": 8},
        arm={"epochs": arm, "output_stride": 8},
        cues={},
        scales=(0.5, 1.0, 1.5, 2.0),
    )


def write_table(path: Path, known: dict[str, list[str]]) -> None:
    path.write_text("".join(",".join((i, *names)) + "\n" for i, names in known.items()))


def train_base(data: Data, seed: int, device: str | None, workers: int) -> None:
    started(device)
    train_classifier(
        data.images,
        data.labels,
        data.out / f"seed{seed}" / "base",
        classes=data.classes,
        backbone=data.backbone,
        weights=data.weights,
        recipe="small",
        seed=seed,
        workers=workers,
        device=device,
        picture_every=0,
        progress=False,
        rcm=0.0,
        mam=0.0,
        **data.base,
    )


def train_arm(data: Data, seed: int, arm: str, device: str | None, workers: int) -> Numbers:
    """Train on, and write CAMs of all scales and of one; "base": write those of the start."""
    started(device)
    folder = data.out / f"seed{seed}"
    run = folder / arm.replace(" ", "_")
    if arm != "base":
        train_classifier(
            data.images,
            data.labels,
            run,
            checkpoint=folder / "base" / "last.pt",
            recipe="small",
            seed=seed,
            workers=workers,
            device=device,
            picture_every=0,
            progress=False,
            **{**data.arm, **ARMS[arm]},
        )
    for name, scales in (("cams", data.scales), ("single", (1.0,))):
        report = make_cams(
            data.images,
            data.shown,
            run / "last.pt",
            run / name,
            ids=data.ids,
            classes=data.classes,
            scales=scales,
            workers=max(1, workers),
            device=device,
            progress=False,
        )
        if report.failures:
            raise RuntimeError(next(iter(report.failures.values())))
    with (run / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = [row for row in rows if row["epoch"] == rows[-1]["epoch"]]
    noted = ("loss", "label_accuracy", "rcm", "mam", "foreground", "similarity", "distance")
    return {
        name: statistics.fmean(float(row[name]) for row in last)
        for name in noted
        if all(row[name] for row in last)
    }


def make_cue_folder(data: Data, device: str | None, given: Path | None) -> Path:
    """The given cues, or those of a C2AM that is trained on the images, from seed 0's backbone."""
    if given:
        return given
    started(device)
    trained = train_c2am(
        data.images,
        data.out / "c2am",
        backbone=data.backbone,
        weights=str(data.out / "seed0" / "base" / "last.pt"),
        recipe="small",
        device=device,
        workers=0,
        picture_every=0,
        progress=False,
        **data.cues,
    )
    scales = (2.0, 3.0) if data.name == "generated" else None
    make_cues(
        data.images,
        trained.checkpoint,
        data.out / "cues",
        ids=data.ids,
        scales=scales,
        device=device,
        workers=4,
        progress=False,
    )
    return data.out / "cues"


def score_arm(data: Data, seed: int, arm: str, cues: Path) -> Numbers:
    started("cpu")
    run = data.out / f"seed{seed}" / arm.replace(" ", "_")
    found = score(data, run / "cams", outlines=True)
    found["single"] = score(data, run / "single")["miou"]
    t = min(max(found["t"], 0.01), 0.99)
    refined = run / "refined"
    refine_cams(
        run / "cams", cues, refined, method="psa", background_score=t, workers=1, progress=False
    )
    found["refined"] = score(data, refined, t)["miou"]
    return found


def score(data: Data, cams: Path, at: float | None = None, *, outlines: bool = False) -> Numbers:
    """mIoU in percent at `at`, or at the best threshold; precision, recall, boundary there."""
    adapter = get_adapter("psa")
    histogram, images, counts = 0, [], np.zeros(data.n_classes, int)
    thresholds = THRESHOLDS if at is None else np.array([at])
    for image_id, path in find_files(cams, (".npy",)).items():
        maps = read_cams(adapter, path, image_id)
        truth = read_label(data.truths / f"{image_id}.png")
        counts[[v for v in np.unique(truth) if v != IGNORE]] += 1
        shape = maps.maps if len(maps.class_ids) else np.zeros((0, *truth.shape), np.float32)
        images.append((maps.class_ids, shape, truth))
        histogram = histogram + score_histogram(
            shape, maps.class_ids, truth, thresholds, data.n_classes
        )
    counted = counts >= FEWEST
    matrices = cumulate(histogram)
    means = [100 * np.nanmean(scores(matrix).iou[counted]) for matrix in matrices]
    best = int(np.argmax(means))
    matrix, t = matrices[best], float(thresholds[best])
    band = np.zeros((data.n_classes, data.n_classes), int)
    for ids, m, truth in images if outlines else []:
        band += confusion(pseudo_label(m, ids, t), boundary_band(truth, BAND), data.n_classes)
    hit = matrix[1:, 1:].sum()
    return {
        "miou": float(means[best]),
        "t": t,
        "precision": 100 * float(hit / max(1, matrix[:, 1:].sum())),
        "recall": 100 * float(hit / max(1, matrix[1:].sum())),
        **({"boundary": 100 * float(np.nanmean(scores(band).iou[counted]))} if outlines else {}),
        "images": len(images),
    }


def started(device: str | None) -> None:
    torch.set_num_threads(1 if device != "cpu" else max(1, torch.get_num_threads()))
    logging.getLogger("c2am_plugin").setLevel(logging.WARNING)


def step_costs(device: str | None, weights: str | None, steps: int) -> dict[str, Numbers]:
    """Seconds a step and memory of MainNet's arms: SqueezeNet, 16 views of 320 pixels, stride 8."""
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    found = {}
    for arm in MAIN_ARMS:
        plan = replace(make_recipe("small", **ARMS[arm]), start=0.0)
        model = Classifier("squeezenet1_0", 20, plan.output_stride)
        trainer = ClassifierTrainer(model, plan, 100, 100, where)
        images = torch.randint(
            0, 255, (plan.batch_size, 3, plan.crop, plan.crop), dtype=torch.uint8
        )
        labels = torch.rand(plan.batch_size, 20) < 0.1
        trainer.advance(images, labels)
        if where.type == "cuda":
            torch.cuda.reset_peak_memory_stats(where)
        begin = time.perf_counter()
        for _ in range(steps):
            trainer.advance(images, labels)
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        seconds = (time.perf_counter() - begin) / steps
        memory = torch.cuda.max_memory_allocated(where) / 2**20 if where.type == "cuda" else None
        found[arm] = {"images_per_second": plan.batch_size / seconds, "MiB": memory}
    return found


def table(results: dict[str, dict[str, list[Numbers]]]) -> str:
    lines = []
    for name, arms in results.items():
        lines += [f"\n{name}: means over the seeds", f"| arm | n | {' | '.join(COLUMNS)} |"]
        lines.append("|---" + "|---:" * (len(COLUMNS) + 1) + "|")
        for arm, seeds in sorted(arms.items(), key=lambda pair: ["base", *ARMS].index(pair[0])):
            cells = [statistics.fmean(seed[c] for seed in seeds) for c in COLUMNS]
            digits = [
                f"{v:.3f}" if c == "t" else f"{v:.2f}" for c, v in zip(COLUMNS, cells, strict=True)
            ]
            lines.append(f"| {arm} | {len(seeds)} | {' | '.join(digits)} |")
        for key in ("miou", "refined"):
            lines += [f"\n{name}: {key} over the control's, seed by seed"]
            lines += [
                against_control(arm, arms, key) for arm in arms if arm not in ("base", "control")
            ]
    return "\n".join(lines)


def against_control(arm: str, arms: dict[str, list[Numbers]], key: str) -> str:
    own = {seed["seed"]: seed[key] for seed in arms[arm]}
    control = {seed["seed"]: seed[key] for seed in arms["control"]}
    gains = [own[seed] - control[seed] for seed in sorted(own)]
    text = f"- {arm}: mean {statistics.fmean(gains):+.2f} ({', '.join(f'{g:+.2f}' for g in gains)})"
    if len(gains) in STUDENT:
        error = statistics.stdev(gains) / len(gains) ** 0.5
        bound = statistics.fmean(gains) - STUDENT[len(gains)] * error
        text += f"; one-sided 95 % bound {bound:+.2f}"
    return text


def main() -> None:
    args = _parser().parse_args()
    begin = time.perf_counter()
    args.out.mkdir(parents=True, exist_ok=True)
    sets, seeds = [], {"generated": args.seeds or 5, "voc-animals": args.seeds or 3}
    if "generated" in args.data:
        epochs = args.epochs or (20, 10)
        sets.append(generated(args.out / "generated", args.count or 400, *epochs))
    if "voc-animals" in args.data:
        epochs = args.epochs or (10, 6)
        sets.append(voc_animals(args.out / "voc-animals", args.shared, args.count, *epochs))
    arms = ["base", *(args.arms or MAIN_ARMS)]
    pairs = [(data, seed) for data in sets for seed in range(seeds[data.name])]
    pairs.sort(key=lambda pair: pair[0].name != "voc-animals")  # the longest first
    jobs = [(data, seed, arm) for data, seed in pairs for arm in arms]
    jobs += [(data, 0, arm) for data in sets for arm in ARMS if args.ablations and arm not in arms]
    device, workers = args.device, args.workers
    context = multiprocessing.get_context("spawn")
    results: dict[str, dict[str, list[Numbers]]] = {}
    with (
        ProcessPoolExecutor(args.jobs, mp_context=context) as pool,
        ProcessPoolExecutor(args.jobs, mp_context=context) as scorers,
        ending(pool),
        ending(scorers),
    ):
        for job in [pool.submit(train_base, *pair, device, workers) for pair in pairs]:
            job.result()
        say(begin, "base classifiers are trained")
        cues = {
            data.name: pool.submit(make_cue_folder, data, device, _given(args.cues, data.name))
            for data in sets
        }
        training = {pool.submit(train_arm, *key, device, workers): key for key in jobs}
        scoring, notes = {}, {}
        for job in as_completed(training):
            key = training[job]
            notes[key] = job.result()
            scoring[scorers.submit(score_arm, *key, cues[key[0].name].result())] = key
        say(begin, "arms and cues are trained, CAMs are written")
        for job in as_completed(scoring):
            data, seed, arm = scoring[job]
            row = {"seed": seed, **notes[data, seed, arm], **job.result()}
            row["accuracy"] = 100 * row["label_accuracy"]
            results.setdefault(data.name, {}).setdefault(arm, []).append(row)
            (args.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    say(begin, "all is scored")
    costs = step_costs(device, None, args.steps)
    content = {"results": results, "costs": costs, "seconds": time.perf_counter() - begin}
    (args.out / "results.json").write_text(json.dumps(content, indent=2) + "\n")
    print(table(results))
    print("\na step of 16 views of 320 pixels, SqueezeNet, stride 8:")
    for arm, cost in costs.items():
        memory = "" if cost["MiB"] is None else f", {cost['MiB']:.0f} MiB"
        print(f"- {arm}: {cost['images_per_second']:.1f} images/s{memory}")
    say(begin, f"results: {args.out / 'results.json'}")


@contextmanager
def ending(pool: ProcessPoolExecutor) -> Iterator[None]:
    """An error ends the run at once, without the jobs that wait."""
    try:
        yield
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def say(begin: float, text: str) -> None:
    print(f"[{time.perf_counter() - begin:.0f} s] {text}", flush=True)


def _given(cues: list[str], name: str) -> Path | None:
    found = dict(each.split("=", 1) for each in cues)
    return Path(found[name]) if name in found else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    kinds = ("generated", "voc-animals")
    add("--data", nargs="+", choices=kinds, default=kinds)
    add("--shared", type=Path, default=Path("../shared/data"), help="folder of voc-animals")
    add("--out", type=Path, required=True, help="everything is written here")
    add("--seeds", type=int, help="default: 5 of generated, 3 of voc-animals")
    add("--arms", nargs="+", choices=ARMS, help="default: control rcm mam both")
    add("--ablations", action="store_true", help="the other arms too, with seed 0")
    add("--epochs", type=int, nargs=2, metavar=("BASE", "ARM"))
    add("--count", type=int, help="images: generated (400), or scored ones alone of voc-animals")
    add("--cues", nargs="*", default=[], metavar="DATA=DIR", help="cue folders (default: C2AM's)")
    add("--device", help="cuda, cpu (default: a GPU if there is one)")
    add("--jobs", type=int, default=8, help="processes at once")
    add("--workers", type=int, default=2, help="loader processes of each")
    add("--steps", type=int, default=20, help="that are timed")
    return parser


if __name__ == "__main__":
    main()
