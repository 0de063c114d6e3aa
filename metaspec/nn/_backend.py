"""What every block asks first: whose array is this?"""

from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.backend.registry import owner_of
from metaspec.backend.selection import chosen_backend, get_backend
from metaspec.errors import BackendNotChosenError, InvalidArgumentError, InvalidTypeError
from metaspec.task import Array


def backend_of(x: Array) -> Backend:
    """The backend at work, else the one whose array `x` is.

    Raises:
        BackendNotChosenError: `x` is no known framework's array.
    """
    chosen = chosen_backend()
    if isinstance(chosen, Backend):
        return chosen
    owner = owner_of(x)
    if owner is None:
        raise BackendNotChosenError(
            f"expected an array of a known framework, got {type(x).__name__}; convert it with metaspec.asarray"
        )
    return get_backend(owner)


def check_rank(name: str, x: Array, rank: int, axes: str) -> tuple[int, ...]:
    """The shape of `x`, which has `rank` dimensions."""
    shape = tuple(x.shape)
    if len(shape) != rank:
        raise InvalidArgumentError(f"{name}: expected {rank} dimensions, {axes}; got shape {shape}")
    return shape


def check_pair(name: str, value: Any) -> tuple[int, int]:
    """A positive integer, or two of them, as (rows, columns)."""
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or any(isinstance(v, bool) or not isinstance(v, int) for v in pair):
        raise InvalidTypeError(f"{name}: expected an integer or a pair of integers, got {value!r}")
    if min(pair) < 1:
        raise InvalidArgumentError(f"{name}: expected integers >= 1, got {value!r}")
    return pair[0], pair[1]
