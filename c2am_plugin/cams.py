"""The common form of every CAM file in memory, and the interface of an adapter.

No pipeline's format is known here; the formats are in the adapters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .errors import InputError

__all__ = [
    "BROUGHT_TO",
    "CamAdapter",
    "ImageCams",
    "Profile",
    "SeedAdapter",
    "below_zero_line",
    "clip_maps",
    "constant_score",
    "content_of",
    "is_binary",
    "read_cams",
    "stored_scale",
    "value_span",
]

# The constant that CAMs with a stored background are brought to where thresholds are swept.
BROUGHT_TO = 0.5
# A larger excess over 1 is not a rounding error of the division by the maximum.
ROUNDING = 1e-5


def highest(maps: np.ndarray) -> np.ndarray:
    """K×H×W, K ≥ 1 → the maximum over the classes, H×W; of one class that map itself."""
    top = maps[0]
    for layer in maps[1:]:
        top = np.maximum(top, layer)
    return top


@dataclass(frozen=True)
class ImageCams:
    """The class activation maps of one image.

    image_id   the file's name without its suffix, with its subfolders if there are any
    class_ids  int64 [K], 0-based foreground classes, without repeats, in the file's order
    maps       floating K×H×W in [0, 1] at the size of the image; float32 in the pipelines' own
               files. The stored precision is kept, so that writing back loses nothing. Values
               below 0, which SEAM's normalisation leaves, are read as 0, as they are background
               to every pipeline's argmax
    strided    floating K×h×w in [0, 1], the file's second, smaller copy; None if it has none
    background, strided_background
               floating H×W and h×w in [0, 1): t(x), if the file contains the background that the
               pipeline compares its CAMs with; None if that is a constant
    source     the file's content as it was read. Only the adapter that read it uses it, to write
               back the same containers, dtypes, key order and unknown keys. None for CAMs that do
               not come from a file
    kept       for maps and strided: bool (K×)H×W, or one bool, where the stored values are kept
               when the file is written
    below_zero  whether values below 0 were read as 0

    Raises InputError for values outside [0, 1], NaN, wrong shapes and wrong ids.

    >>> cams = ImageCams("a", np.array([7, 2]), np.zeros((2, 4, 6), np.float32))
    >>> cams.class_ids, cams.top.shape
    (array([7, 2]), (4, 6))
    """

    image_id: str
    class_ids: np.ndarray
    maps: np.ndarray
    strided: np.ndarray | None = None
    source: Any = None
    background: np.ndarray | None = None
    strided_background: np.ndarray | None = None
    kept: tuple[np.ndarray | bool, np.ndarray | bool] = (True, True)
    below_zero: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        ids = np.asarray(self.class_ids)
        if ids.ndim != 1 or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
            raise InputError(f"{self.image_id}: class ids are {ids.dtype} {ids.shape}, not int [K]")
        ids = ids.astype(np.int64)
        if ids.size and ids.min() < 0:
            raise InputError(f"{self.image_id}: class id {ids.min()} is negative")
        if len(set(ids.tolist())) != len(ids):
            raise InputError(f"{self.image_id}: class ids {ids.tolist()} contain one class twice")
        object.__setattr__(self, "class_ids", ids)
        for name in ("maps", "strided"):
            maps = getattr(self, name)
            if maps is not None:
                checked = _check_maps(self.image_id, name, maps, len(ids))
                object.__setattr__(self, name, checked)
                if checked is not maps and bool((maps < 0).any()):
                    object.__setattr__(self, "below_zero", True)
        _check_background(self.image_id, self.background, self.maps)
        _check_background(self.image_id, self.strided_background, self.strided)

    def score(self, constant: float) -> float | np.ndarray:
        """t of this image: the file's background, H×W, or else the constant."""
        return constant if self.background is None else self.background

    @cached_property
    def top(self) -> np.ndarray:
        """The highest CAM at each pixel: H×W, dtype of `maps`, 0 in an image without a class.

        It is computed once, and many times faster than by `maps.max(axis=0)`.
        """
        if not len(self.maps):
            return np.zeros(self.maps.shape[1:], self.maps.dtype)
        return highest(self.maps)

    def with_maps(
        self,
        maps: np.ndarray,
        strided: np.ndarray | None,
        kept: tuple[np.ndarray | bool, np.ndarray | bool] = (False, False),
    ) -> ImageCams:
        """The same image with other maps of the same shapes, in the same dtypes or float16."""
        return replace(self, maps=maps, strided=strided, kept=kept)


