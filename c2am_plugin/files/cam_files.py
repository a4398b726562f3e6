"""The files of one image's CAMs: how they are called, and how they are written as a whole.

Most layouts keep an image in one file, `<id><suffix>`. For a layout of several files per image
(`image_of`, see `CamAdapter`) that path stands for all of them, and need not exist.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..cams import CamAdapter, ImageCams
from .folders import find_files
from .writing import atomic_path

__all__ = ["cam_path", "copy_cams", "files_of_layouts", "group_of", "suffix_of", "write_cams"]


def suffix_of(adapter: CamAdapter) -> str:
    """The end of the names of a layout's files, in lower case; ".npy" by default."""
    return str(getattr(adapter, "suffix", ".npy"))


def group_of(adapter: CamAdapter) -> Any:
    """The layout's `image_of` where it keeps an image in several files, else None."""
    return getattr(adapter, "image_of", None)


def files_of_layouts(folder: str | Path, layouts: Sequence[CamAdapter]) -> dict[str, Path]:
    """{image id: path} of the first of these layouts' suffixes that the folder has files of.

    A layout of several files per image comes into question where there are none of the others.
    Empty where there are none at all. Raises InputError as `find_files` does.
    """
    kinds = {(group_of(each) is not None, suffix_of(each)): each for each in reversed(layouts)}
    for (grouped, suffix), adapter in sorted(kinds.items(), key=lambda kind: kind[0][0]):
        found: Mapping[str, Path] = find_files(folder, (suffix,))
        if grouped:
            found = _grouped(found, adapter)
        if found:
            return dict(found)
    return {}


def _grouped(found: Mapping[str, Path], adapter: CamAdapter) -> dict[str, Path]:
    image_of, images = group_of(adapter), {}
    for file_id, path in found.items():
        if image_id := image_of(file_id):
            images[image_id] = path.with_name(image_of(path.stem) + suffix_of(adapter))
    return dict(sorted(images.items()))


def cam_path(adapter: CamAdapter, folder: Path, image_id: str) -> Path:
    """Where a layout keeps an image's CAMs below a folder."""
    return folder / f"{image_id}{suffix_of(adapter)}"


def write_cams(adapter: CamAdapter, cams: ImageCams, folder: Path) -> None:
    """Write one image's CAMs below a folder, each file whole or not at all. Raises OutputError."""
    path = cam_path(adapter, folder, cams.image_id)
    if group_of(adapter) is None:
        with atomic_path(path) as temporary:
            adapter.dump(cams, temporary)
        return
    several: Any = adapter
    with ExitStack() as stack:
        names = several.file_names(cams)
        paths = [stack.enter_context(atomic_path(path.with_name(name))) for name in names]
        several.dump_files(cams, paths)


def copy_cams(adapter: CamAdapter, cams: ImageCams, source: Path, folder: Path) -> None:
    """Copy the files of one image's CAMs below a folder, each whole or not at all."""
    path = cam_path(adapter, folder, cams.image_id)
    several: Any = adapter
    names = [path.name] if group_of(adapter) is None else several.file_names(cams)
    for name in names:
        origin = source if group_of(adapter) is None else source.with_name(name)
        with atomic_path(path.with_name(name)) as temporary:
            shutil.copyfile(origin, temporary)
