"""Required members that an adapter still has to write: their body is `raise NotImplementedError(...)` alone."""

from typing import Any

from metaspec.backend.protocol import Backend

REQUIRED = (
    "precision",
    "versions",
    "asarray",
    "to_numpy",
    "is_concrete",
    "xp",
    "vjp",
    "value_and_grad",
    "stop_gradient",
)
"""Names of the required members, in the order in which to write them."""


def unwritten(backend: Backend) -> tuple[str, ...]:
    """Return the required members of a backend that are only placeholders, in the order in which to write them."""
    return tuple(name for name in REQUIRED if _is_placeholder(getattr(type(backend), name)))


def _is_placeholder(member: Any) -> bool:
    code = getattr(getattr(member, "fget", member), "__code__", None)
    return code is not None and code.co_names == ("NotImplementedError",)
