"""What the pipelines store and how they read it back, written down from their own code.

`PIPELINES` has one entry per pipeline: `store` makes what its saving line passes to numpy, `label`
is the label uint8 H×W that its own evaluation makes of a file, with numpy's and torch's loaders.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["PIPELINES", "Image", "Pipeline", "make_image"]


@dataclass
class Image:
    """One image: class ids [K], maps K×H×W in [0, 1], their small copy, background H×W, cue."""

    ids: np.ndarray
    maps: np.ndarray
    small: np.ndarray
    background: np.ndarray
    cue: np.ndarray

    @property
    def all_maps(self):
        """The background and the maps, (K+1)×H×W."""
        return np.concatenate([self.background[None], self.maps])


def make_image(classes=2, size=(20, 28), dtype=np.float32, seed=0):
    """Many values are k/255, some pixels tie with the cue, class 0 is among the classes.

    Each class has a 0 and a 1, as normalised CAMs do.
    """
    rng = np.random.default_rng(seed)
    maps = (rng.integers(0, 256, (classes, *size)) / 255).astype(dtype)
    maps[:, -1, :2] = 0, 1
    background = (rng.integers(10, 180, size) / 255).astype(dtype)
    cue = (rng.integers(0, 256, size) / 255).astype(np.float32)
    cue[:3] = maps[-1, :3]
    ids = np.sort(rng.choice(np.arange(1, 20), classes, replace=False))
    ids[0] = 0
    return Image(ids, maps, np.ascontiguousarray(maps[:, ::4, ::4]), background, cue)


def one_based(ids):
    return np.pad(np.asarray(ids) + 1, (1, 0), mode="constant")


def load(path):
    return np.load(path, allow_pickle=True).item()


def padded(maps, keys, t):
    """argmax over a constant and the maps, in VOC's indices."""
    maps = np.asarray(maps)
    return keys[np.argmax(np.pad(maps, ((1, 0), (0, 0), (0, 0)), constant_values=t), axis=0)]


def save_npy(path, content):
    np.save(path, content)


@dataclass(frozen=True)
class Pipeline:
    """name: the profile; store(Image) → content; save(path, content); label(path, t) → uint8 H×W.

    full, small: the keys of the arrays ("" where the file is a plain dict of classes, or has none);
    scale: what stored values are to the CAMs; dtype: of the pipeline's own files; unread: keys that
    none of its readers asks for.
    """

    name: str
    store: Callable[[Image], Any]
    label: Callable[[Path, float], np.ndarray]
    full: str = ""
    small: str = ""
    stored_background: bool = False
    dtype: type = np.float32
    empty: Any = None
    save: Callable[[Path, Any], None] = save_npy
    suffix: str = ".npy"
    scale: float = 1.0
    lead: int = 0
    unread: frozenset[str] = frozenset()


def _dict_label(path, t):
    content = load(path)
    shape = next(iter(content.values())).shape
    tensor = np.zeros((92, *shape), np.float32)
    for key, layer in content.items():
        tensor[key + 1] = layer
    tensor[0] = t
    return np.argmax(tensor, axis=0).astype(np.uint8)


def _dict(name):
    return Pipeline(
        name,
        lambda image: dict(zip(image.ids.tolist(), image.maps, strict=True)),
        _dict_label,
        empty={},
    )


def _irn(name, keys=torch.tensor, small=torch.tensor, full=np.asarray):
    return Pipeline(
        name,
        lambda image: {
            "keys": keys(image.ids),
            "cam": small(image.small),
            "high_res": full(image.maps),
        },
        lambda path, t: padded(load(path)["high_res"], one_based(load(path)["keys"]), t),
        "high_res",
        "cam",
        empty={"keys": torch.zeros(0, dtype=torch.int64)},
    )


def _puzzle(name):
    return Pipeline(
        name,
        lambda image: {
            "keys": one_based(image.ids),
            "cam": torch.tensor(image.small),
            "hr_cam": image.maps,
        },
        lambda path, t: padded(load(path)["hr_cam"], load(path)["keys"], t),
        "hr_cam",
        "cam",
        empty={"keys": np.array([0])},
    )


def _plain(name, full, dtype=np.float32, keys="keys", extra=None, label=None):
    """Class ids and one array."""
    rule = label or (lambda path, t: padded(load(path)[full], one_based(load(path)[keys]), t))
    return Pipeline(
        name,
        lambda image: {
            full: image.maps,
            keys: image.ids,
            **({extra: image.ids} if extra else {}),
        },
        rule,
        full,
        dtype=dtype,
        empty={full: np.zeros((0, 20, 28), dtype), keys: np.zeros(0, np.int64)},
    )


