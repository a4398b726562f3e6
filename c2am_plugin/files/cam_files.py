"""The files of one image's CAMs: their names, and how they are written atomically.

Most layouts store an image in one file, `<id><suffix>`. In a layout with several files per image
(`image_of`, see `CamAdapter`) that path represents all of them and need not exist.
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
    """The suffix of a layout's files, in lower case; ".npy" by default."""
    return str(getattr(adapter, "suffix", ".npy"))


def group_of(adapter: CamAdapter) -> Any:
    """The layout's `image_of` if it stores an image in several files, else None."""
    return getattr(adapter, "image_of", None)


def files_of_layouts(folder: str | Path, layouts: Sequence[CamAdapter]) -> dict[str, Path]:
    """{image id: path} for the first of these layouts' suffixes that occurs in the folder.

    Layouts with several files per image are tried last. The result is empty where no layout has a
    file. Raises InputError as `find_files` does.
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
    """The path of an image's CAMs below a folder, in this layout."""
    return folder / f"{image_id}{suffix_of(adapter)}"


def write_cams(adapter: CamAdapter, cams: ImageCams, folder: Path) -> None:
    """Write one image's CAMs below a folder, each file atomically. Raises OutputError."""
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
    """Copy the files of one image's CAMs below a folder, each atomically."""
    path = cam_path(adapter, folder, cams.image_id)
    several: Any = adapter
    names = [path.name] if group_of(adapter) is None else several.file_names(cams)
    for name in names:
        origin = source if group_of(adapter) is None else source.with_name(name)
        with atomic_path(path.with_name(name)) as temporary:
            shutil.copyfile(origin, temporary)
