"""Elementwise functions that are made of others."""

from typing import Any

from metaspec_numpy.tracer.aliasing import twin
from metaspec_numpy.tracer.core import Array, Box, is_numpy
from metaspec_numpy.tracer.rules import elementwise_rules as rules
from metaspec_numpy.tracer.rules.elementwise_rules import maximum, minimum


def stop_gradient(x: Array, /) -> Array:
    """`x` as a constant of every derivative; a copy of a box's value, as whoever gets it may write to it."""
    out = rules.stop_gradient(x)
    return out.copy() if isinstance(x, Box) and is_numpy(out) else twin(out)


def where(condition: Array, x1: Any, x2: Any, /) -> Array:
    """The entries of `x1` where the condition is true, else those of `x2`."""
    return rules.where(condition, x1, x2)


def clip(x: Array, /, min: Any = None, max: Any = None) -> Array:
    """`x` where it is between the bounds, else the bound: a maximum and a minimum, with their convention at a tie."""
    x = x if min is None else maximum(x, min)
    return x if max is None else minimum(x, max)
