"""The layout that most pipelines share: class ids under "keys" and the CAMs as arrays beside them.

`KeyedAdapter` contains what PuzzleCAM, IRN's descendants and many others have in common. Its
attributes describe how they differ; one small class per layout sets them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from c2am_plugin.cams import ImageCams, clip_maps
from c2am_plugin.errors import InputError

from .arrays import brief, like, scaled, shrink, to_array
from .npy import TorchArray, load_npy, save_npy
from .seed_kinds import Seeds

__all__ = ["KeyedAdapter"]


class KeyedAdapter(Seeds):
    """`{<keys>: class ids, <small>: channels×h×w, <full>: channels×H×W}`, arrays, tensors or lists.

    full_names, small_names  the keys of the CAMs at the image's size and of their second copy, the
                             key that the pipeline writes first
    foreign          keys that only other layouts have
    bare_keys        whether the file of an image without a class may be an empty dict or class ids
                     alone
    keys_name        the key of the class ids
    background_first whether the class ids begin with a 0 for the background and are 1-based after
                     it
    lead             the number of channels before those of the classes: 1 for a background, else 0
    stores_background  whether the pipeline compares its CAMs with that channel
    scale            the factor of the stored values: they are CAM × scale
    torch_keys, torch_small, full_type  containers and dtype of the pipeline's own files
    carried_names    keys of further arrays of three dimensions, which are carried over unchanged
    file_scale       a further divisor of one folder's values (`files.cam_values`)
    binary           whether that folder's values are 0 and the divisor alone
    """

    name: str
    family: str
    background_score: float | None = None
    full_names: tuple[str, ...]
    small_names: tuple[str, ...] = ("cam",)
    foreign: tuple[str, ...] = ()
    bare_keys = False
    keys_name = "keys"
    background_first = False
    lead = 0
    stores_background = False
    scale = 1.0
    torch_keys = False
    torch_small = True
    full_type: type = np.float32
    carried_names: tuple[str, ...] = ()
    file_scale: float = 1.0
    binary: bool = False

    def load(self, path: Path) -> Any:
        return load_npy(path)

    def save(self, path: Path, content: Any) -> None:
        save_npy(path, content)

    def fits(self, content: Any) -> bool:
        """Whether the content is of this layout and of no similar one."""
        if not self.reads(content) or any(name in content for name in self.foreign):
            return False
        if len(content) <= 1:
            return self.bare_keys
        return self._array("", content, self.full_names)[1] is not None

    def reads(self, content: Any) -> bool:
        """Whether `parse` can read the content."""
        if not isinstance(content, dict) or (content and self.keys_name not in content):
            return False
        if not content:
            return True
        if self._unknown(content):
            return False
        try:
            keys, channels = self._keys("", content), self._channels(content)
        except InputError:
            return False
        classes = None if channels is None else channels - self.lead
        if self.background_first:
            return len(keys) > 0 and bool(keys[0] == 0) and len(keys) == (classes or 0) + 1
        if len(keys) == 0:
            return channels in (0, None) or classes == 0
        return len(keys) == (classes or 0) or (channels is None and keys.tolist() == [0])

    def parse(self, content: Any, image_id: str, *, clip: bool = False) -> ImageCams:
        if not self.reads(content):
            raise InputError(f"{image_id}: {self._found(content)}; {self._expected()}")
        name, full = self._array(image_id, content, self.full_names)
        small_name, small = self._array(image_id, content, self.small_names)
        if full is None and small is not None and self._channels(content):
            raise InputError(f"{image_id}: has the small {small_name} but no {self.full_names[0]}")
        if full is None or len(full) <= self.lead:
            no_class = np.zeros(0, np.int64)
            shape = (0, 0, 0) if full is None else (0, *full.shape[1:])
            return ImageCams(image_id, no_class, np.zeros(shape, np.float32), None, content)
        maps, background = self._part(image_id, name, full, clip)
        strided, strided_background = None, None
        if small is not None:
            strided, strided_background = self._part(image_id, small_name, small, clip)
        keys = self._keys(image_id, content)
        return ImageCams(
            image_id,
            keys[1:] - 1 if self.background_first else keys,
            maps,
            strided,
            content,
            background,
            strided_background,
        )

    def _part(
        self, image_id: str, name: str, array: np.ndarray, clip: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Stored channels as CAMs and, with `stores_background`, the background."""
        array = scaled(array, self.file_scale, clip=False)
        if array.ndim != 3 or array.dtype.kind != "f":
            return array, None
        array = array / array.dtype.type(self.scale) if self.scale != 1 else array
        maps = array[self.lead :]
        maps = clip_maps(maps) if clip else maps
        if not self.stores_background:
            return maps, None
        background = array[0]
        if clip:
            background = clip_maps(background)
        elif background.size and not (background.min() >= 0 and background.max() <= 1):
            raise InputError(
                f"{image_id}: the background in {name} is outside [0, 1]; accept it with --clip"
            )
        return maps, np.minimum(background, np.nextafter(array.dtype.type(1), array.dtype.type(0)))

    def dump(self, cams: ImageCams, path: Path) -> None:
        content = self._fresh(cams) if cams.source is None else cams.source.copy()
        scale = 1.0 if cams.source is None else self.file_scale
        for names, maps, background, kept in (
            (self.full_names, cams.maps, cams.background, cams.kept[0]),
            (self.small_names, cams.strided, cams.strided_background, cams.kept[1]),
        ):
            name, stored = self._array(cams.image_id, content, names)
            if stored is not None and maps is not None and len(cams.class_ids):
                whole = self._whole(stored, maps, background)
                stays = np.zeros(whole.shape, bool)
                stays[self.lead :] = kept if background is None else False
                content[name] = like(content[name], whole, stays, scale, self.scale)
        self.save(path, content)

    def _whole(
        self, stored: np.ndarray, maps: np.ndarray, background: np.ndarray | None
    ) -> np.ndarray:
        """The channels to write: the stored background before the CAMs, at the stored scale."""
        if background is not None:
            maps = maps.astype(stored.dtype, copy=False)
        if self.scale != 1:
            maps = maps * maps.dtype.type(self.scale)
        if not self.lead:
            return maps
        lead = stored[: self.lead]
        if background is not None:
            # No CAM can exceed a background of 1: where a class wins, lower the background a step.
            limit = background * stored.dtype.type(self.scale)
            lead = np.where(maps.max(axis=0) > limit, np.minimum(lead, limit), lead)
        return np.concatenate([lead.astype(maps.dtype, copy=False), maps])

    def _fresh(self, cams: ImageCams) -> dict[str, Any]:
        """The content of a new file in this layout, for CAMs that come from elsewhere."""
        keys: Any = np.asarray(cams.class_ids, np.int64)
        if self.background_first:
            keys = np.array([0, *(keys + 1)], np.int64)
        content = {self.keys_name: TorchArray(keys) if self.torch_keys else keys}
        if self.small_names:
            strided = shrink(cams.maps) if cams.strided is None else cams.strided
            small = self._new(cams, strided, cams.strided_background)
            content[self.small_names[0]] = TorchArray(small) if self.torch_small else small
        full = self._new(cams, cams.maps, cams.background)
        content[self.full_names[0]] = full.astype(self.full_type, copy=False)
        return content

    def _new(self, cams: ImageCams, maps: np.ndarray, background: np.ndarray | None) -> np.ndarray:
        if self.lead:
            if background is None and self.stores_background:
                raise InputError(
                    f"{cams.image_id}: {self.name} stores a background, and these CAMs have none"
                )
            first = np.zeros(maps.shape[1:], maps.dtype) if background is None else background
            maps = np.concatenate([first[None].astype(maps.dtype), maps])
        return maps * maps.dtype.type(self.scale) if self.scale != 1 else maps

    def _keys(self, image_id: str, content: dict[str, Any]) -> np.ndarray:
        keys = to_array(image_id, self.keys_name, content[self.keys_name])
        if keys.ndim != 1 or (keys.size and keys.dtype.kind not in "iu"):
            raise InputError(f"{image_id}: keys are {keys.dtype} {keys.shape}; expected int [K]")
        return keys.astype(np.int64)

    def _array(
        self, image_id: str, content: dict[str, Any], names: tuple[str, ...]
    ) -> tuple[str, np.ndarray | None]:
        for name in names:
            if content.get(name) is not None:
                return name, to_array(image_id, name, content[name])
        return "", None

    def _unknown(self, content: dict[str, Any]) -> list[str]:
        """Keys that may contain the CAMs of another layout: arrays of three dimensions."""
        known = {self.keys_name, *self.full_names, *self.small_names, *self.carried_names}
        return [
            str(key)
            for key, value in content.items()
            if key not in known and getattr(getattr(value, "array", value), "ndim", 0) == 3
        ]

    def _channels(self, content: dict[str, Any]) -> int | None:
        """The number of channels in a file; None where it contains keys alone."""
        for name in (*self.full_names, *self.small_names):
            if content.get(name) is not None:
                maps = to_array("", name, content[name])
                return len(maps) if maps.ndim else -1
        return None

    def _found(self, content: Any) -> str:
        if not isinstance(content, dict):
            return f"contains {type(content).__name__}"
        if self.keys_name not in content:
            return f"contains keys {brief(list(content))}"
        keys = getattr(content[self.keys_name], "array", content[self.keys_name])
        keys = keys.tolist() if isinstance(keys, np.ndarray) else keys
        return f"{self.keys_name} {brief(keys)} with {brief(list(content))}"

    def _expected(self) -> str:
        layout = "[0, c+1 …]" if self.background_first else "[c …]"
        channels = "(K+1)" if self.lead else "K"
        arrays = f"{self.full_names[0]} {channels}×H×W"
        if self.small_names:
            arrays += f" and {self.small_names[0]}"
        return f"expected {self.name}'s {self.keys_name} {layout}, {arrays}"
