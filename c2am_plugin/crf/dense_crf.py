"""The dense CRF, which sharpens labels and scores along the edges of an image.

P. Krähenbühl, V. Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge
Potentials, NIPS 2011. Potts model, two Gaussian kernels (position; position and colour),
symmetrically normalised, ten mean-field iterations. Published pipelines use the result after these
ten iterations, not the converged one.

Knows arrays; knows nothing of files, CAMs or cues. There are two backends: numba (`mean_field.py`,
`lattice.py`) and pydensecrf (`pydensecrf_backend.py`). They agree except for one or two pixels per
image whose labels tie in float32. numba releases the GIL: process several images in threads.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import numpy as np

from ..errors import InputError, MissingDependency
from .model import Model

__all__ = [
    "BACKENDS",
    "Backend",
    "check_backend",
    "cue_crf",
    "label_crf",
    "label_probabilities",
    "make_ready",
    "needs_compiling",
    "softmax_crf",
    "use_backend",
    "warm_up",
]

log = logging.getLogger("c2am_plugin")
Backend = Literal["auto", "numba", "pydensecrf"]

_MODULES = {"numba": "numba", "pydensecrf": "pydensecrf.densecrf"}
_INSTALL = {"numba": "pip install numba", "pydensecrf": "pip install 'c2am-plugin[pydensecrf]'"}
BACKENDS = ("auto", *_MODULES)


# What "auto" means within `use_backend`.
_default: ContextVar[Backend] = ContextVar("crf_backend", default="auto")


def label_crf(
    image: np.ndarray, labels: np.ndarray, n_labels: int | None = None, **options: Any
) -> np.ndarray:
    """Move the borders of hard labels to the edges of the image.

    image, labels, n_labels and the options are those of `label_probabilities`. Returns H×W labels
    of the same dtype: the most probable label of each pixel. Raises as `label_probabilities` does.

    >>> from c2am_plugin import label_crf
    >>> label = label_crf(image, label, gt_prob=0.7)  # doctest: +SKIP
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
    """The probability of each hard label at each pixel, with borders moved to the image's edges.

    image: H×W×3 uint8, RGB.
    labels: H×W integer (or bool). With `n_labels` None the labels that occur are used, whatever
        their values; otherwise 0 … n_labels−1, whether they occur or not.
    gt_prob: the probability that a given label is right, in (0, 1); the other labels share the
        rest equally.
    gaussian_sxy, gaussian_compat: standard deviation in pixels, and weight, of the smoothness term.
    bilateral_sxy, bilateral_srgb, bilateral_compat: standard deviations in pixels and in grey
        levels (of 255), and weight, of the appearance term.
    iterations: number of mean-field steps.
    backend: "numba", "pydensecrf", or "auto": numba if it is installed.

    Returns the values of the L labels, of the same dtype, ascending, and L×H×W float32 that sum to
    1 over L. Raises InputError for an invalid argument, MissingDependency if the backend (for
    "auto": every backend) is not installed.
    """
    model = Model(
        gaussian_sxy, gaussian_compat, bilateral_sxy, bilateral_srgb, bilateral_compat, iterations
    )
    labels = np.asarray(labels)
    _check(image, labels.shape, model)
    if not 0 < gt_prob < 1:
        raise InputError(f"gt_prob {gt_prob}: expected a number between 0 and 1, exclusive")
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

    >>> from c2am_plugin import cue_crf
    >>> foreground = cue_crf(image, b < 0.5)  # doctest: +SKIP
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
    probabilities: L×H×W float in [0, 1]; values below 1e-5 are raised to it. They need not sum to
        1 over L.
    gaussian_sxy, gaussian_compat, bilateral_sxy, bilateral_srgb, bilateral_compat, iterations and
        backend: as for `label_probabilities`; the defaults are those of PSA's code.

    Returns L×H×W float32 that sum to 1 over L. Raises as `label_crf` does.

    >>> from c2am_plugin import softmax_crf
    >>> sharper = softmax_crf(image, scores, iterations=10)  # doctest: +SKIP
    """
    model = Model(
        gaussian_sxy, gaussian_compat, bilateral_sxy, bilateral_srgb, bilateral_compat, iterations
    )
    if np.ndim(probabilities) != 3 or len(probabilities) == 0:
        raise InputError(f"probabilities have shape {np.shape(probabilities)}; expected L×H×W")
    _check(image, probabilities.shape[1:], model)
    if not np.isfinite(probabilities).all():
        raise InputError("probabilities contain NaN or infinite values; expected finite ones")
    unary = -np.log(np.clip(probabilities, 1e-5, 1.0)).reshape(len(probabilities), -1)
    result = _infer(image, unary.astype(np.float32, order="C"), model, backend)
    return result.reshape(probabilities.shape)


def needs_compiling(backend: Backend = "auto") -> bool:
    """Whether the first call will compile, which takes a few seconds, once per installation."""
    if _choose(backend) != "numba":
        return False
    from . import mean_field

    return not mean_field.is_compiled()


def warm_up(backend: Backend = "auto") -> None:
    """Compile the CRF, or load it from the cache, so that later calls run at full speed."""
    labels = np.arange(9).reshape(3, 3)
    for n_labels in (2, 3, 5, 9):  # numba compiles for 1, 2, 4 and 8 labels besides the first
        label_crf(np.zeros((3, 3, 3), np.uint8), labels % n_labels, n_labels, backend=backend)


def make_ready(backend: Backend = "auto") -> Literal["threads", "processes"]:
    """Compile if necessary; returns whether the backend should run in threads or in processes.

    Raises MissingDependency if the backend is not installed.
    """
    if needs_compiling(backend):
        log.info("compiling the dense CRF (at first use only; numba caches the result)")
        warm_up(backend)
    return "threads" if _choose(backend) == "numba" else "processes"


def _check(image: np.ndarray, shape: tuple[int, ...], model: Model) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(
            f"the image has shape {image.shape} and dtype {image.dtype}; expected H×W×3 uint8 (RGB)"
        )
    if image.shape[:2] != shape or not all(shape):
        raise InputError(
            f"the image is {image.shape[:2]} (H, W) but its labels are {shape}; expected equal "
            "sizes, at least 1×1"
        )
    scales = (model.gaussian_sxy, model.bilateral_sxy, model.bilateral_srgb)
    if not all(scale > 0 for scale in scales):
        raise InputError(f"sxy and srgb: expected numbers above 0, found {model}")


def _enumerate(labels: np.ndarray, n_labels: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The values of the labels, and H×W indices into them."""
    if labels.dtype.kind not in "bui":
        raise InputError(f"labels have dtype {labels.dtype}; expected integers")
    if n_labels is None:
        if labels.min() < 0 or labels.max() > 255:
            values = np.unique(labels)
            return values, np.searchsorted(values, labels)
        bytes_ = labels.astype(np.uint8)  # counted, which is several times as fast as sorted
        occurs = np.bincount(bytes_.ravel(), minlength=256) > 0
        return np.flatnonzero(occurs).astype(labels.dtype), (occurs.cumsum() - 1)[bytes_]
    if labels.min() < 0 or labels.max() >= n_labels:
        raise InputError(
            f"labels range from {labels.min()} to {labels.max()}; with n_labels {n_labels}, "
            f"expected 0 to {n_labels - 1}"
        )
    return np.arange(n_labels).astype(labels.dtype), labels.astype(np.intp)


