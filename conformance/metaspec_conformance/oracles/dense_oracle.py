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
