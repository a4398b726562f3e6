"""The one form that every stored CAM file is turned into, and what an adapter must offer.

Knows nothing of any pipeline's format: those live in the adapters.
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

# The constant that CAMs with a background of their own are brought to where one has to be swept.
BROUGHT_TO = 0.5
# Above this a value outside [0, 1] is not the rounding of a division by the maximum.
ROUNDING = 1e-5


def highest(maps: np.ndarray) -> np.ndarray:
    """K×H×W, K at least 1 → the maximum over the classes, H×W."""
    top = maps[0].copy()
    for layer in maps[1:]:
        np.maximum(top, layer, out=top)
    return top


@dataclass(frozen=True)
class ImageCams:
    """The class activation maps of one image.

    image_id   the file's name without its suffix (with its subfolders, where there are any)
    class_ids  int64 [K], 0-based foreground classes, no repeats, in the file's order
    maps       floating K×H×W in [0, 1] at the size of the image; float32 in the pipelines' own
               files. The stored precision is kept, so that writing back loses nothing. Values
               below 0, as SEAM's normalisation leaves them, are read as 0: to every pipeline's
               argmax they are background
    strided    floating K×h×w in [0, 1], the file's second, smaller copy; None where it has none
    background, strided_background
               floating H×W and h×w in [0, 1): t(x), where the file contains the background that the
               pipeline compares its CAMs with; None where that is a constant
    source     the file's content as it was read. Only the adapter that read it looks inside, to
               write back the same containers, dtypes, key order and unknown keys. None for CAMs
               that come from elsewhere.
    kept       of maps and strided: bool (K×)H×W, or one bool, where the stored values stay as they
               are when the file is written
    below_zero  whether values below 0 were read as 0

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
            raise InputError(f"{self.image_id}: class ids {ids.tolist()} hold one class twice")
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
        """t of this image at its own size: the file's background, or else the constant."""
        return constant if self.background is None else self.background

    @cached_property
    def top(self) -> np.ndarray:
        """The highest CAM at each pixel, H×W of the dtype of `maps`, 0 where there is no class.

        Computed once; many times faster than `maps.max(axis=0)`.
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
        """The same image with other maps, of the same shapes, and of the same dtypes or float16."""
        return replace(self, maps=maps, strided=strided, kept=kept)


@dataclass(frozen=True)
class Profile:
    """A pipeline: the layout of its files, and its own numbers.

    Registered in the entry-point group `c2am_plugin.profiles`, alone or in a list. Needs no class.

    name              what `--method` takes, e.g. "seam"; "seam:coco" for its numbers on COCO
    layout            the adapter that reads its files, a name of the group `c2am_plugin.adapters`
    background_score  t in (0, 1), the constant that the pipeline compares its CAMs with. None: it
                      has none, or its files contain a background
    seeds             the numbers of the seeds that its next stage reads: "low_alpha", "high_alpha"
                      or "fg", "bg"; empty where it has none
    seed_folders      the folders of those seeds where they are not the layout's, with the numbers
                      in braces: "out_crf_{low_alpha:g}"
    crf               the setting of its dense CRF by name: "irn", "psa", "clip_es"
    source            where these numbers come from: repository, file, line

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

    name              what `--method` takes: the profile's, which the registry sets; the layout's
                      own where it has no profile
    family            adapters whose files cannot be told apart by content share a family name
    background_score  t in (0, 1), the constant background score that the pipeline compares its CAMs
                      with (None: it has none), as its profile gives it. An adapter without a
                      profile has its own, which may be called `threshold`

    Optional: `stores_background = True` where its files contain the background, so that `parse`
    gives `ImageCams.background`. `suffix` where its files are not `.npy`.

    Optional, for several files per image: `image_of(file id) -> image id` (None: not of this
    layout), `file_names(cams) -> names` beside each other, and `dump_files(cams, paths)`, which
    writes them exactly at these paths, instead of `dump`. `load` gets the path `<id><suffix>`.
    """

    name: str
    family: str
    background_score: float | None

    def fits(self, content: Any) -> bool:
        """Whether a file's content could be of this format (a file without classes fits many)."""

    def load(self, path: Path) -> Any:
        """The content of a file, read without running any code from it. Raises InputError."""

    def parse(self, content: Any, image_id: str, *, clip: bool = False) -> ImageCams:
        """A file's content as ImageCams. Raises InputError where it is not of this format.

        clip: NaN becomes 0 and values above 1 become 1; else both are refused. Values below 0 are
        read as 0.
        """

    def dump(self, cams: ImageCams, path: Path) -> None:
        """Write the maps into a file of the same layout as `cams.source`, exactly at `path`.

        Without a source: a file as the pipeline itself writes it.
        """


