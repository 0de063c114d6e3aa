"""What can go wrong with data on disk or on its way there; wrong arguments raise the errors of `metaspec.errors`."""

from metaspec.errors import MetaspecError


class DataNotFoundError(MetaspecError, FileNotFoundError):
    """The folder holds nothing that the loader can read; the message says what was looked for and how to get it.

    Example:
        >>> import metaspec as ms
        >>> try:
        ...     ms.data.load_omniglot("no-such-folder")
        ... except ms.data.DataNotFoundError as error:
        ...     print("no-such-folder" in str(error))
        True
    """


class DataCorruptError(MetaspecError, ValueError):
    """A file is there and is not what it should be: wrong checksum, undecodable picture, missing classes.

    Example:
        >>> from pathlib import Path
        >>> import metaspec as ms
        >>> for name in ("images_background_small1", "images_background_small2"):
        ...     _ = Path(f"{name}.zip").write_bytes(b"not an archive")
        >>> try:
        ...     ms.data.load_omniglot(".")
        ... except ms.data.DataCorruptError as error:
        ...     print("sha256" in str(error))
        True
    """


class DownloadError(MetaspecError, OSError):
    """A download did not succeed; nothing was left behind in the folder.

    Example:
        >>> import metaspec as ms
        >>> issubclass(ms.data.DownloadError, OSError)
        True
    """
