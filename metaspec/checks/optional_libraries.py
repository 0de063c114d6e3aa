"""Libraries that one thing or another needs and metaspec works without."""

from importlib import import_module
from typing import Any

from metaspec.errors import LibraryMissingError


def optional_library(module: str, caller: str, *, extra: str, library: str | None = None) -> Any:
    """Import a module of an optional library.

    Args:
        module: The module's name.
        caller: What needs it, for the error.
        extra: The extra of metaspec that installs it.
        library: What it is called where it is distributed; by default as its top module.

    Raises:
        LibraryMissingError: It is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ImportError:
        raise LibraryMissingError(
            f"{caller}: needs {library or module.partition('.')[0]}, which is not installed; "
            f"run: pip install 'metaspec[{extra}]'"
        ) from None
