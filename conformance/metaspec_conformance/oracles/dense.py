"""Dense linear algebra in NumPy's longdouble, which LAPACK does not cover."""

from typing import Any

import numpy as np


def solve(A: Any, b: Any) -> Any:
    """X with A x = b by Gaussian elimination with partial pivoting; b is a vector."""
    A, b = np.array(A), np.array(b)
    n = len(b)
    for k in range(n):
        pivot = k + int(np.argmax(np.abs(A[k:, k])))
        A[[k, pivot]], b[[k, pivot]] = A[[pivot, k]], b[[pivot, k]]
        factors = A[k + 1 :, k] / A[k, k]
        A[k + 1 :] -= factors[:, None] * A[k]
        b[k + 1 :] -= factors * b[k]
    x = np.zeros_like(b)
    for k in reversed(range(n)):
        x[k] = (b[k] - np.sum(A[k, k + 1 :] * x[k + 1 :])) / A[k, k]
    return x


def conjugate_gradients(A: Any, b: Any, steps: int, rounding: Any) -> Any:
    """The iterate of exactly `steps` steps of Hestenes and Stiefel's method from zero."""
    x, r = np.zeros_like(b), b
    p = r
    for _ in range(steps):
        if not np.any(r):
            break
        Ap = rounding(np.sum(A * p, axis=1))
        length = np.sum(r * r) / np.sum(p * Ap)
        following = r - length * Ap
        x = rounding(x + length * p)
        p = following + np.sum(following * following) / np.sum(r * r) * p
        r = following
    return x
