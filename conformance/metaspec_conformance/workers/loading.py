"""The backend that a worker is about."""

from importlib import import_module
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.backend.selection import get_backend
from metaspec.errors import InvalidTypeError


def load(target: str) -> Backend:
    """The backend that TARGET names."""
    module, colon, attribute = target.partition(":")
    if not colon:
        return get_backend(target)
    found: Any = import_module(module)
    for name in attribute.split("."):
        found = getattr(found, name)
    backend = found if isinstance(found, Backend) else found() if callable(found) else found
    if not isinstance(backend, Backend):
        raise InvalidTypeError(f"{target}: expected a metaspec.Backend, its class, or a function that makes one")
    return backend
