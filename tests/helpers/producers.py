"""What the original inference code writes, from random logits: normalisation and saving.

Each rule is written anew from the code that the pipeline released, with the same arithmetic, views,
dtypes and containers. `logits` are what the network gives, multi-scale and mirrored maps already
summed: float32 20×H×W, of any sign; `label` is float32 [20].
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional

EPS = 1e-5


def random_logits(size=(37, 50), classes=(0, 4), seed=0, negative=()):
    """(logits 20×H×W, label [20]): blobs of either sign; `negative` classes never respond."""
    rng = np.random.default_rng(seed)
    small = torch.tensor(rng.normal(0, 4, (1, 20, 5, 6)).astype(np.float32))
    logits = functional.interpolate(small, size, mode="bilinear", align_corners=False)[0].numpy()
    logits[list(negative)] = -np.abs(logits[list(negative)]) - 0.1
    label = np.zeros(20, np.float32)
    label[list(classes)] = 1
    return logits, label


def psa(logits, label):
    """jiwoon-ahn/psa infer_cls.py: the network ends in a ReLU; views of one array, Python ints."""
    total = np.maximum(logits, 0) * label[:, None, None]
    shares = total / (total.max(axis=(1, 2), keepdims=True) + EPS)
    return {index: shares[index] for index in range(20) if label[index] > EPS}


def seam(logits, label):
    """YudeWang/SEAM infer_SEAM.py (also TransCAM's and wseg's): what lies within eps of the minimum
    becomes 0 and then the minimum is subtracted, so that a class without a response is −1."""
    total = logits * label[:, None, None]
    total[total < 0] = 0
    high = total.max(axis=(1, 2), keepdims=True)
    low = total.min(axis=(1, 2), keepdims=True)
    total[total < low + EPS] = 0
    shares = (total - low - EPS) / (high - low + EPS)
    return {index: shares[index] for index in range(20) if label[index] > EPS}


def shifted_seam(logits, label):
    """The same where a class responds everywhere, as after a pixel correlation: its minimum is
    above 0, so that the pixels at it fall below 0 far beyond rounding."""
    return seam(np.maximum(logits, 0) + np.float32(0.4), label)


def sc_cam(logits, label, drawn=True):
    """Juliachang/SC-CAM infer_cls.py: PSA's without a ReLU of its own. The helper that draws the
    heat maps cuts the arrays in place at 0.15, 0 and 255, before the dict of views is saved."""
    total = np.maximum(logits, 0) * label[:, None, None]
    shares = total / (total.max(axis=(1, 2), keepdims=True) + EPS)
    views = {index: shares[index] for index in np.flatnonzero(label == 1).tolist()}
    if drawn:
        for index in np.flatnonzero(label == 1):
            shares[index][shares[index] < 0.15] = 0
            shares[index][shares[index] >= 0.15] = 255
    return views


def _two_sizes(logits, label, relu):
    """The strided and the full maps of IRN's descendants, as torch tensors, and the classes."""
    maps = torch.tensor(np.maximum(logits, 0) if relu else logits)
    height, width = maps.shape[1:]
    up = [-(-side // 16) * 16 for side in (height, width)]
    small = functional.interpolate(
        maps[None], (-(-height // 4), -(-width // 4)), mode="bilinear", align_corners=False
    )[0]
    full = functional.interpolate(maps[None], up, mode="bilinear", align_corners=False)[0]
    full = full[:, :height, :width]
    classes = torch.nonzero(torch.tensor(label))[:, 0]
    small, full = small[classes], full[classes]
    if len(classes):
        small /= functional.adaptive_max_pool2d(small, (1, 1)) + EPS
        full /= functional.adaptive_max_pool2d(full, (1, 1)) + EPS
    return classes, small, full


def puzzlecam(logits, label):
    """shjo-april/PuzzleCAM inference_classification.py: keys padded by numpy, `cam` a tensor."""
    classes, small, full = _two_sizes(logits, label, relu=True)
    keys = np.pad(classes.numpy() + 1, (1, 0), mode="constant")
    return {"keys": keys, "cam": small.cpu(), "hr_cam": full.cpu().numpy()}


def advcam(logits, label):
    """jbeomlee93/AdvCAM obtain_CAM_masking.py and IRN's step/make_cam.py: keys are a tensor."""
    classes, small, full = _two_sizes(logits, label, relu=True)
    return {"keys": classes, "cam": small.cpu(), "high_res": full.cpu().numpy()}


def c2am(logits, _label=None):
    """CVI-SZU/CCAM inference_CCAM.py: one map, keys [0, 1]."""
    one = np.zeros(20, np.float32)
    one[0] = 1
    return puzzlecam(logits, one)


PRODUCERS = {
    "psa": psa,
    "sc_cam": sc_cam,
    "seam": seam,
    "puzzlecam": puzzlecam,
    "advcam": advcam,
}


def evaluate(method, folder, truth, t):
    """The mIoU in per cent that the pipeline's own evaluator prints for the files of a folder.

    truth: {id: uint8 H×W}, 255 ignored. The rules: PSA's and SEAM's evaluation.py fill a float32
    array of 21 layers with t at the bottom; SC-CAM's iouutils does so in float64 and leaves classes
    out that the ground truth lacks; PuzzleCAM and IRN pad the stored maps with t.
    """
    matrix = np.zeros((21, 21), np.int64)
    for image_id, label in truth.items():
        content = np.load(folder / f"{image_id}.npy", allow_pickle=True).item()
        predicted = _predicted(method, content, label.shape, t)
        inside = label < 21
        pairs = 21 * label[inside].astype(int) + predicted[inside]
        matrix += np.bincount(pairs, minlength=441).reshape(21, 21)
    right, union = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    if method == "sc_cam":
        there = matrix.sum(axis=1) > 0
        return 100 * np.nanmean(right[there] / union[there])
    if method == "advcam":
        return 100 * np.nanmean(np.divide(right, union, out=np.full(21, np.nan), where=union > 0))
    return 100 * np.mean(right / (union + 1e-10))


def _predicted(method, content, shape, t):
    if method in ("psa", "seam", "sc_cam"):
        scores = np.zeros((21, *shape), np.float64 if method == "sc_cam" else np.float32)
        for key in content:
            scores[key + 1] = content[key]
        scores[0] = t
        return np.argmax(scores, axis=0)
    maps = content["hr_cam" if method == "puzzlecam" else "high_res"]
    padded = np.pad(maps, ((1, 0), (0, 0), (0, 0)), mode="constant", constant_values=t)
    keys = np.asarray(content["keys"])
    keys = keys if method == "puzzlecam" else np.pad(keys + 1, (1, 0), mode="constant")
    return keys[np.argmax(padded, axis=0)]
