"""Read and write files of CAMs, `.npy`, `.npz` and pickles, without ever running code from them.

`np.save` of a dict is a pickle, and a pickle may name any function and have it called.
`unpickler.py` reads it without that; `pickler.py` writes what old pipelines still read.
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
AGAIN = "; copy it again, or write it anew"
# What a damaged header or opcode runs into.
DAMAGE = (
    AttributeError,
    SyntaxError,
    TypeError,
    ValueError,
    RuntimeError,  # zipfile: encrypted, or an unknown compression
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_npy(path: str | Path) -> Any:
    """The object that `np.save` stored in a file: dict, list, arrays, numbers, strings.

    numpy arrays come back as arrays of the stored dtype (read-only), torch tensors as TorchArray.
    Raises UnsafeFileError for a global that could run code, by name, and InputError for anything
    else; data that no CAM file needs (bfloat16, sparse tensors, sets …) is named in its own line.
    """
    data = _read(path, MAGIC, "a .npy file")
    with _naming_damage(path):
        content = _array_of(data)
        if content is None:
            file = io.BytesIO(data)
            _read_header(file)
            content = Unpickler(Budget(len(data))).run(file)
    if isinstance(content, np.ndarray) and content.dtype == object and content.shape == ():
        return content.item()
    return content


def load_pickle(path: str | Path) -> Any:
    """The object that `pickle.dump` stored in a file; as `load_npy` otherwise."""
    data = _read(path, b"\x80", "a pickle")
    with _naming_damage(path):
        return Unpickler(Budget(len(data))).run(io.BytesIO(data))


def load_npz(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays that `np.savez` stored in a file, by name, read-only. Raises InputError.

    Pickled members are refused, as is a file that asks for far more memory than it takes on disk.
    """
    data = _read(path, b"PK", "a .npz file")
    found: dict[str, np.ndarray] = {}
    budget = Budget(len(data))
    with _naming_damage(path), zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            budget.spend(member.file_size)
            name = member.filename.removesuffix(".npy")
            stored = archive.read(member)
            array = _array_of(stored) if stored.startswith(MAGIC) else None
            if array is None:
                raise InputError(f"{name[:100]!r} is not a plain array; expected arrays alone")
            found[name] = array
    return found


def _read(path: str | Path, start: bytes, expected: str) -> bytes:
    """All bytes of a file, if the first ones are `start`: what is something else is not read."""
    try:
        with open(path, "rb", opener=plain_file) as stored:
            head = stored.read(64)
            if not head.startswith(start):
                raise InputError(f"{path}: is {_kind_of(head)}, not {expected}")
            stored.seek(0)
            return stored.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise InputError(f"{path}: is larger than the memory that there is") from error


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
            f"{path}: is cut short or damaged ({type(error).__name__}){AGAIN}"
        ) from error
    except DAMAGE as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(f"{path}: is cut short or damaged ({reason}){AGAIN}") from error


def _array_of(data: bytes) -> np.ndarray | None:
    """The array in the bytes of a `.npy` file; None where it is a pickle."""
    file = io.BytesIO(data)
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
    return f"something else (it begins with {data[:6].hex(' ')})"


def _read_header(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f".npy version {version}")


def save_npy(path: str | Path, content: Any) -> None:
    """Store `content` as `np.save(path, content)` would, exactly at `path`, for old readers too.

    TorchArray becomes a torch tensor on the CPU. Raises InputError for objects that do not fit.
    """
    with Path(path).open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        holder = np.empty((), object)
        holder[()] = content
        _pickle(path, file, holder)


def save_pickle(path: str | Path, content: Any) -> None:
    """Store `content` as `pickle.dump` would, exactly at `path`; as `save_npy` otherwise."""
    with Path(path).open("wb") as file:
        _pickle(path, file, content)


def save_npz(path: str | Path, content: Mapping[str, np.ndarray]) -> None:
    """Store arrays as `np.savez` would, exactly at `path`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in content.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def _pickle(path: str | Path, file: IO[bytes], content: Any) -> None:
    try:
        Pickler(file, protocol=3).dump(content)
    except (RecursionError, TypeError, ValueError, pickle.PicklingError) as error:
        raise InputError(f"{path}: content cannot be stored ({error})") from error
