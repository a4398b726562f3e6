"""Determines before a run, from a sample of its images, what the values of a folder mean.

A 12-bit image in a 16-bit file, a mask of 0 and 1, or a mask in the alpha channel can be misread
without an error. A folder whose values have one meaning is read accordingly, which is reported. A
folder whose values are ambiguous is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..cams import ROUNDING
from ..errors import InputError
from .colours import alpha_of, mask_of_colours, without_black
from .cues import CueForm, stored_pixels
from .folders import plain_file, sample
from .image_files import open_image
from .labels import IGNORE, read_label

__all__ = ["LEAST_CLASSES", "check_labels", "check_photos", "cue_form", "full_of_16_bits"]

log = logging.getLogger("c2am_plugin")

SAMPLE = 16
# Class indices are low: COCO's go up to 90. An image with more values than MOST_CLASSES is grey.
TOP_CLASS, MOST_CLASSES = 90, 12
# If this many labels show one class alone, the set has one class.
LEAST_CLASSES = 3
LOSSY = (".jpg", ".jpeg", ".webp")


class Stored(NamedTuple):
    """A sampled cue: its path, its distinct values, and the value of 1 in its file type."""

    path: Path
    values: np.ndarray
    natural: float


def cue_form(
    paths: Sequence[Path],
    folder: str | Path,
    *,
    flip: bool = False,
    stretch: bool = False,
    read_map: Callable[[Path], np.ndarray] | None = None,
) -> CueForm:
    """How to read the cues of a folder, determined from a sample of them.

    Reports unusual values with one meaning. Raises InputError for ambiguous values, and where most
    of the sample are not cues.
    """
    some = sample(paths, SAMPLE)
    alpha = _mask_in_alpha(some, folder)
    maps = any(_holds_objects(path) for path in some) and read_map is not None
    form = CueForm(flip=flip, alpha=alpha, stretch=stretch, maps=maps, read_map=read_map)
    found: list[Stored] = []
    errors: list[InputError] = []
    for path in some:
        try:
            pixels, natural = stored_pixels(path, form)
        except InputError as error:
            # An error with a cause means a damaged file, which the run reports.
            errors += [] if error.__cause__ else [error]
        else:
            found.append(Stored(path, np.unique(pixels), natural))
    if len(errors) > 2 * len(found):
        raise errors[0]
    _refuse_no_black(some, folder, form)
    return replace(form, full=_full(found, folder))


def full_of_16_bits(top: float) -> float:
    """The value of white in a 16-bit image whose highest value is `top`, by the bits in use.

    >>> [full_of_16_bits(top) for top in (200, 4000, 60000)]
    [255.0, 4095.0, 65535.0]
    """
    return next((float(full) for full in (255, 4095) if top <= full), 65535.0)


def check_photos(paths: Sequence[Path], folder: str | Path) -> None:
    """Report photographs with 8 or 12 bits in 16-bit files, which `read_photo` scales to 8 bits.

    Raises InputError for labels in place of photographs, and for values that Pillow has truncated.
    """
    tops: dict[str, list[float]] = {"deep": [], "cut": [], "plain": []}
    labels = 0
    for path in (some := sample(paths, SAMPLE)):
        try:
            with open_image(path) as image:
                deep = any("16" in str(each[3]) for each in getattr(image, "tile", ()))
                mode, pixels = image.mode, np.asarray(image)
        except InputError:
            continue  # the run reports it
        kind = "deep" if mode.startswith("I") else "cut" if deep else "plain"
        tops[kind].append(float(pixels.max()))
        labels += mode in ("P", "L") and _like_classes([np.unique(pixels)])
    if labels == len(some) > 0:
        raise InputError(
            f"{folder}: the images have only a few low values each, like labels; expected "
            "photographs"
        )
    if tops["cut"] and max(tops["cut"]) <= 15:
        raise InputError(
            f"{folder}: the 16-bit colour images use at most 12 bits, so they are read as almost "
            "black; save them with 8 bits"
        )
    if len(tops["plain"]) == len(some) > 0 and max(tops["plain"]) == 1:
        raise InputError(
            f"{folder}: the images have no value above 1, so they are black; expected 0 to 255; "
            "multiply by 255 before saving"
        )
    if tops["deep"] and 0 < max(tops["deep"]) <= 4095:
        full = full_of_16_bits(max(tops["deep"]))
        log.info(
            "%s: the 16-bit images have values up to %d, so %d is taken as white",
            folder,
            max(tops["deep"]),
            full,
        )


def check_labels(paths: Sequence[Path], folder: str | Path, n_classes: int | None = None) -> None:
    """Refuse ground truth of 0 and 255 alone, and warn of one class where more are expected.

    n_classes: the length of the class list, with the background.
    """
    seen: set[int] = set()
    count = 0
    for path in sample(paths, SAMPLE):
        try:
            seen |= set(np.unique(read_label(path)).tolist())
            count += 1
        except InputError:
            continue  # the run reports it
    if seen == {0, IGNORE}:
        raise InputError(
            f"{folder}: {count} labels contain no class: their values are 0 and 255, and 255 is "
            "ignored; store masks as 0 and 1"
        )
    if count >= LEAST_CLASSES and n_classes and n_classes > 2 and 1 in seen <= {0, 1, IGNORE}:
        log.warning(
            "%s: the only values are 0 and 1, the first of %d classes; for masks of one class, "
            "name two in `classes` (background and that class)",
            folder,
            n_classes - 1,
        )


def _holds_objects(path: Path) -> bool:
    """Whether a `.npy` file is a pickle, as the stored maps of C2AM are."""
    if path.suffix.lower() != ".npy":
        return False
    try:
        with open(path, "rb", opener=plain_file) as file:
            return b"|O" in file.read(256)
    except OSError:
        return False


def _full(found: Sequence[Stored], folder: str | Path) -> float | None:
    """The value of certain foreground; None if it is the file type's own."""
    naturals = {each.natural for each in found}
    if len(naturals) != 1 or any(each.path.suffix.lower() in LOSSY for each in found):
        return None
    natural, values = naturals.pop(), np.unique(np.concatenate([each.values for each in found]))
    low, top = float(values[0]), float(values[-1])
    floating = values.dtype.kind == "f"
    full = _full_of_floats(low, top) if floating else _full_of_integers(found, values, natural)
    if full == 0:
        raise InputError(
            f"{folder}: cue values {low:.8g} to {top:.8g} in {len(found)} files are ambiguous; "
            "rescale them so that 0 is background and the highest value of the file type is "
            "foreground (255; 1 in .npy files; apply a sigmoid to logits)"
        )
    if full not in (None, natural):
        log.info("%s: cue values up to %.8g, so %g is taken as foreground", folder, top, full)
    elif not floating and found[0].path.suffix.lower() == ".npy":
        return natural
    return None if full == natural else full


