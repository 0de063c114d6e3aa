"""Reading files that may be damaged, forged, or something else than a file: bounded, and with one kind of error."""

import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

DEEPEST = 64  # levels of nesting; what is written here has fewer than ten
LARGEST_JSON = 2**28
_OPENING = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_TOKENS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)


@contextmanager
def regular_file(path: Path, limit: int, *, follow: bool = False) -> Iterator[BufferedReader]:
    """Opens a regular file of at most `limit` bytes; never waits, as opening a named pipe would.

    Args:
        path: the file.
        limit: bytes.
        follow: whether `path` may be a symbolic link.

    Raises:
        OSError: it cannot be opened, is a link, a folder, a pipe or a device, or is larger; `strerror` says which.
    """
    try:
        handle = os.open(path, _OPENING | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    except OSError as error:
        if not follow and error.errno == errno.ELOOP and path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link, and links are not followed here", str(path)) from None
        raise
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
            raise OSError(errno.EINVAL, f"it is {kind}, expected a file", str(path))
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"it has {status.st_size} bytes, expected at most {limit}", str(path))
        with os.fdopen(handle, "rb", closefd=False) as stream:
            yield stream
    finally:
        os.close(handle)


def read_regular(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        OSError: as `regular_file`; or there is not enough memory for it.
    """
    with regular_file(path, limit, follow=follow) as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            return stream.read(size)  # what is appended meanwhile belongs to the next reading
        except MemoryError:
            raise OSError(errno.ENOMEM, f"it has {size} bytes, more than there is memory for", str(path)) from None


def parsed_json(content: bytes) -> Any:
    """The value that UTF-8 text in JSON stands for.

    Raises:
        ValueError: it is no such text, gives a key twice, or nests deeper than `DEEPEST` levels.
    """
    if _depth(content) > DEEPEST:  # before parsing: the parser is recursive
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except MemoryError:
        raise ValueError("there is not enough memory for it") from None


def _depth(content: bytes) -> int:
    depth = deepest = 0
    quoted = False
    for token in _TOKENS.findall(content):
        if token == b'"':
            quoted = not quoted
        elif not quoted and token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif not quoted and token in b"]}":
            depth -= 1
    return deepest


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice in one object")
    return found
