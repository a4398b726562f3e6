"""Seeds: what a pipeline's next stage trains on, made from one image's CAMs and its photograph.

There are two kinds. AffinityNet trains on CRF dumps: scores of background and classes, made once
with confident foreground and once with confident background (Ahn and Kwak, CVPR 2018, section
3.2.1). IRN trains on confident labels: one PNG with the confident classes, the confident background
and 255 elsewhere (Ahn et al., CVPR 2019, section 4.1). An adapter's seed settings, which come from
its profile, decide the kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from c2am_plugin.cams import ImageCams
from c2am_plugin.crf.dense_crf import label_crf, softmax_crf
from c2am_plugin.errors import InputError
from c2am_plugin.files.labels import IGNORE, pseudo_label, read_label

from .npy import load_npy, save_npy

__all__ = ["Seeds", "confident_label", "crf_scores"]


def crf_scores(cams: ImageCams, photo: np.ndarray, alpha: float) -> np.ndarray:
    """Scores of background and classes after the dense CRF: float32 (K+1)×H×W, sum 1 per pixel.

    photo: uint8 H×W×3, RGB. alpha: the background's score is (1 − max_k cam_k)^alpha, so a higher
    alpha leaves less background. The scores enter the CRF as softmax probabilities.
    """
    if len(cams.class_ids) == 0:
        return np.ones((1, *photo.shape[:2]), np.float32)
    background = np.power(1 - cams.maps.max(axis=0, keepdims=True), alpha)
    return softmax_crf(photo, np.concatenate([background, cams.maps]))


def confident_label(
    cams: ImageCams,
    photo: np.ndarray,
    foreground: float | np.ndarray,
    background: float | np.ndarray,
) -> np.ndarray:
    """Confident labels, uint8 H×W: c + 1 for class c, 0 for background, 255 elsewhere.

    photo: uint8 H×W×3, RGB. foreground, background: the higher and the lower background score, each
    a number or a map H×W. A pixel is confidently of a class where the class beats the higher score
    and still wins after the label CRF. It is confidently background where no class wins at either
    score.
    """
    if len(cams.class_ids) == 0:
        return np.zeros(photo.shape[:2], np.uint8)
    sure, possible = (_crf_label(cams, photo, score) for score in (foreground, background))
    unsure = np.where(possible > 0, np.uint8(IGNORE), np.uint8(0))
    return np.where(sure > 0, sure, unsure)


def _crf_label(cams: ImageCams, photo: np.ndarray, score: float | np.ndarray) -> np.ndarray:
    n_classes = len(cams.class_ids)
    channel = label_crf(photo, pseudo_label(cams.maps, np.arange(n_classes), score), n_classes + 1)
    return _values([0, *(cams.class_ids + 1)])[channel]


def _values(keys: Sequence[int]) -> np.ndarray:
    """Channel keys as label values, uint8."""
    if max(keys) >= IGNORE:
        raise InputError(f"class {max(keys) - 1} does not fit an 8-bit seed with 255 = ignore")
    return np.array(keys, np.uint8)


class Seeds:
    """The seeds of an adapter: CRF dumps if its settings are alphas, labels if they are scores.

    The settings "fg" and "bg" are the higher and the lower background score. With "bg_scale", the
    stored background is the higher score and that share of it the lower one.

    seed_names  the two folders of dumps, which may contain settings: "out_crf_{low_alpha:g}"
    """

    seed_settings: Mapping[str, float] = {"fg": 0.30, "bg": 0.05}
    seed_names: tuple[str, ...] = ("out_la_crf", "out_ha_crf")

    @property
    def seed_suffix(self) -> str:
        return ".npy" if "low_alpha" in self.seed_settings else ".png"

    def seed_folders(self, settings: Mapping[str, float]) -> tuple[str, ...]:
        if "bg_scale" in settings:
            if not 0 < settings["bg_scale"] < 1:
                found = f"bg_scale is {settings['bg_scale']:g}"
                raise InputError(f"seeds: {found}; expected a number between 0 and 1")
            return ("",)
        if "fg" not in settings:
            _check_order(settings, "low_alpha", "high_alpha")
            return tuple(name.format(**settings) for name in self.seed_names)
        _check_order(settings, "bg", "fg")
        if not settings["fg"] < 1:
            raise InputError(f"seeds: fg is {settings['fg']:g}; expected less than 1")
        return ("",)

    def write_seeds(
        self,
        cams: ImageCams,
        photo: np.ndarray,
        settings: Mapping[str, float],
        paths: Sequence[Path],
    ) -> None:
        if "low_alpha" not in settings:
            label = confident_label(cams, photo, *_scores(cams, settings))
            Image.fromarray(label).save(paths[0], format="PNG")
            return
        for alpha, path in zip((settings["low_alpha"], settings["high_alpha"]), paths, strict=True):
            _write_dump(cams, photo, alpha, path)

    def read_seeds(self, paths: Sequence[Path]) -> np.ndarray:
        if len(paths) == 1:
            return read_label(paths[0])
        low, high = (_read_dump(path) for path in paths)
        label = np.where(low > 0, low, np.uint8(IGNORE))
        return np.where(high > 0, label, np.uint8(0))


def _scores(
    cams: ImageCams, settings: Mapping[str, float]
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """The higher and the lower background score."""
    if "fg" in settings:
        return settings["fg"], settings["bg"]
    stored = np.zeros(0) if cams.background is None else cams.background
    return stored, stored * settings["bg_scale"]


def _write_dump(cams: ImageCams, photo: np.ndarray, alpha: float, path: Path) -> None:
    """Write `{0: background, c + 1: class}`, float32 H×W, with keys of the CAM file's type."""
    classes, stored = cams.class_ids.tolist(), cams.source
    if isinstance(stored, dict) and all(isinstance(key, (int, np.integer)) for key in stored):
        classes = list(stored)
    scores = crf_scores(cams, photo, alpha)
    save_npy(path, dict(zip([0, *(c + 1 for c in classes)], scores, strict=True)))


def _read_dump(path: Path) -> np.ndarray:
    content = load_npy(path)
    if not isinstance(content, dict) or 0 not in content:
        raise InputError(f"{path}: is not a CRF dump; expected {{0: background, c + 1: class}}")
    channel = np.stack(list(content.values())).argmax(axis=0)
    return _values(list(content))[channel]


def _check_order(settings: Mapping[str, float], low: str, high: str) -> None:
    if not 0 < settings[low] < settings[high] < float("inf"):
        found = f"{low} is {settings[low]:g} and {high} {settings[high]:g}"
        raise InputError(f"seeds: {found}; expected 0 < {low} < {high}")
