"""Load the backend that a target names: a registered name, or "module:attribute"."""

from importlib import import_module
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.backend.registry import Registration, register, registrations
from metaspec.backend.selection import get_backend
from metaspec.errors import InvalidTypeError


def load(target: str) -> Backend:
    """Return the backend that a target names.

    Args:
        target: A registered backend's name; or module:attribute of a Backend, of a Backend class, of a function that
            makes one, or of a Registration, whose formats and capabilities then hold without an entry point.

    Raises:
        InvalidTypeError: The attribute is none of these.
    """
    module, colon, attribute = target.partition(":")
    if not colon:
        return get_backend(target)
    found = _attribute(module, attribute)
    if isinstance(found, Registration):
        return _registered(found)
    backend = found if isinstance(found, Backend) else found() if callable(found) else found
    if not isinstance(backend, Backend):
        raise InvalidTypeError(
            f"{target}: expected a metaspec.Backend, its class, a function that makes one, or a metaspec.Registration, "
            f"got {type(backend).__name__}"
        )
    return backend


def _attribute(module: str, path: str) -> Any:
    found: Any = import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _registered(registration: Registration) -> Backend:
    """Return the adapter of a registration, which is entered into this process's table unless its entry point is."""
    if registration.name not in registrations():
        register(registration)
    return get_backend(registration.name)
