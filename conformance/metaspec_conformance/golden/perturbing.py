"""Roundings, as an argument of a computation: none, or relative changes of a given size with random signs.

A rounding is asked for a map of n numbers and gives one that stays what it is, because differences must see the same
function at all of their points.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

Number = Any
Fixed = Callable[[Sequence[Number]], list[Number]]
Rounding = Callable[[int], Fixed]


def exact(n: int) -> Fixed:
    """No rounding."""
    return list


def perturbation(size: Number, seed: int) -> Rounding:
    """Every number times 1 + size or 1 - size; the signs of each map are drawn anew."""
    rng = random.Random(seed)

    def fixed(n: int) -> Fixed:
        factors = [1 + size if rng.random() < 0.5 else 1 - size for _ in range(n)]
        return lambda xs: [x * factor for x, factor in zip(xs, factors, strict=True)]

    return fixed
