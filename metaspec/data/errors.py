"""What can go wrong with data on disk or on its way there; wrong arguments raise the errors of `metaspec.errors`."""

from metaspec.errors import MetaspecError


class DataNotFoundError(MetaspecError, FileNotFoundError):
    """The folder holds nothing that the loader can read; the message says what was looked for and how to get it."""


class DataCorruptError(MetaspecError, ValueError):
    """A file is there and is not what it should be: wrong checksum, undecodable picture, missing classes."""


class DownloadError(MetaspecError, OSError):
    """A download did not succeed; nothing was left behind in the folder."""
