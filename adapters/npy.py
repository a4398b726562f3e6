"""Reads and writes CAM files (`.npy`, `.npz` and pickles) without running code from them.

`np.save` of a dict is a pickle, and loading a pickle can call any function that it names.
`unpickler.py` reads one without calling anything; `pickler.py` writes files that old pipelines can
read.
"""

from __future__ import annotations

import io
import pickle
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from c2am_plugin.errors import InputError, UnsafeFileError
from c2am_plugin.files.folders import plain_file

from .pickler import Pickler
from .torch_storage import TorchArray
from .unpickler import Budget, Unpickler

__all__ = [
    "TorchArray",
    "load_npy",
    "load_npz",
    "load_pickle",
    "save_npy",
    "save_npz",
    "save_pickle",
]

MAGIC = b"\x93NUMPY"
AGAIN = "; copy or create it again"
# The errors that damaged headers and opcodes lead to.
DAMAGE = (
    AttributeError,
    SyntaxError,
    TypeError,
    ValueError,
    RuntimeError,  # zipfile: encryption or an unknown compression
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_npy(path: str | Path) -> Any:
    """The object that `np.save` stored in a file: dict, list, arrays, numbers, strings.

    numpy arrays come back read-only in the stored dtype, torch tensors as TorchArray. Raises
    UnsafeFileError, with its name, for a global that could run code, and InputError for any other
    fault; one of them names data that no CAM file needs (bfloat16, sparse tensors, sets …).
    """
    data = _read(path, MAGIC, "a .npy file")
    with _naming_damage(path):
        file = io.BytesIO(data)
        content = _array_of(data, file)
        if content is None:
            content = Unpickler(Budget(len(data))).run(file)
    if isinstance(content, np.ndarray) and content.dtype == object and content.shape == ():
        return content.item()
    return content


def load_pickle(path: str | Path) -> Any:
    """The object that `pickle.dump` stored in a file; otherwise like `load_npy`."""
    data = _read(path, b"\x80", "a pickle")
    with _naming_damage(path):
        return Unpickler(Budget(len(data))).run(io.BytesIO(data))


def load_npz(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays that `np.savez` stored in a file, by name, read-only.

    Raises InputError, also for pickled members and for a file that would take far more memory than
    its size on disk.
    """
    data = _read(path, b"PK", "a .npz file")
    found: dict[str, np.ndarray] = {}
    budget = Budget(len(data))
    with _naming_damage(path), zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            budget.spend(member.file_size)
            name = member.filename.removesuffix(".npy")
            stored = archive.read(member)
            array = _array_of(stored, io.BytesIO(stored)) if stored.startswith(MAGIC) else None
            if array is None:
                raise InputError(f"{name[:100]!r} is not a plain array; expected only arrays")
            found[name] = array
    return found


def _read(path: str | Path, start: bytes, expected: str) -> bytes:
    """All bytes of a file that begins with `start`; any other file is refused unread."""
    try:
        with open(path, "rb", buffering=0, opener=plain_file) as stored:
            head = stored.read(64)
            if not head.startswith(start):
                raise InputError(f"{path}: is {_kind_of(head)}, not {expected}")
            stored.seek(0)
            return stored.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory") from error


@contextmanager
def _naming_damage(path: str | Path) -> Iterator[None]:
    try:
        yield
    except UnsafeFileError as error:
        raise UnsafeFileError(
            f"{path}: asks for {error}, which no CAM file needs; it was not run. Do not load this "
            "file with allow_pickle=True"
        ) from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ArithmeticError, EOFError, LookupError, MemoryError, RecursionError) as error:
        raise InputError(
            f"{path}: is truncated or damaged ({type(error).__name__}){AGAIN}"
        ) from error
    except DAMAGE as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(f"{path}: is truncated or damaged ({reason}){AGAIN}") from error


def _array_of(data: bytes, file: IO[bytes]) -> np.ndarray | None:
    """The array in the bytes of a `.npy` file; None where a pickle follows its header.

    file: these bytes, at their start; afterwards behind the header.
    """
    shape, fortran, dtype = _read_header(file)
    if not dtype.hasobject:
        values = np.frombuffer(data, dtype, prod(shape), file.tell())
        return values.reshape(shape, order="F" if fortran else "C")
    if dtype != object:
        raise ValueError(f"dtype {dtype}")
    return None


def _kind_of(data: bytes) -> str:
    start = data.lstrip().lower()
    if not data:
        return "an empty file"
    if data.startswith(b"PK"):
        return "a zip archive (.npz or torch.save)"
    if start.startswith((b"<!doctype", b"<html")):
        return "an HTML page (a failed download?)"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (run git lfs pull)"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return "a text file"
    return f"of an unknown type (first bytes {data[:6].hex(' ')})"


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f".npy version {version}")


def save_npy(path: str | Path, content: Any) -> None:
    """Write `content` exactly at `path`, as `np.save(path, content)` would, for old readers too.

    A TorchArray becomes a torch tensor on the CPU. Raises InputError for objects that cannot be
    stored.
    """
    with Path(path).open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        holder = np.empty((), object)
        holder[()] = content
        _pickle(path, file, holder)


def save_pickle(path: str | Path, content: Any) -> None:
    """Write `content` exactly at `path`, as `pickle.dump` would; otherwise like `save_npy`."""
    with Path(path).open("wb") as file:
        _pickle(path, file, content)


def save_npz(path: str | Path, content: Mapping[str, np.ndarray]) -> None:
    """Write arrays exactly at `path`, as `np.savez` would."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in content.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def _pickle(path: str | Path, file: IO[bytes], content: Any) -> None:
    try:
        Pickler(file, protocol=3).dump(content)
    except (RecursionError, TypeError, ValueError, pickle.PicklingError) as error:
        raise InputError(f"{path}: the content cannot be stored ({error})") from error