def _one_minus_max(path, t):
    """CLIP-ES and WeCLIP: the background is (1 − max)^1."""
    content = load(path)
    maps = content["attn_highres"]
    background = np.power(1 - np.max(maps, axis=0, keepdims=True), 1)
    return one_based(content["keys"])[np.concatenate((background, maps)).argmax(axis=0)]


def _is_cam(name, full, names, scale):
    return Pipeline(
        name,
        lambda image: {
            "keys": one_based(image.ids),
            **{
                each: (image.all_maps if each == full else image.all_maps[:, ::-1])
                * image.maps.dtype.type(scale)
                for each in names
            },
        },
        lambda path, t: load(path)["keys"][np.argmax(load(path)[full], axis=0)],
        full,
        next((each for each in names if each != full), ""),
        stored_background=True,
        scale=scale,
        lead=1,
    )


def _min_max(maps):
    """FMA-WSSS: from 0 on, each class by its own range, whenever a file is read."""
    maps = np.maximum(maps, 0)
    low, high = (bound(axis=(1, 2), keepdims=True) for bound in (maps.min, maps.max))
    return (maps - low) / (high - low + 1e-7)


def _fma_label(path, t):
    with np.load(path) as stored:
        return padded(_min_max(stored["cam"]), one_based(stored["fg_cls"]), t)


def _savez(path, content):
    with open(path, "wb") as file:
        np.savez(file, **content)


def _fma_store(image):
    logits = np.arange(20, dtype=np.float32)
    return {
        "cam": image.maps,
        "fg_cls": image.ids,
        "fg_logit": logits[image.ids],
        "all_logit": logits,
    }


def _unpickled(path):
    with open(path, "rb") as file:
        return pickle.load(file)


def _save_pickle(path, content):
    with open(path, "wb") as file:
        pickle.dump(content, file)


def _one_minus_max_squared(path, t):
    """RecurSeed: the background is (1 − max)^2 by default."""
    content = _unpickled(path)
    background = np.power(1 - np.max(content["seed"], axis=0, keepdims=True), 2)
    return content["keys"][np.concatenate((background, content["seed"])).argmax(axis=0)]


def _amn_label(path, t):
    content = load(path)
    return padded(content["high_res"][1:], one_based(content["keys"]), t)


def _amn_store(image):
    small = np.concatenate([image.background[None, ::4, ::4], image.small])
    return {
        "keys": torch.tensor(image.ids),
        "cam": torch.tensor(small),
        "high_res": image.all_maps,
    }


PIPELINES = [
    *(_dict(name) for name in ("psa", "sc_cam", "seam", "mctformer", "weaktr", "s2c", "cti")),
    *(_puzzle(name) for name in ("puzzlecam", "pnoc")),
    *(_irn(name) for name in ("advcam", "irn", "recam", "qa_clims", "beco", "amn")),
    _irn("lpcam", np.asarray, torch.tensor, torch.tensor),
    Pipeline("amn_step2", _amn_store, _amn_label, "high_res", "cam", lead=1),
    _plain("toco", "high_res"),
    *(
        _plain(name, "attn_highres", np.float16, label=_one_minus_max)
        for name in ("clip_es", "weclip", "pot")
    ),
    _plain("more", "valid_lam", extra="keys_gt"),
    _plain("afa", "cam"),
    _is_cam("sipe", "IS_CAM", ("IS_CAM",), 1),
    _is_cam("sfc", "IS_CAM", ("IS_CAM", "IS_CAM1"), 2),
    _is_cam("psdpm", "IS_CAM1", ("IS_CAM1",), 2),
    Pipeline(
        "excel",
        lambda image: {"valid_lam": image.all_maps, "keys_gt": image.ids},
        lambda path, t: one_based(load(path)["keys_gt"])[
            np.argmax(load(path)["valid_lam"], axis=0)
        ],
        "valid_lam",
        stored_background=True,
        lead=1,
    ),
    Pipeline(
        "fma_wss",
        _fma_store,
        _fma_label,
        "cam",
        empty={
            "cam": np.zeros((0, 20, 28), np.float32),
            "fg_cls": np.zeros(0, np.int64),
            "fg_logit": np.zeros(0, np.float32),
            "all_logit": np.zeros(20, np.float32),
        },
        save=_savez,
        unread=frozenset({"fg_logit", "all_logit"}),
        suffix=".npz",
    ),
    Pipeline(
        "recurseed",
        lambda image: {"keys": one_based(image.ids), "seed": image.maps},
        _one_minus_max_squared,
        "seed",
        empty={"keys": np.array([0]), "seed": np.zeros((0, 20, 28), np.float32)},
        save=_save_pickle,
        suffix=".pkl",
    ),
]
