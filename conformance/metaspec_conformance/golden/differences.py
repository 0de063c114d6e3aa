"""Derivatives from function evaluations alone: central differences in multiple-precision arithmetic.

With w working digits and step h, a first difference is off by truncation O(h^2) and by roundoff O(10^-w / h). An inner
difference's truncation is a smooth function of the point, so an outer difference does not enlarge it; its roundoff is
divided by h once more. Nested twice: O(h^2) + O(10^-w / h^2), which w and h make as small as is wanted.
"""

from collections.abc import Callable, Sequence
from typing import Any

Number = Any
Function = Callable[[list[Number]], Number]


def gradient(f: Function, x: Sequence[Number], h: Number) -> list[Number]:
    """(f(x + h e_i) - f(x - h e_i)) / 2h for every i."""
    return [(f(_moved(x, (i, h))) - f(_moved(x, (i, -h)))) / (2 * h) for i in range(len(x))]


def hessian(f: Function, x: Sequence[Number], h: Number) -> list[list[Number]]:
    """(f(x + h e_i + h e_j) - f(x + h e_i - h e_j) - f(x - h e_i + h e_j) + f(x - h e_i - h e_j)) / 4h^2."""
    n = len(x)
    rows: list[list[Number]] = [[None] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            corners = [s * t * f(_moved(x, (i, s * h), (j, t * h))) for s in (1, -1) for t in (1, -1)]
            rows[i][j] = rows[j][i] = sum(corners) / (4 * h * h)
    return rows


def _moved(x: Sequence[Number], *moves: tuple[int, Number]) -> list[Number]:
    y = list(x)
    for i, by in moves:
        y[i] += by
    return y
