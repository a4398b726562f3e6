"""Between stored values and arrays: what a file holds → numpy, and numpy → the same again.

`KeyedAdapter` is the layout that PuzzleCAM and IRN's descendants share: class ids under "keys" and
the CAMs as arrays under other names, at the image's size and at a quarter of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from c2am_plugin.cams import ImageCams, clip_maps
from c2am_plugin.errors import InputError

from .arrays import brief, like, shrink, to_array
from .npy import TorchArray, load_npy, save_npy
from .seed_kinds import Seeds

__all__ = ["KeyedAdapter"]


class KeyedAdapter(Seeds):
    """`{"keys": class ids, "cam": K×⌈H/4⌉×⌈W/4⌉, <full>: K×H×W}`, arrays, tensors or lists."""

    name: str
    family: str
    # The keys that may hold the CAMs at the image's size, the pipeline's own first.
    full_names: tuple[str, ...]
    # Whether "keys" begins with a 0 for the background and is 1-based after it.
    background_first: bool

    def load(self, path: Path) -> Any:
        return load_npy(path)

    def fits(self, content: Any) -> bool:
        if not isinstance(content, dict) or (content and "keys" not in content):
            return False
        if not content:
            return True
        try:
            keys, channels = self._keys("", content), self._channels(content)
        except InputError:
            return False
        if len(keys) == 0:
            return not self.background_first and channels in (0, None)
        if self.background_first:
            return bool(keys[0] == 0) and len(keys) == (channels or 0) + 1
        return len(keys) == (channels or 0) or (channels is None and keys.tolist() == [0])

    def parse(self, content: Any, image_id: str, *, clip: bool = False) -> ImageCams:
        if not self.fits(content):
            raise InputError(f"{image_id}: {self._found(content)}; {self._expected()}")
        _, maps = self._full(image_id, content)
        strided = content.get("cam")
        if maps is None and strided is not None and self._channels(content):
            raise InputError(f"{image_id}: has the small cam but no {self.full_names[0]}")
        if maps is None:
            no_class = np.zeros(0, np.int64)
            return ImageCams(image_id, no_class, np.zeros((0, 0, 0), np.float32), None, content)
        small = None if strided is None else to_array(image_id, "cam", strided)
        if clip:
            maps, small = clip_maps(maps), None if small is None else clip_maps(small)
        keys = self._keys(image_id, content)
        class_ids = keys[1:] - 1 if self.background_first else keys
        return ImageCams(image_id, class_ids, maps, small, content)

    def dump(self, cams: ImageCams, path: Path) -> None:
        content = self._fresh(cams) if cams.source is None else cams.source.copy()
        name, maps = self._full(cams.image_id, content)
        if maps is not None:
            content[name] = like(content[name], cams.maps)
        if cams.strided is not None:
            content["cam"] = like(content["cam"], cams.strided)
        save_npy(path, content)

    def _fresh(self, cams: ImageCams) -> dict[str, Any]:
        """The layout of the pipeline's own files, for CAMs that come from elsewhere."""
        keys: Any = np.array([0, *(cams.class_ids + 1)], np.int64)
        if not self.background_first:
            keys = TorchArray(cams.class_ids)
        strided = shrink(cams.maps) if cams.strided is None else cams.strided
        return {"keys": keys, "cam": TorchArray(strided), self.full_names[0]: cams.maps}

    def _keys(self, image_id: str, content: dict[str, Any]) -> np.ndarray:
        keys = to_array(image_id, "keys", content["keys"])
        if keys.ndim != 1 or (keys.size and keys.dtype.kind not in "iu"):
            raise InputError(f"{image_id}: keys are {keys.dtype} {keys.shape}; expected int [K]")
        return keys.astype(np.int64)

    def _full(self, image_id: str, content: dict[str, Any]) -> tuple[str, np.ndarray | None]:
        for name in self.full_names:
            if content.get(name) is not None:
                return name, to_array(image_id, name, content[name])
        return "", None

    def _channels(self, content: dict[str, Any]) -> int | None:
        """How many CAMs a file holds; None where it has keys alone."""
        for name in (*self.full_names, "cam"):
            if content.get(name) is not None:
                maps = to_array("", name, content[name])
                return len(maps) if maps.ndim else -1
        return None

    def _found(self, content: Any) -> str:
        if not isinstance(content, dict):
            return f"holds {type(content).__name__}"
        if "keys" not in content:
            return f"holds keys {brief(list(content))}"
        keys = getattr(content["keys"], "array", content["keys"])
        keys = keys.tolist() if isinstance(keys, np.ndarray) else keys
        return f"keys {brief(keys)} with {brief(list(content))}"

    def _expected(self) -> str:
        layout = "[0, c+1 …]" if self.background_first else "[c …]"
        return f"expected {self.name}'s keys {layout}, {self.full_names[0]} K×H×W and cam"
