"""WSSS-BED (2024): one 8-bit grey PNG per class, `<id>_<c>.png`, value / 255, c from 0.

Its published folders contain the CAMs of OAA, MCIS, DRS, EDAM, EPS, L2G and plain CAM. WSSS-BED
takes the classes of an image from a list of the data set; this adapter takes them from the existing
files. 8 bits are coarse: writing may move a value within half of 1/255 of a background score across
it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from c2am_plugin.cams import ImageCams
from c2am_plugin.errors import InputError
from c2am_plugin.files.image_files import open_image

from .seed_kinds import Seeds

__all__ = ["WsssBedAdapter"]

# A class has no leading zeros: "2007_000032" is an image, "2007_000032_14" is its class 14.
NAME = re.compile(r"(.+)_(0|[1-9]\d{0,2})")
MOST_CLASSES = 254


class WsssBedAdapter(Seeds):
    name = "wsss_bed"
    family = "wsss_bed"
    background_score: float | None = None
    suffix = ".png"

    def image_of(self, file_id: str) -> str | None:
        """The image id of a file's name without suffix; None where the name has no class."""
        found = NAME.fullmatch(file_id)
        return found[1] if found and int(found[2]) < MOST_CLASSES else None

    def load(self, path: Path) -> dict[int, np.ndarray]:
        """{class: uint8 H×W} of the image <id>, for the path `<id>.png`."""
        files = {c: _file(path, c) for c in range(MOST_CLASSES)}
        found = {c: _read(file) for c, file in files.items() if file.exists()}
        if not found:
            raise InputError(f"{path}: has no file per class, {path.stem}_<class>.png")
        return found

    def fits(self, content: Any) -> bool:
        """Whether the content is {class: uint8 H×W}.

        An image without a class has no file here, so an empty dict has another layout.
        """
        return (
            isinstance(content, dict)
            and bool(content)
            and all(
                isinstance(key, int)
                and isinstance(layer, np.ndarray)
                and layer.dtype == np.uint8
                and layer.ndim == 2
                for key, layer in content.items()
            )
        )

    def parse(self, content: Any, image_id: str, *, clip: bool = False) -> ImageCams:
        if not self.fits(content):
            raise InputError(f"{image_id}: expected {{class: uint8 H×W}}, one grey PNG per class")
        if len(shapes := {layer.shape for layer in content.values()}) > 1:
            found = f"its classes have the sizes {sorted(shapes)}"
            raise InputError(f"{image_id}: {found}; expected one size")
        maps = np.stack(list(content.values())) / np.float32(255)
        return ImageCams(image_id, np.array(list(content), np.int64), maps, None, content)

    def dump(self, cams: ImageCams, path: Path) -> None:
        self.dump_files(cams, [_file(path, c) for c in cams.class_ids.tolist()])

    def file_names(self, cams: ImageCams) -> list[str]:
        """The names of an image's files, which are all in one folder."""
        path = Path(cams.image_id + self.suffix)
        return [_file(path, c).name for c in cams.class_ids.tolist()]

    def dump_files(self, cams: ImageCams, paths: Sequence[Path]) -> None:
        """Write one PNG per class exactly at these paths."""
        for layer, path in zip(cams.maps, paths, strict=True):
            grey = np.rint(layer.astype(np.float64) * 255).astype(np.uint8)
            Image.fromarray(grey).save(path, format="PNG")


def _file(path: Path, class_id: int) -> Path:
    return path.with_name(f"{path.stem}_{class_id}.png")


def _read(path: Path) -> np.ndarray:
    with open_image(path, "a CAM in 8-bit grey") as image:
        if image.mode not in ("L", "RGB"):
            raise InputError(f"{path}: has the image mode {image.mode}; expected 8-bit grey")
        return np.asarray(image.convert("L"))
