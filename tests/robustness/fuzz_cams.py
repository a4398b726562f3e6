"""CAM files as a kind of case: what must hold of whatever the adapters read."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from fuzz_readers import MIB, Kind, check_message
from hostile_pickles import content, dumped, mutated_npy, npy

from c2am_adapters.npy import load_npy
from c2am_plugin.cams import ImageCams
from c2am_plugin.errors import InputError
from c2am_plugin.registry import get_adapter, layout_names

__all__ = ["KINDS"]

ADAPTERS = [get_adapter(name) for name in layout_names()]
GOLDEN = Path(__file__).parents[2] / ".." / "shared" / "data" / "golden" / "files"
OLD_FILES = [path.read_bytes() for path in sorted(GOLDEN.rglob("*.npy"))]


def read_cam_file(path: Path) -> None:
    """A file through all adapters, with and without --clip. Refused where none takes it."""
    stored, refusals = load_npy(path), []
    for adapter in ADAPTERS:
        assert adapter.fits(stored) in (True, False)
        for clip in (False, True):
            try:
                cams = adapter.parse(stored, "id", clip=clip)
            except InputError as error:
                refusals.append(f"{path}{str(error).removeprefix('id')}")
                if (verdict := check_message(refusals[-1], path)) != "refused":
                    raise AssertionError(verdict) from error
            else:
                check_cams(cams)
    if len(refusals) == 2 * len(ADAPTERS):
        raise InputError(refusals[0])


def check_cams(cams: ImageCams) -> None:
    classes = len(cams.class_ids)
    assert cams.class_ids.dtype == np.int64
    assert cams.class_ids.shape == (classes,)
    assert len(set(cams.class_ids.tolist())) == classes
    assert (cams.class_ids >= 0).all()
    for maps in (cams.maps, cams.strided):
        if maps is not None:
            assert isinstance(maps, np.ndarray)
            assert maps.dtype.kind == "f"
            assert maps.ndim == 3
            assert len(maps) == classes
            assert maps.size > 0 or classes == 0
            assert ((maps >= 0) & (maps <= 1)).all()


def samples() -> tuple[bytes, ...]:
    whole = dumped(content(random.Random(0)), 3)
    named = npy(whole).replace(b"'descr'", b"'\\N{DIGIT ONE}'")
    return npy(whole), named, npy(b"cposix\nsystem\n."), npy(b"V\\u0041\n."), npy(b"S'\\x41'\n.")


KINDS = {
    "CAM .npy": Kind(
        suffix=".npy",
        make=lambda rng: mutated_npy(rng, OLD_FILES),
        read=read_cam_file,
        samples=samples,
        factor=64,
        base=16 * MIB,
    )
}
