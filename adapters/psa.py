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
from .npy import load_npy, save_npy
from .seed_kinds import Seeds

__all__ = ["PsaAdapter"]


class PsaAdapter(Seeds):
    name = "psa"
    family = "dict"

    def load(self, path: Path) -> Any:
        return load_npy(path)

    def fits(self, content: Any) -> bool:
        return isinstance(content, dict) and all(_is_class(key) for key in content)

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
        class_ids = np.array([int(key) for key in content], np.int64)
        return ImageCams(image_id, class_ids, clip_maps(maps) if clip else maps, None, content)

    def dump(self, cams: ImageCams, path: Path) -> None:
        stored = cams.source
        if stored is None:
            stored = dict(zip(cams.class_ids.tolist(), cams.maps, strict=True))
        layers = zip(stored.items(), cams.maps, strict=True)
        save_npy(path, type(stored)((key, like(old, new)) for (key, old), new in layers))


def _is_class(key: Any) -> bool:
    is_int = isinstance(key, (int, np.integer)) and not isinstance(key, bool)
    return is_int and abs(int(key)) < 2**31


def _is_crf_dump(maps: np.ndarray) -> bool:
    return bool(maps.size and np.abs(maps.sum(axis=0) - 1).max() < 1e-3)
