"""Decoded arrays on disk: one .npz file per key, written atomically, read only where it is whole."""

import hashlib
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaspec.atomic_files import atomic_writer
from metaspec.reading import read_regular

LARGEST = 2**28  # bytes
Arrays = dict[str, NDArray[Any]]


def default_cache_dir() -> Path:
    """Returns $XDG_CACHE_HOME/metaspec, or ~/.cache/metaspec where that is unset or, against its standard, relative."""
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "metaspec"


def cached(path: Path, valid: Callable[[Arrays], bool], build: Callable[[], Arrays]) -> Arrays:
    """Returns the arrays kept at `path`; builds and keeps them where there are none, or none that are whole.

    A directory that cannot be written costs a warning and the time to build again, no more.
    """
    kept = _read(path)
    if kept is not None and valid(kept):
        return kept
    arrays = build()
    try:
        with atomic_writer(path) as stream:
            np.savez(stream, allow_pickle=False, digest=np.frombuffer(_digest(arrays), np.uint8), **arrays)
    except OSError as error:
        message = f"cache_dir: could not write {path} ({error}); the pictures are decoded anew each time"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return arrays


def _read(path: Path) -> Arrays | None:
    try:
        content = read_regular(path, LARGEST)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if sum(member.file_size for member in file.zip.infolist()) > len(content):
                return None  # savez does not compress: this is a file that unpacks to more than it has
            arrays = {name: file[name] for name in file.files}
        return arrays if arrays.pop("digest").tobytes() == _digest(arrays) else None
    except Exception:  # a damaged file fails in a dozen ways, and all of them mean: build it anew
        return None


def _digest(arrays: Arrays) -> bytes:
    """Hashes names, types, shapes and bits: a zip file's CRC is not looked at where a damaged header asks for less."""
    whole = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        whole.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        whole.update(array.tobytes())
    return whole.digest()