@dataclass(frozen=True)
class Profile:
    """A pipeline: the layout of its files, and its own numbers.

    Registered in the entry-point group `c2am_plugin.profiles`, alone or in a list, without a class.

    name              the value of `method`, e.g. "seam"; "seam:coco" for its numbers on COCO
    layout            the adapter that reads its files, a name of the group `c2am_plugin.adapters`
    background_score  t in (0, 1), the constant that the pipeline compares its CAMs with. None if it
                      has none, or if its files contain a background
    seeds             the numbers of the seeds that its next stage reads: "low_alpha", "high_alpha"
                      or "fg", "bg"; empty if it has none
    seed_folders      the folders of those seeds if they are not the layout's, with the numbers in
                      braces: "out_crf_{low_alpha:g}"
    crf               the name of its dense CRF setting: "irn", "psa", "clip_es"
    source            the origin of these numbers: repository, file, line

    Example: Profile("weaktr", "psa", 0.43, source="hustvl/WeakTr docs/Training.md:45")
    """

    name: str
    layout: str
    background_score: float | None = None
    seeds: Mapping[str, float] = field(default_factory=dict)
    seed_folders: tuple[str, ...] = ()
    crf: str = "irn"
    source: str = ""


class CamAdapter(Protocol):
    """A layout: how a file is built. Registered in the entry-point group `c2am_plugin.adapters`.

    name              the value of `method`: the profile's name, which the registry sets, or the
                      layout's own if it has no profile
    family            adapters whose files cannot be distinguished by content share a family name
    background_score  t in (0, 1), the constant background score that the pipeline compares its CAMs
                      with, as its profile gives it; None if it has none. An adapter without a
                      profile has its own, which may be called `threshold`

    Optional attributes: `stores_background = True` if its files contain the background, so that
    `parse` sets `ImageCams.background`; `suffix` if its files are not `.npy`.

    Optional methods for several files per image: `image_of(file id) -> image id` (None for files of
    other layouts), `file_names(cams) -> names` in one folder, and `dump_files(cams, paths)`, which
    replaces `dump` and writes exactly at these paths. `load` receives the path `<id><suffix>`.
    """

    name: str
    family: str
    background_score: float | None

    def fits(self, content: Any) -> bool:
        """Whether content may be of this layout. A file without classes fits several layouts."""

    def load(self, path: Path) -> Any:
        """The content of a file, read without running code from it. Raises InputError."""

    def parse(self, content: Any, image_id: str, *, clip: bool = False) -> ImageCams:
        """A file's content as ImageCams. Raises InputError for content of another layout.

        clip: NaN becomes 0 and values above 1 become 1; by default both are refused. Values below 0
        are always read as 0.
        """

    def dump(self, cams: ImageCams, path: Path) -> None:
        """Write the maps exactly at `path`, in a file like `cams.source`.

        Without a source, the file is built as the pipeline itself builds it.
        """


@runtime_checkable
class SeedAdapter(CamAdapter, Protocol):
    """An adapter that also makes seeds: the files that its pipeline's next stage trains on.

    Seeds are optional; CAMs are refined without them.

    seed_settings  the numbers of that step by name, with the pipeline's own values
    seed_suffix    the suffix of the seeds: one file `<id><suffix>` in each of `seed_folders`
    """

    seed_settings: Mapping[str, float]
    seed_suffix: str

    def seed_folders(self, settings: Mapping[str, float]) -> tuple[str, ...]:
        """Folders below the one that the user names; "" is that folder itself.

        settings: a value for each of `seed_settings`. Raises InputError for inconsistent values.
        """

    def write_seeds(
        self,
        cams: ImageCams,
        photo: np.ndarray,
        settings: Mapping[str, float],
        paths: Sequence[Path],
    ) -> None:
        """Make one image's seeds and write them exactly at `paths`, one path per folder.

        photo: uint8 H×W×3 RGB, of the size of the CAMs. An image without a class is background.
        """

    def read_seeds(self, paths: Sequence[Path]) -> np.ndarray:
        """The label that the next stage trains on: uint8 H×W; 0, c + 1 for class c, 255 ignored."""


def read_cams(adapter: CamAdapter, path: Path, image_id: str, *, clip: bool = False) -> ImageCams:
    """The CAMs of one file: maps K×H×W in [0, 1] and 0-based class ids [K], see `ImageCams`.

    adapter: that of the file's pipeline, see `get_adapter`. path: the file. image_id: the id of its
    image. clip: accept values above 1 and NaN by clipping. Raises InputError with the file's name.

    >>> from c2am_plugin import get_adapter, read_cams
    >>> path = Path("psa_cam/2007_000032.npy")
    >>> cams = read_cams(get_adapter("psa"), path, "2007_000032")  # doctest: +SKIP
    >>> cams.maps.shape, cams.class_ids  # doctest: +SKIP
    ((1, 281, 500), array([0]))
    """
    content = adapter.load(path)
    try:
        return adapter.parse(content, image_id, clip=clip)
    except InputError as error:
        raise InputError(f"{path}: {str(error).removeprefix(image_id + ': ')}") from error


