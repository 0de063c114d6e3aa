"""Validation of arguments: each check names the argument, what was given, what was expected."""

import math
import operator
from typing import Any

from metaspec.errors import InvalidArgumentError, InvalidTypeError

LARGEST_INDEX = 2**64 - 1
STREAMS = ("train", "validation", "test")


def check_int(name: str, value: Any, low: int, high: int = LARGEST_INDEX) -> int:
    """Returns `value` as an int in [low, high]; booleans and floats are refused."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidTypeError(f"{name}: expected an integer, got {value!r} of type {type(value).__name__}")
    number = operator.index(value)
    if not low <= number <= high:
        bounds = f"at least {low}" if number < low else f"at most {high}"
        raise InvalidArgumentError(f"{name}: expected an integer of {bounds}, got {number}")
    return number


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Returns `value` if it is one of the strings `choices`."""
    expected = f"expected one of {', '.join(map(repr, choices))}"
    if not isinstance(value, str):
        raise InvalidTypeError(f"{name}: {expected}, got {value!r} of type {type(value).__name__}")
    if value not in choices:
        raise InvalidArgumentError(f"{name}: {expected}, got {value!r}")
    return value


def check_drawing(source: Any, *counts: str) -> None:
    """Checks what sources of drawn tasks have in common: attributes that are counts, the seed, the stream, formats."""
    for name in counts:
        check_int(name, getattr(source, name), 1)
    check_int("seed", source.seed, 0)
    check_choice("stream", source.stream, STREAMS)
    check_choice("dtype", source.dtype, ("float32", "float64"))
    if hasattr(source, "label_dtype"):
        check_choice("label_dtype", source.label_dtype, ("int32", "int64"))


def check_range(name: str, value: Any) -> tuple[float, float]:
    """Returns `value` as (low, high), two finite numbers with low <= high."""
    expected = f"{name}: expected (low, high), two finite numbers with low <= high, got {value!r}"
    try:
        low, high = (float(bound) for bound in value)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(expected) from error
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise InvalidArgumentError(expected)
    return low, high
