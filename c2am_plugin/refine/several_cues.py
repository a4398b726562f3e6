"""Several folders of cues for one set of CAMs: which are different, and how several become one.

The cues of an image are combined to a weighted mean of their log-odds; the calibration then finds
what that mean is worth. The weights come from one regression (`shares.cue_shares`), so cues
that repeat each other do not count twice, and cues without information of their own count nothing.
"""

from __future__ import annotations

import filecmp
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..files.cue_folders import find_cues
from ..files.cues import PLAIN, CueForm, is_soft_cue, read_cue, resize_cue, same_aspect
from ..registry import MapReader
from .calibration import LEVELS, cue_level, level_log_odds

__all__ = ["CueFolder", "CueReading", "cue_folders", "find_cue_folders"]

log = logging.getLogger("c2am_plugin")


class CueFolder(NamedTuple):
    """One folder of cues: {image id: file}, and how its files are read."""

    path: Path
    files: Mapping[str, Path]
    form: CueForm


@dataclass(frozen=True)
class CueReading:
    """How the cue of an image is read from its files, one from each folder.

    forms   of the folders, in their order
    shares  weights of their log-odds, sum 1; 0 ignores a folder. All 0: undecided everywhere
    """

    forms: tuple[CueForm, ...] = (PLAIN,)
    shares: tuple[float, ...] = (1.0,)

    @classmethod
    def of(cls, forms: Sequence[CueForm]) -> CueReading:
        """Of these folders, with equal shares."""
        return cls(tuple(forms), (1 / len(forms),) * len(forms))

    @property
    def form(self) -> CueForm:
        """Of the first folder; `flip` and `stretch` are the same for all."""
        return self.forms[0]

    @property
    def used(self) -> list[int]:
        """The places of the folders that count; where none does, all are read."""
        some = [place for place, share in enumerate(self.shares) if share]
        return some or list(range(len(self.shares)))

    def alone(self) -> list[CueReading]:
        """A reading of each folder by itself."""
        rows = np.eye(len(self.forms)).tolist()
        return [replace(self, shares=tuple(row)) for row in rows]

    def __call__(self, cues: Sequence[Path], shape: tuple[int, ...]) -> np.ndarray:
        """b of an image with CAMs of H×W, float32 in [0, 1], 1 = surely background.

        cues: its files. Has the size of the largest cue, or of the CAMs where the form stretches.
        Raises InputError, with the file's name.
        """
        return self.join(self.each(cues, shape))

    def each(self, cues: Sequence[Path], shape: tuple[int, ...]) -> list[np.ndarray]:
        """The cues that count, by themselves, all of one size."""
        paths = [cues[place] for place in self.used]
        read = [
            read_cue(path, form=self.forms[place])
            for place, path in zip(self.used, paths, strict=True)
        ]
        if len(read) == 1 and not self.form.stretch:
            return read  # used as stored; where it does not fit, the run names it
        size = max((cue.shape for cue in read), key=lambda each: (each[0] * each[1], each))
        if self.form.stretch and 0 not in shape:
            size = shape
        return [
            _fitted(path, cue, (size[0], size[1]), shape, self.form.stretch)
            for path, cue in zip(paths, read, strict=True)
        ]

    def join(self, cues: Sequence[np.ndarray]) -> np.ndarray:
        """The cues that count, of one size → b with the weighted mean of their log-odds."""
        if len(cues) == 1:
            return cues[0]
        log_odds, total = level_log_odds(np.arange(LEVELS)), np.zeros(cues[0].shape)
        for place, cue in zip(self.used, cues, strict=True):
            total += (self.shares[place] * log_odds)[cue_level(cue)]
        return (1 / (1 + np.exp(total))).astype(np.float32)


def _fitted(
    path: Path, cue: np.ndarray, size: tuple[int, int], cam: tuple[int, ...], stretch: bool
) -> np.ndarray:
    try:
        if not stretch and 0 not in cam and not same_aspect(cue.shape, (cam[0], cam[1])):
            resize_cue(cue, (cam[0], cam[1]))  # tells why it does not fit
        return resize_cue(cue, size, stretch)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def cue_folders(cue_dir: str | Path | Sequence[str | Path]) -> list[Path]:
    """One folder, or a sequence of them, as paths; sorted, so that their order does not matter.

    A folder that is given twice counts once. Raises InputError where none is given.
    """
    given = [cue_dir] if isinstance(cue_dir, (str, Path)) else list(cue_dir)
    if not given:
        raise InputError("no cue folder is given; expected one or more in `cue_dir`")
    if len(given) == 1:
        return [Path(given[0])]
    by_place = {Path(each).resolve(): Path(each) for each in given}
    if len(by_place) < len(given):
        log.warning("a cue folder that is given twice counts once")
    return [by_place[place] for place in sorted(by_place)]


def find_cue_folders(
    folders: Sequence[Path],
    ids: Collection[str],
    *,
    flip: bool = False,
    stretch: bool = False,
) -> list[CueFolder]:
    """The cues of each folder under the spelling of `ids`; copies of another folder are left out.

    flip, stretch: see `CueForm`. Raises InputError as `find_cues` does.
    """
    found: list[CueFolder] = []
    for folder in folders:
        files, form = find_cues(folder, ids, flip=flip, stretch=stretch, read_map=MapReader.find())
        new = CueFolder(folder, files, form)
        same = next((each for each in found if _same_cues(each, new, ids)), None)
        if same:
            log.warning("%s contains the same cues as %s: they count once", folder, same.path)
        else:
            found.append(new)
    return found


def _same_cues(one: CueFolder, other: CueFolder, ids: Collection[str]) -> bool:
    """Whether two folders give every image the same cue. Ends at the first difference."""
    there = [[i for i in ids if i in each.files] for each in (one, other)]
    return there[0] == there[1] and all(
        _same_cue(one.files[i], other.files[i], one.form, other.form) for i in there[0]
    )


def _same_cue(one: Path, other: Path, form: CueForm, other_form: CueForm) -> bool:
    try:
        if form == other_form and filecmp.cmp(one, other, shallow=False):
            return True
        first, second = read_cue(one, form=form), read_cue(other, form=other_form)
    except (OSError, InputError):
        return False  # the run lists it
    if is_soft_cue(one) != is_soft_cue(other):
        return False
    return first.shape == second.shape and bool((cue_level(first) == cue_level(second)).all())
