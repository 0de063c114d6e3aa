"""Checks of hyper-parameters: each returns the plain Python number, or raises the error that names the argument."""

from collections.abc import Callable
from math import inf, isfinite, nan
from numbers import Real
from operator import index
from typing import Any

from metaspec.errors import InvalidArgumentError, InvalidTypeError, nearest

Domain = tuple[str, Callable[[float], bool]]
"""What a number is expected to be, in words and as a function of a finite number."""

POSITIVE: Domain = ("a finite number > 0", lambda x: x > 0)
NOT_NEGATIVE: Domain = ("a finite number >= 0", lambda x: x >= 0)
FRACTION: Domain = ("a number in [0, 1)", lambda x: 0 <= x < 1)


def checked_integer(value: Any, argument: str, least: int) -> int:
    """Return `value` as an int >= `least`.

    Raises:
        InvalidTypeError: It is no integer (True is none).
        InvalidArgumentError: It is smaller.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)
    except TypeError:
        raise InvalidTypeError(f"{argument} must be an integer >= {least}, got {value!r}") from None
    if number < least:
        raise InvalidArgumentError(f"{argument} must be >= {least}, got {number}")
    return number


def checked_number(value: Any, argument: str, expected: str, inside: Callable[[float], bool]) -> float:
    """Return `value` as a finite float for which `inside` holds; a plain float widens no array.

    Raises:
        InvalidArgumentError: It is no real number, not finite, or outside.
    """
    try:
        number = nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:  # an integer beyond float's range
        number = inf
    if not isfinite(number) or not inside(number):
        raise InvalidArgumentError(f"{argument} must be {expected}, got {value!r:.200}")
    return number


def settle(part: Any, check: Callable[..., Any] | None = None, /, **domains: Domain | int) -> None:
    """Check attributes of a frozen dataclass while it is made, and bind what the checks return.

    Args:
        part: The dataclass.
        check: (value, argument, *domain) -> value, for what is no integer; `checked_number` by default.
        domains: By the attribute's name its domain, or the least integer that it may be.
    """
    for name, domain in domains.items():
        value, argument = getattr(part, name), f"{type(part).__name__}: {name}"
        if isinstance(domain, int):
            value = checked_integer(value, argument, domain)
        else:
            value = (check or checked_number)(value, argument, *domain)
        object.__setattr__(part, name, value)


def check_members(value: Any, argument: str, members: tuple[str, ...], example: str) -> None:
    """Check that `value` is an instance that has these members.

    Raises:
        InvalidTypeError: It is a class, or has not all of them.
    """
    if isinstance(value, type) or not all(hasattr(value, member) for member in members):
        raise InvalidTypeError(f"{argument} must be something like {example}, got {value!r}")


def check_choice(value: Any, argument: str, choices: tuple[str, ...]) -> None:
    """Check that `value` is one of these strings.

    Raises:
        InvalidArgumentError: It is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise InvalidArgumentError(
            f"{argument} must be one of {', '.join(map(repr, choices))}, got {value!r}{nearest(value, choices)}"
        )
