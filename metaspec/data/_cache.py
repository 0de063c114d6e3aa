"""Decoded arrays on disk: one .npz file per key, written atomically, read only where it is whole."""

import os
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def default_cache_dir() -> Path:
    """Returns $XDG_CACHE_HOME/metaspec, or ~/.cache/metaspec where that is unset or, against its standard, relative."""
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "metaspec"


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that appears at `path`, whole, when the block ends, and not at all when the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)  # mkstemp's 0600 would shut others out of a shared folder
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


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
            np.savez(stream, allow_pickle=False, **arrays)
    except OSError as error:
        message = f"cache_dir: could not write {path} ({error}); the pictures are decoded anew each time"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return arrays


def _read(path: Path) -> Arrays | None:
    try:
        with np.load(path, allow_pickle=False) as file:  # zipfile checks each array's CRC
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None
