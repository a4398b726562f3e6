"""The dense CRF that sharpens labels and scores along the edges of an image.

P. Krähenbühl, V. Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge
Potentials, NIPS 2011. Potts model, two Gaussian kernels (position; position and colour),
symmetrically normalised, ten mean-field iterations: the result of those ten, not of convergence,
is what published pipelines use.

Knows arrays; knows nothing of files, CAMs or cues. Runs in numba, on `lattice.py`, and in
pydensecrf where numba is missing. The two agree but for a pixel or two of an image whose labels
are tied in float32. With numba the GIL is released: run several images in threads.
"""

from __future__ import annotations

import importlib
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ..errors import InputError, MissingDependency

if TYPE_CHECKING:
    from .lattice import Lattice

__all__ = [
    "Backend",
    "cue_crf",
    "label_crf",
    "label_probabilities",
    "make_ready",
    "needs_compiling",
    "softmax_crf",
    "warm_up",
]

log = logging.getLogger("c2am_plugin")
Backend = Literal["auto", "numba", "pydensecrf"]

# Pixels or grey levels that are 5 standard deviations apart share no vertex of the lattice: a
# smaller scale would change nothing, and its large features would run out of float32.
_SMALLEST_SCALE = 1 / 8
_LARGEST_FEATURE = 2.0**17
_MODULES = {"numba": "numba", "pydensecrf": "pydensecrf.densecrf"}


class _Model(NamedTuple):
    """The kernels' standard deviations, in pixels and in grey levels, their weights, the steps."""

    gaussian_sxy: float
    gaussian_compat: float
    bilateral_sxy: float
    bilateral_srgb: float
    bilateral_compat: float
    iterations: int


def label_crf(
    image: np.ndarray, labels: np.ndarray, n_labels: int | None = None, **options: Any
) -> np.ndarray:
    """Move the borders of hard labels to the edges of the image.

    Arguments as for `label_probabilities`. Returns H×W labels of the same dtype: those of the
    highest probability. Raises as it does.
    """
    labels = np.asarray(labels)
    values, found = label_probabilities(image, labels, n_labels, **options)
    return values[_argmax(found.reshape(len(values), -1))].reshape(labels.shape)


