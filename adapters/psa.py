"""PSA (Ahn and Kwak, CVPR 2018): `{0-based class: H×W}`, the layout of many pipelines.

Their numbers are in profiles.py. The seeds of PSA's AffinityNet take (1 − max)^α as the background,
for two values of α: train_aff's --la_crf_dir and --ha_crf_dir.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from c2am_plugin.cams import ImageCams
from c2am_plugin.errors import InputError

from .arrays import brief, by_layer, like, scaled, stack, to_array
from .npy import TorchArray, load_npy, save_npy
from .seed_kinds import Seeds

__all__ = ["PsaAdapter"]

# The number of files that shows that every file of a folder has key 0.
ENOUGH = 3
log = logging.getLogger("c2am_plugin")


class PsaAdapter(Seeds):
    name = "psa"
    family = "dict"
    # The divisor of the stored values, and whether they are 0 and the divisor alone.
    file_scale: float = 1.0
    binary: bool = False
    # Whether this folder's maps may sum to 1 without being CRF dumps.
    softmax: bool = False

    def load(self, path: Path) -> Any:
        return load_npy(path)

    def fits(self, content: Any) -> bool:
        return isinstance(content, dict) and all(_class_of(key) is not None for key in content)

    def look_at(self, contents: Sequence[Any], folder: Path, named: bool) -> None:
        """Learn from some files of a folder what their key 0 means.

        In a CRF dump key 0 is the background, in every file, and all channels sum to 1. Softmax
        maps of two classes also sum to 1. They are recognised by other files without key 0, or by a
        method that the user named for a folder whose name does not contain "crf". A warning reports
        a key 0 in every file whose channels do not sum to 1.
        """
        dicts = [each for each in contents if self.fits(each) and each]
        with_zero = [each for each in dicts if 0 in each]
        always = len(with_zero) == len(dicts)
        named_crf = any("crf" in part.lower() for part in folder.parts[-2:])
        self.softmax = not always or (named and not named_crf)
        several = [each for each in dicts if len(each) > 1]
        if always and len(several) == len(dicts) >= ENOUGH:
            log.warning(
                "every file has key 0 beside other keys; if key 0 is the background (as HSC_WSSS "
                "stores it), the classes begin at 1 and all labels here are wrong; expected only "
                "0-based classes"
            )

    def parse(self, content: Any, image_id: str, *, clip: bool = False) -> ImageCams:
        if not self.fits(content):
            is_dict = isinstance(content, dict)
            found = f"keys {brief(list(content))}" if is_dict else type(content).__name__
            raise InputError(
                f"{image_id}: contains {found}; expected {{class: CAM H×W}}, PSA's layout"
            )
        layers = [to_array(image_id, f"class {key}", layer) for key, layer in content.items()]
        shapes = {layer.shape for layer in layers}
        if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
            raise InputError(
                f"{image_id}: CAMs of shapes {brief(sorted(shapes))}; expected one H×W"
            )
        maps = stack(image_id, layers) if layers else np.zeros((0, 0, 0), np.float32)
        if 0 in content and not self.softmax and _is_crf_dump(maps):
            raise InputError(
                f"{image_id}: is a CRF dump (key 0 is the background and all channels sum to 1), "
                "as in out_la_crf and out_ha_crf; give the folder of the CAMs (PSA's --out_cam), "
                "or the `method` by name if these are softmax maps of two classes"
            )
        class_ids = np.array([_class_of(key) for key in content], np.int64)
        return ImageCams(image_id, class_ids, scaled(maps, self.file_scale, clip), None, content)

    def dump(self, cams: ImageCams, path: Path) -> None:
        if cams.source is None:
            save_npy(path, dict(zip(cams.class_ids.tolist(), cams.maps, strict=True)))
            return
        content = cams.source.copy()  # a dict of the same class
        layers = zip(cams.source.items(), cams.maps, by_layer(cams.kept[0], cams.maps), strict=True)
        for (key, old), new, stays in layers:
            content[key] = like(old, new, stays, self.file_scale)
        save_npy(path, content)


def _class_of(key: Any) -> int | None:
    """The class that a key names: any type of integer. None for other keys."""
    value = key.array.item() if isinstance(key, TorchArray) and key.array.ndim == 0 else key
    is_int = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return int(value) if is_int and abs(int(value)) < 2**31 else None


def _is_crf_dump(maps: np.ndarray) -> bool:
    return bool(maps.size and np.abs(maps.sum(axis=0) - 1).max() < 1e-3)
