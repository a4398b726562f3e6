"""PSA (Ahn and Kwak, CVPR 2018): `{0-based class: H×W}`, which many pipelines store.

Their numbers differ, see profiles.py. PSA's AffinityNet seeds take the background from
(1 − max)^α for two α: train_aff's --la_crf_dir and --ha_crf_dir.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from c2am_plugin.cams import ImageCams, clip_maps
from c2am_plugin.errors import InputError

from .arrays import brief, like, stack, to_array
from .npy import TorchArray, load_npy, save_npy
from .seed_kinds import Seeds

__all__ = ["PsaAdapter"]


class PsaAdapter(Seeds):
    name = "psa"
    family = "dict"

    def load(self, path: Path) -> Any:
        return load_npy(path)

    def fits(self, content: Any) -> bool:
        return isinstance(content, dict) and all(_class_of(key) is not None for key in content)

    def parse(self, content: Any, image_id: str, *, clip: bool = False) -> ImageCams:
        if not self.fits(content):
            is_dict = isinstance(content, dict)
            found = f"keys {brief(list(content))}" if is_dict else type(content).__name__
            raise InputError(
                f"{image_id}: holds {found}; expected {{class: CAM H×W}} as PSA stores"
            )
        layers = [to_array(image_id, f"class {key}", layer) for key, layer in content.items()]
        shapes = {layer.shape for layer in layers}
        if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
            raise InputError(
                f"{image_id}: CAMs of shapes {brief(sorted(shapes))}; expected one H×W"
            )
        maps = stack(image_id, layers) if layers else np.zeros((0, 0, 0), np.float32)
        if 0 in content and _is_crf_dump(maps):
            raise InputError(
                f"{image_id}: is a CRF dump (key 0 is the background and all channels sum to 1), "
                "as in out_la_crf and out_ha_crf; give the folder of the CAMs (PSA's --out_cam)"
            )
        class_ids = np.array([_class_of(key) for key in content], np.int64)
        return ImageCams(image_id, class_ids, clip_maps(maps) if clip else maps, None, content)

    def dump(self, cams: ImageCams, path: Path) -> None:
        if cams.source is None:
            save_npy(path, dict(zip(cams.class_ids.tolist(), cams.maps, strict=True)))
            return
        content = cams.source.copy()  # of the same class, whatever kind of dict it is
        for (key, old), new in zip(cams.source.items(), cams.maps, strict=True):
            content[key] = like(old, new)
        save_npy(path, content)


def _class_of(key: Any) -> int | None:
    """The class that a key names, an integer of any kind; None where it names none."""
    value = key.array.item() if isinstance(key, TorchArray) and key.array.ndim == 0 else key
    is_int = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return int(value) if is_int and abs(int(value)) < 2**31 else None


def _is_crf_dump(maps: np.ndarray) -> bool:
    return bool(maps.size and np.abs(maps.sum(axis=0) - 1).max() < 1e-3)