def label_probabilities(
    image: np.ndarray,
    labels: np.ndarray,
    n_labels: int | None = None,
    *,
    gt_prob: float = 0.7,
    gaussian_sxy: float = 3,
    gaussian_compat: float = 3,
    bilateral_sxy: float = 50,
    bilateral_srgb: float = 5,
    bilateral_compat: float = 10,
    iterations: int = 10,
    backend: Backend = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """How probable each of an image's hard labels is at each pixel, borders moved to the edges.

    image: H×W×3 uint8, RGB.
    labels: H×W integer (or bool). With `n_labels` None the labels that occur take part, whatever
        their values; otherwise 0 … n_labels−1 do, whether they occur or not.
    gt_prob: how likely a given label is right, in (0, 1); the rest is shared by the other labels.

    Returns the L labels' values, of the same dtype, rising, and L×H×W float32 that sum to 1 over
    L. Raises InputError where an argument does not fit, MissingDependency where the backend (or,
    for "auto", any) is not installed.
    """
    model = _Model(
        gaussian_sxy, gaussian_compat, bilateral_sxy, bilateral_srgb, bilateral_compat, iterations
    )
    labels = np.asarray(labels)
    _check(image, labels.shape, model)
    if not 0 < gt_prob < 1:
        raise InputError(f"gt_prob is {gt_prob}; it must lie between 0 and 1")
    values, index = _enumerate(labels, n_labels)
    if len(values) < 2:
        return values, np.ones((len(values), *labels.shape), np.float32)
    right = np.float32(-np.log(gt_prob))
    wrong = np.float32(-np.log((1 - gt_prob) / (len(values) - 1)))
    unary = np.where(index.ravel() == np.arange(len(values))[:, None], right, wrong)
    return values, _infer(image, unary, model, backend).reshape(-1, *labels.shape)


def cue_crf(image: np.ndarray, foreground: np.ndarray, **options: Any) -> np.ndarray:
    """Move the border between foreground and background to the edges of the image.

    image: H×W×3 uint8, RGB.
    foreground: H×W bool, or integer 0 and 1.
    options: as for `label_crf`.

    Returns H×W bool, True for foreground. Raises as `label_crf` does.
    """
    return label_crf(image, foreground, 2, **options).astype(bool)


def softmax_crf(
    image: np.ndarray,
    probabilities: np.ndarray,
    *,
    gaussian_sxy: float = 3,
    gaussian_compat: float = 3,
    bilateral_sxy: float = 80,
    bilateral_srgb: float = 13,
    bilateral_compat: float = 10,
    iterations: int = 10,
    backend: Backend = "auto",
) -> np.ndarray:
    """Sharpen soft scores along the edges of the image.

    image: H×W×3 uint8, RGB.
    probabilities: L×H×W float in [0, 1], clipped from below at 1e-5; they need not sum to 1.

    Returns L×H×W float32 that sum to 1 over L. Raises as `label_crf` does.
    """
    model = _Model(
        gaussian_sxy, gaussian_compat, bilateral_sxy, bilateral_srgb, bilateral_compat, iterations
    )
    if np.ndim(probabilities) != 3 or len(probabilities) == 0:
        raise InputError(f"probabilities are {np.shape(probabilities)}; L×H×W was expected")
    _check(image, probabilities.shape[1:], model)
    if not np.isfinite(probabilities).all():
        raise InputError("probabilities hold values that are not finite")
    unary = -np.log(np.clip(probabilities, 1e-5, 1.0)).reshape(len(probabilities), -1)
    result = _infer(image, unary.astype(np.float32, order="C"), model, backend)
    return result.reshape(probabilities.shape)


def needs_compiling(backend: Backend = "auto") -> bool:
    """Whether the first call will spend some seconds compiling, once for this installation."""
    if _choose(backend) != "numba":
        return False
    from . import lattice

    return not lattice.is_compiled()


def warm_up(backend: Backend = "auto") -> None:
    """Compile what the CRF needs, or load it from the cache; later calls start at full speed."""
    cue_crf(np.zeros((2, 2, 3), np.uint8), np.eye(2, dtype=bool), backend=backend)


def make_ready(backend: Backend = "auto") -> Literal["threads", "processes"]:
    """Compile, if that is still to be done, and say how the CRF likes to be run in parallel.

    Raises MissingDependency where the backend is not installed.
    """
    if needs_compiling(backend):
        log.info("getting the dense CRF ready (compiled at first use, then in numba's cache)")
        warm_up(backend)
    return "threads" if _choose(backend) == "numba" else "processes"


def _check(image: np.ndarray, shape: tuple[int, ...], model: _Model) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(
            f"the image is {image.shape} {image.dtype}; H×W×3 uint8 (RGB) was expected"
        )
    if image.shape[:2] != shape or not all(shape):
        raise InputError(f"the image is {image.shape[:2]} and its labels are {shape}")
    scales = (model.gaussian_sxy, model.bilateral_sxy, model.bilateral_srgb)
    if not all(scale > 0 for scale in scales):
        raise InputError(f"sxy and srgb must be above 0: {model}")


def _enumerate(labels: np.ndarray, n_labels: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The values of the labels, and H×W indices into them."""
    if labels.dtype.kind not in "bui":
        raise InputError(f"labels are {labels.dtype}; integers were expected")
    if n_labels is None:
        values = np.unique(labels)
        return values, np.searchsorted(values, labels)
    if labels.min() < 0 or labels.max() >= n_labels:
        raise InputError(
            f"labels run from {labels.min()} to {labels.max()}; n_labels {n_labels} allows 0 to "
            f"{n_labels - 1}"
        )
    return np.arange(n_labels).astype(labels.dtype), labels.astype(np.intp)


def _argmax(scores: np.ndarray) -> np.ndarray:
    """np.argmax over the few rows of scores, ten times as fast."""
    winner = np.zeros(scores.shape[1], np.intp)
    best = scores[0]
    for row in range(1, len(scores)):
        winner[scores[row] > best] = row
        best = np.maximum(best, scores[row])
    return winner


def _choose(backend: Backend) -> Literal["numba", "pydensecrf"]:
    """Resolve "auto", and say what to install where nothing can run."""
    wanted: tuple[Literal["numba", "pydensecrf"], ...]
    wanted = ("numba", "pydensecrf") if backend == "auto" else (backend,)
    for name in wanted:
        if name not in _MODULES:
            raise InputError(f"backend {name!r} is not one of auto, {', '.join(_MODULES)}")
        if _installed(_MODULES[name]):
            return name
    raise MissingDependency(
        f"the dense CRF needs {' or '.join(wanted)}: pip install numba (or pydensecrf2)"
    )


def _installed(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _infer(image: np.ndarray, unary: np.ndarray, model: _Model, backend: Backend) -> np.ndarray:
    """Mean-field probabilities, L×HW float32, of energies L×HW float32."""
    run = _infer_numba if _choose(backend) == "numba" else _infer_pydensecrf
    return run(image, unary, model)


def _infer_pydensecrf(image: np.ndarray, unary: np.ndarray, model: _Model) -> np.ndarray:
    from pydensecrf.densecrf import DenseCRF2D

    crf = DenseCRF2D(image.shape[1], image.shape[0], len(unary))
    crf.setUnaryEnergy(unary)
    crf.addPairwiseGaussian(sxy=model.gaussian_sxy, compat=model.gaussian_compat)
    crf.addPairwiseBilateral(
        sxy=model.bilateral_sxy,
        srgb=model.bilateral_srgb,
        rgbim=np.array(image, order="C"),  # it refuses read-only arrays
        compat=model.bilateral_compat,
    )
    return np.array(crf.inference(model.iterations))


def _infer_numba(image: np.ndarray, unary: np.ndarray, model: _Model) -> np.ndarray:
    """Mean field on the log-odds of each label against label 0.

    Only differences between labels matter, so that L labels take L−1 filterings, and two take one.
    """
    from . import lattice

    height, width = image.shape[:2]
    position = _position_lattice(height, width, model.gaussian_sxy)
    place = _positions(height, width, model.bilateral_sxy)
    bilateral = lattice.build(np.concatenate([place, _colours(image, model.bilateral_srgb)]))
    kernels = ((position, model.gaussian_compat), (bilateral, model.bilateral_compat))
    start = unary[0] - unary[1:]
    odds = start
    for _ in range(model.iterations):
        lead = _lead(odds)
        odds = start.copy()
        for kernel, weight in kernels:
            for values, out in zip(lead, odds, strict=True):
                lattice.add_filtered(kernel, values, weight, out)
    return _softmax(odds)


def _lead(odds: np.ndarray) -> np.ndarray:
    """The probability of each further label less that of label 0."""
    if len(odds) == 1:
        return np.tanh(odds / 2)
    probabilities = _softmax(odds)
    return probabilities[1:] - probabilities[0]


def _softmax(odds: np.ndarray) -> np.ndarray:
    scores = np.pad(odds, ((1, 0), (0, 0)))  # label 0 has odds 0
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores


@lru_cache(maxsize=16)  # the sizes of a data set repeat; a lattice takes 25 bytes a pixel
def _position_lattice(height: int, width: int, sxy: float) -> Lattice:
    from . import lattice

    return lattice.build(_positions(height, width, sxy))


def _positions(height: int, width: int, sxy: float) -> np.ndarray:
    """x and y of each pixel in standard deviations, 2×HW float32."""
    scale = np.float32(max(sxy, _SMALLEST_SCALE))
    if max(height, width) / scale > _LARGEST_FEATURE:
        raise InputError(f"the image is {height}×{width}: too large for sxy {sxy}")
    x = np.arange(width, dtype=np.float32) / scale
    y = np.arange(height, dtype=np.float32) / scale
    return np.stack([np.tile(x, height), np.repeat(y, width)])


def _colours(image: np.ndarray, srgb: float) -> np.ndarray:
    """R, G and B of each pixel in standard deviations, 3×HW float32."""
    scale = np.float32(max(srgb, _SMALLEST_SCALE))
    return image.reshape(-1, 3).T.astype(np.float32, order="C") / scale
