"""Inputs of golden vectors: random multiples of powers of two, so that a few decimals give them exactly.

`random.Random(seed).random()` is the one generator whose numbers Python promises to keep between versions.
"""

import random
from decimal import Decimal
from fractions import Fraction

from metaspec_conformance.golden.vector_records import Array

GRID = 32  # numbers are multiples of 1/GRID, exact even in binary16


class Draw:
    """Arrays from one seed, in the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def reals(self, *shape: int, scale: float = 1.0) -> Array:
        """Multiples of 1/GRID in [-scale, scale]."""
        limit = round(scale * GRID)
        return Array(shape, tuple(decimal(Fraction(self._below(-limit, limit), GRID)) for _ in range(_size(shape))))

    def positive(self, *shape: int, least: float = 0.5, most: float = 1.5) -> Array:
        """Multiples of 1/GRID in [least, most]."""
        bounds = round(least * GRID), round(most * GRID)
        return Array(shape, tuple(decimal(Fraction(self._below(*bounds), GRID)) for _ in range(_size(shape))))

    def labels(self, n: int, classes: int) -> Array:
        """Integers from 0 to classes - 1, every class once before any comes again."""
        return Array((n,), tuple((e + e // classes * self._below(0, classes - 1)) % classes for e in range(n)))

    def positive_definite(self, n: int, d: int) -> Array:
        """N symmetric matrices I/4 + M M^T, all entries coupled, eigenvalues between 1/4 and about 2."""
        entries: list[str] = []
        for _ in range(n):
            M = [[Fraction(self._below(-3, 3), 8) for _ in range(d)] for _ in range(d)]
            for i in range(d):
                for j in range(d):
                    product = sum((a * b for a, b in zip(M[i], M[j], strict=True)), Fraction(0))
                    entries.append(decimal(product + Fraction(i == j, 4)))
        return Array((n, d, d), tuple(entries))

    def _below(self, least: int, most: int) -> int:
        return least + int(self._rng.random() * (most - least + 1))


def decimal(x: Fraction) -> str:
    """The exact decimal of a fraction whose denominator is a power of two."""
    return format((Decimal(x.numerator) / Decimal(x.denominator)).normalize(), "f")


def constant(value: str, *shape: int) -> Array:
    """An array of equal entries."""
    return Array(shape, (value,) * _size(shape))


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
