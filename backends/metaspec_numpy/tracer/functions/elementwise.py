"""Elementwise functions that are made of others."""

from typing import Any

from metaspec_numpy.tracer.core import Array
from metaspec_numpy.tracer.rules.elementwise import maximum, minimum


def clip(x: Array, /, min: Any = None, max: Any = None) -> Array:
    """`x` where it is between the bounds, else the bound: a maximum and a minimum, with their convention at a tie."""
    x = x if min is None else maximum(x, min)
    return x if max is None else minimum(x, max)
