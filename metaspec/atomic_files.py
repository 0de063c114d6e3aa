"""Files and folders that are whole or not there, whatever moment the process is killed at."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from metaspec.errors import InvalidArgumentError, InvalidTypeError


def checked_path(path: Any, argument: str) -> Path:
    """Return `path` as a Path.

    Raises:
        InvalidTypeError: It is neither text nor a path.
        InvalidArgumentError: It has a NUL in it, which no file's name has.
    """
    try:
        checked = Path(path)
    except TypeError:
        raise InvalidTypeError(f"{argument}: expected a path, such as 'runs/first', got {path!r}") from None
    if "\0" in str(checked):
        raise InvalidArgumentError(f"{argument}: expected a path, such as 'runs/first', got {path!r}")
    return checked


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives the system's errors within the block the name of the file: a write to a full disk has none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that appears at `path`, whole, when the block ends, and not at all when the block raises.

    What was there before stays until then. After the block it survives a power failure too. An OSError (a full disk)
    names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with naming(path), os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)  # mkstemp's 0600 would shut others out of a shared folder
        os.replace(name, path)
        sync_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Gives an empty folder to fill with `atomic_writer`; it appears at `path` when the block ends.

    What was there before is replaced; it stays where the block, or the replacement, fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield partial
        os.chmod(partial, 0o755)
        with _set_aside(path):
            os.rename(partial, path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def discard_folder(path: Path) -> None:
    """Removes a folder, or whatever has its name; half removed, it has no longer its name."""
    with _set_aside(path):
        pass


@contextmanager
def _set_aside(path: Path) -> Iterator[None]:
    """Moves what is at `path` out of the way, and removes it when the block ends; puts it back where that raises."""
    if not os.path.lexists(path):
        yield
        return
    doomed = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        os.rename(path, doomed / path.name)
        try:
            yield
        except BaseException:
            with suppress(OSError):  # the block had put something in its place
                os.rename(doomed / path.name, path)
            raise
    finally:
        shutil.rmtree(doomed, ignore_errors=True)


def sweep(folder: Path, name: str) -> None:
    """Removes what killed processes left unfinished of the files or folders called `name`, a glob pattern."""
    for left in folder.glob(f".{name}.*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes the folder's list of names survive a power failure, where the system lets a folder be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Holds the folder for this process; the system lets go of it when the process ends, in whatever way.

    Raises:
        InvalidArgumentError: Another process holds it.
    """
    if os.name != "posix":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # a pipe of that name would wait for its writer
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidArgumentError(
                f"{folder}: another process is writing there; wait for its end, or choose another folder"
            ) from None
        yield
    finally:
        os.close(handle)