def _full_of_floats(low: float, top: float) -> float | None:
    if not low >= 0 or not np.isfinite(top):
        return 0
    if top <= 1 + ROUNDING:
        return None
    for full in (100.0, 255.0, 4095.0, 65535.0):
        if top == full:
            return full
    return 255.0 if 128 <= top < 255 else 0


def _full_of_integers(found: Sequence[Stored], values: np.ndarray, natural: float) -> float | None:
    top = float(values[-1])
    if top == 0 or values[0] < 0:
        return None if top == 0 else 0
    if len(values) == 2 and values[0] == 0 and top <= TOP_CLASS:
        return top
    if top == 1:
        return 1.0
    if _like_classes([each.values for each in found]):
        raise InputError(
            f"{found[0].path.parent}: the cues look like labels: their values are class indices "
            f"({', '.join(str(value) for value in values[:5])} …); expected 255 = foreground"
        )
    if natural == 255:
        percent = top == 100 and all(each.values[-1] == top for each in found) and len(found) > 2
        return 100.0 if percent else None
    if natural == 1 or top in (1023, 16383):
        return {255.0: 255.0, 1023.0: 1023.0, 16383.0: 16383.0, 65535.0: 65535.0}.get(top, 0)
    full = full_of_16_bits(top)
    return 0 if 255 < top < 1023 else full


def _like_classes(pictures: Iterable[np.ndarray]) -> bool:
    """Whether the distinct values of each image are few and low, and more than 0 and one other."""
    kept = [values[(values != IGNORE) & (values != 2**16 - 1)] for values in pictures]
    every = np.unique(np.concatenate(kept))
    few = all(len(values) <= MOST_CLASSES for values in kept)
    return bool(few and len(every) > 1 and every[-1] <= TOP_CLASS)


def _mask_in_alpha(paths: Sequence[Path], folder: str | Path) -> bool:
    """Whether the alpha channel is the mask: it varies, and the colours are constant or a photo."""
    used = False
    for path in paths:
        if path.suffix.lower() == ".npy":
            continue
        try:
            with open_image(path) as image:
                found = alpha_of(image)
        except InputError:
            continue
        if found is None:
            continue
        alpha, colours = found
        if np.array_equal(mask_of_colours(colours), alpha):
            continue
        if not _alpha_alone(alpha, colours):
            raise InputError(
                f"{path}: its colours and its alpha channel both vary, but only one can be the "
                "mask; save the mask as a grey PNG"
            )
        used = True
    if used:
        log.info("%s: the mask of each cue is read from its alpha channel", folder)
    return used


def _alpha_alone(alpha: np.ndarray, colours: np.ndarray) -> bool:
    if not (colours != colours[:1, :1]).any():
        return True
    photograph = len(np.unique(colours.reshape(-1, 3), axis=0)) > 256
    same = (mask_of_colours(colours) > 127) == (alpha > 127)
    return photograph or bool(same.mean() > 0.99)


def _refuse_no_black(paths: Sequence[Path], folder: str | Path, form: CueForm) -> None:
    """Refuse images in colours without black (matplotlib's purple and yellow): no background."""
    bare = 0
    for path in paths:
        if path.suffix.lower() == ".npy":
            return
        try:
            with open_image(path) as image:
                if image.mode not in ("P", "RGB", "RGBA") or form.alpha:
                    return
                bare += without_black(np.asarray(image.convert("RGB")))
        except InputError:
            continue
    if paths and bare == len(paths):
        raise InputError(
            f"{folder}: the cues have colours and no black pixel, so none of them has background "
            "(a colour map?); expected grey cues (255 = foreground); save the mask itself"
        )
