"""Conjugate gradients of Hestenes and Stiefel as the textbook has them, in whatever arithmetic the numbers bring."""

from collections.abc import Callable
from typing import Any

import numpy as np

Vector = Any
"""NumPy array of one axis, of `numpy.longdouble` or of objects such as mpmath's numbers."""


def _dot(x: Vector, y: Vector) -> Any:
    return np.sum(x * y)


def conjugate_gradients(
    A: Any,
    b: Vector,
    steps: int,
    rounding: Callable[[Vector], Vector] = lambda x: x,
    *,
    dot: Callable[[Vector, Vector], Any] = _dot,
    watch: Callable[[int, Any, Any], None] = lambda step, residual, curvature: None,
) -> Vector:
    """Return the iterate after exactly `steps` steps from zero, fewer where the residual becomes zero.

    Args:
        A: Symmetric positive definite matrix: a sequence of rows.
        b: Right side.
        steps: Number of steps.
        rounding: Applied to every product A p and to every iterate.
        dot: Inner product of two vectors.
        watch: Called in every step with its number, r.r and p.Ap, before either divides anything.

    Example:
        >>> import numpy as np
        >>> from metaspec_conformance.oracles.krylov_oracle import conjugate_gradients
        >>> conjugate_gradients(np.diag([1.0, 2.0]), np.array([1.0, 1.0]), steps=2)
        array([1. , 0.5])
    """
    x, r, p = 0 * b, b, b
    rr = dot(r, r)
    for step in range(steps):
        Ap = rounding(np.array([dot(row, p) for row in A], dtype=b.dtype))
        pAp = dot(p, Ap)
        watch(step, rr, pAp)
        if rr == 0:
            break
        x = rounding(x + rr / pAp * p)
        r = r - rr / pAp * Ap
        previous, rr = rr, dot(r, r)
        p = r + rr / previous * p
    return x