def _argmax(scores: np.ndarray) -> np.ndarray:
    """np.argmax over the rows of scores; ten times as fast where there are few rows."""
    winner = np.zeros(scores.shape[1], np.intp)
    best = scores[0]
    for row in range(1, len(scores)):
        winner[scores[row] > best] = row
        best = np.maximum(best, scores[row])
    return winner


@contextmanager
def use_backend(backend: Backend) -> Iterator[None]:
    """Within the block `backend="auto"` means this backend, for code that does not pass it on."""
    token = _default.set(backend)
    try:
        yield
    finally:
        _default.reset(token)


def check_backend(backend: Backend = "auto") -> None:
    """Raise InputError for an unknown backend, MissingDependency for one that is not installed."""
    _choose(backend)


def _choose(backend: Backend) -> Literal["numba", "pydensecrf"]:
    """Resolve "auto". Raises MissingDependency, which names the package to install."""
    if backend == "auto":
        backend = _default.get()
    if backend not in BACKENDS:
        raise InputError(f"CRF backend {backend!r} is unknown; expected {', '.join(BACKENDS)}")
    wanted: tuple[Literal["numba", "pydensecrf"], ...]
    wanted = ("numba", "pydensecrf") if backend == "auto" else (backend,)
    for name in wanted:
        if _installed(_MODULES[name]):
            return name
    raise MissingDependency(
        f"the dense CRF needs {' or '.join(wanted)}, which is not installed; run "
        f"{' or '.join(_INSTALL[name] for name in wanted)}"
    )


def _installed(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _infer(image: np.ndarray, unary: np.ndarray, model: Model, backend: Backend) -> np.ndarray:
    """Mean-field probabilities, L×HW float32, from energies L×HW float32."""
    if _choose(backend) == "numba":
        from .mean_field import infer
    else:
        from .pydensecrf_backend import infer
    return infer(image, unary, model)
