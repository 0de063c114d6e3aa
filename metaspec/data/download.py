"""Fetches Omniglot's official archives."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from metaspec.atomic_files import atomic_writer, checked_path
from metaspec.data._archives import ARCHIVES, SUBSETS, Archive, is_official
from metaspec.data._check import check_choice
from metaspec.data.errors import DownloadError
from metaspec.errors import InvalidArgumentError

OFFICIAL_URL = "https://github.com/brendenlake/omniglot/raw/master/python"
Progress = Callable[[str, int, int], None]
_CHUNK = 1 << 16


def download_omniglot(
    folder: str | os.PathLike[str],
    subset: str = "small",
    *,
    progress: Progress | None = None,
    base_url: str = OFFICIAL_URL,
    timeout: float = 30.0,
) -> tuple[Path, ...]:
    """Downloads the archives of a subset into `folder`; one that is there already, with the right sha256, is kept.

    Each file appears under its name only when it is whole and its sha256 is the official one.

    Args:
        folder: made if it is not there.
        subset: "small" (2.9 MB) or "full" (15.9 MB).
        progress: called as progress(file name, bytes so far, bytes in all) while a file comes in.
        base_url: where the archives lie, http or https; a mirror serves the same files, the checksums see to that.
        timeout: seconds without an answer before giving up.

    Returns:
        The archives' paths.

    Raises:
        DownloadError: no connection, an error status, or a file that is not the official one; says how to proceed.
        InvalidArgumentError: an unknown subset, a base_url that is not http or https.

    Example:
        >>> from metaspec import data
        >>> data.download_omniglot("omniglot", subset="small")  # doctest: +SKIP
        >>> train, test = data.load_omniglot("omniglot")  # doctest: +SKIP
    """
    check_choice("subset", subset, tuple(SUBSETS))
    if not base_url.startswith(("https://", "http://")):
        raise InvalidArgumentError(
            f"base_url: expected an address that begins with http:// or https://, got {base_url!r}"
        )
    target, paths = checked_path(folder, "folder"), []
    for name in SUBSETS[subset]:
        path = target / f"{name}.zip"
        if not (path.is_file() and is_official(path, ARCHIVES[name])):
            _fetch(f"{base_url.rstrip('/')}/{name}.zip", path, ARCHIVES[name], progress, timeout)
        paths.append(path)
    return tuple(paths)


def _fetch(url: str, path: Path, archive: Archive, progress: Progress | None, timeout: float) -> None:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen

    digest, received = hashlib.sha256(), 0
    advice = f"fetch {OFFICIAL_URL}/{path.name} by other means and put it into {path.parent}"
    try:
        with atomic_writer(path) as out, urlopen(url, timeout=timeout) as answer:
            while received <= archive.size and (chunk := answer.read(_CHUNK)):
                out.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                if progress is not None:
                    progress(path.name, received, archive.size)
            if digest.hexdigest() != archive.sha256:
                size = f"{received} bytes" if received <= archive.size else f"more than {archive.size} bytes"
                raise DownloadError(
                    f"{url}: got {size} with sha256 {digest.hexdigest()}, expected {archive.size} bytes with sha256 "
                    f"{archive.sha256}; nothing was kept. Try again, or {advice}"
                )
    except DownloadError:
        raise
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):  # it is the answer, too, and keeps the connection open
            error.close()
        raise DownloadError(f"{url}: {error}. Try again, or {advice}") from error