def constant_score(adapter: CamAdapter, given: float | None = None) -> float:
    """t: the given one, or the adapter's own.

    If the files contain their background, `ImageCams.score` is t and the result is `BROUGHT_TO`.
    Raises InputError where there is no t, and for a given t with files that contain a background.
    """
    if getattr(adapter, "stores_background", False):
        if given is not None:
            raise InputError(
                f"{adapter.name}: its files contain the background that its CAMs are compared "
                "with; leave background_score out"
            )
        return BROUGHT_TO
    score = adapter.background_score if given is None else given
    if score is None:
        raise InputError(
            f"{adapter.name} has no constant background score (its code finds the best one with "
            "ground truth); give background_score, a number between 0 and 1"
        )
    return float(score)


def stored_scale(adapter: CamAdapter) -> float:
    """The divisor of the values in this adapter's files, usually 1."""
    return float(getattr(adapter, "file_scale", 1.0))


def is_binary(adapter: CamAdapter) -> bool:
    """Whether 0 and the scale are the only values in its files (`files.cam_values`)."""
    return bool(getattr(adapter, "binary", False))


def clip_maps(maps: np.ndarray) -> np.ndarray:
    """Floating maps of any range → the same shape and dtype in [0, 1]; NaN becomes 0.

    Other values and single numbers are returned unchanged; `ImageCams` refuses them.
    """
    if maps.dtype.kind != "f" or maps.ndim == 0:
        return maps
    clipped = np.nan_to_num(maps, nan=0.0, posinf=1.0, neginf=0.0)
    return np.clip(clipped, 0, 1, out=clipped)


def _check_background(
    image_id: str, background: np.ndarray | None, maps: np.ndarray | None
) -> None:
    if background is None:
        return
    if maps is None or background.shape != maps.shape[1:]:
        found = None if maps is None else maps.shape
        raise InputError(f"{image_id}: background {background.shape} for CAMs {found}")
    if background.size and not (background.min() >= 0 and background.max() < 1):
        raise InputError(f"{image_id}: background has values outside [0, 1) or NaN")


def _check_maps(image_id: str, name: str, maps: np.ndarray, n_classes: int) -> np.ndarray:
    """`maps` with rounding errors outside [0, 1] clipped. Raises InputError if not a CAM."""
    if maps.ndim != 3 or len(maps) != n_classes:
        raise InputError(f"{image_id}: {name} is {maps.shape}, expected {n_classes} classes×H×W")
    if not np.issubdtype(maps.dtype, np.floating):
        raise InputError(f"{image_id}: {name} is {maps.dtype}, expected floating point")
    if maps.size == 0:
        if n_classes:
            raise InputError(f"{image_id}: {name} is {maps.shape}, which contains no pixel")
        return maps
    low, high = maps.min(), maps.max()
    if low >= 0 and high <= 1:
        return maps
    if np.isfinite(low) and high <= 1 + ROUNDING:
        return np.clip(maps, 0, 1)
    bad = ~np.isfinite(maps)
    above = int((maps > 1).sum())
    finite = maps[~bad]
    span = value_span(finite) if finite.size else "no finite value"
    raise InputError(
        f"{image_id}: {name} is not a CAM in [0, 1]: of {maps.size} values {above} are above 1 and "
        f"{int(bad.sum())} NaN or infinite (finite range {span}); "
        "normalise each class by its maximum, give the scale with `scale_by`, or accept them with "
        "`clip=True`"
    )


def value_span(values: np.ndarray) -> str:
    """The range of finite values for a message, with enough digits to differ from 0 and 1."""
    low, high = float(values.min()), float(values.max())
    for digits in (4, 9, 17):
        shown = [f"{value:.{digits}g}" for value in (low, high)]
        told = all(
            (float(text) > 1) == (value > 1) and (float(text) < 0) == (value < 0)
            for text, value in zip(shown, (low, high), strict=True)
        )
        if told:
            break
    return " to ".join(shown)


def below_zero_line(count: int, total: int, looked_at: str = "") -> str:
    """The line that a run reports once about files with values below 0."""
    return (
        f"{count} of {total} files{looked_at} have values below 0, which SEAM's normalisation "
        "leaves; they are read as 0, like background in the pipeline's own argmax"
    )


def content_of(content: Any) -> str:
    """The content of a file for a message: its keys, and the types of their values."""
    if not isinstance(content, dict):
        return _kind(content)
    shown = [f"{str(key)[:40]!r}: {_kind(value)}" for key, value in list(content.items())[:6]]
    more = f" and {len(content) - 6} more" if len(content) > 6 else ""
    return f"{{{', '.join(shown)}{more}}}"


def _kind(value: Any) -> str:
    array = getattr(value, "array", value)
    if isinstance(array, np.ndarray) and array.ndim:
        return f"{array.dtype} {'×'.join(map(str, array.shape))}"
    return type(value).__name__