@runtime_checkable
class SeedAdapter(CamAdapter, Protocol):
    """An adapter that also makes seeds: the files that its pipeline's next stage trains on.

    Optional: an adapter without these refines CAMs all the same.

    seed_settings  the numbers of that step by name, with the pipeline's own values
    seed_suffix    an image's seeds are files `<id><suffix>`, one in each of `seed_folders`
    """

    seed_settings: Mapping[str, float]
    seed_suffix: str

    def seed_folders(self, settings: Mapping[str, float]) -> tuple[str, ...]:
        """Folders below the one that the user names; "" is that one itself.

        settings: a value for each of `seed_settings`. Raises InputError where they make no sense.
        """

    def write_seeds(
        self,
        cams: ImageCams,
        photo: np.ndarray,
        settings: Mapping[str, float],
        paths: Sequence[Path],
    ) -> None:
        """Make one image's seeds and write them exactly at `paths`, one for each of the folders.

        photo: H×W×3 uint8 RGB, of the size of the CAMs. An image without a class is background.
        """

    def read_seeds(self, paths: Sequence[Path]) -> np.ndarray:
        """The label uint8 H×W that the next stage trains on: 0, c + 1 for class c, 255 ignored."""


def read_cams(adapter: CamAdapter, path: Path, image_id: str, *, clip: bool = False) -> ImageCams:
    """The CAMs of one file.

    adapter: of the file's pipeline, see `get_adapter`. path: the file. image_id: its image's.
    clip: accept values above 1 and NaN by clipping. Raises InputError, with the file's name.

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
    """t: the one that is given, or the adapter's own.

    Where the files contain their background, `ImageCams.score` is t, and this is `BROUGHT_TO`.
    Raises InputError where there is neither, or a number for files that have their own.
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
            f"{adapter.name} has no constant background score (its code looks for the best one "
            "with ground truth); give background_score, a number between 0 and 1"
        )
    return float(score)


def stored_scale(adapter: CamAdapter) -> float:
    """What the values of this adapter's files are divided by when they are read; 1 as a rule."""
    return float(getattr(adapter, "file_scale", 1.0))


def is_binary(adapter: CamAdapter) -> bool:
    """Whether its files have no other values than 0 and the scale (`files.cam_values`)."""
    return bool(getattr(adapter, "binary", False))


def clip_maps(maps: np.ndarray) -> np.ndarray:
    """Floating maps of any range → the same shape and dtype in [0, 1]; NaN becomes 0.

    What is not floating, or one number, is no CAM, and stays as it is for `ImageCams` to refuse.
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
    """`maps` with rounding outside [0, 1] clipped; InputError for anything that is not a CAM."""
    if maps.ndim != 3 or len(maps) != n_classes:
        raise InputError(f"{image_id}: {name} is {maps.shape}, expected {n_classes} classes×H×W")
    if not np.issubdtype(maps.dtype, np.floating):
        raise InputError(f"{image_id}: {name} is {maps.dtype}, expected floating point")
    if maps.size == 0:
        if n_classes:
            raise InputError(f"{image_id}: {name} is {maps.shape}, which holds no pixel")
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
        f"{image_id}: {name} is no CAM in [0, 1]: {above} above 1, "
        f"{int(bad.sum())} NaN or infinite of {maps.size} (finite range {span}); "
        "normalise each class by its maximum, give the scale with `scale_by`, or accept them with "
        "`clip=True`"
    )


def value_span(values: np.ndarray) -> str:
    """The range of finite values for a message, with digits enough to tell it from 0 and 1."""
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
    """What is reported once about the files of a run that have values below 0."""
    return (
        f"{count} of {total} files{looked_at} have values below 0, as SEAM's normalisation leaves "
        "them; they are read as 0, as the pipeline's own argmax does"
    )


def content_of(content: Any) -> str:
    """What a file contains, for a message: its keys, and what stands under them."""
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
