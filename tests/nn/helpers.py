"""What the tests of the blocks share: contexts, conversion, and derivatives from function evaluations alone."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import metaspec as ms

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
DTYPES = tuple(EPS)

# Weights of (f(x + kh) - f(x - kh)) / h and of (f(x + kh) + f(x - kh)) / h^2, k = 1 .. 4; of order h^8.
FIRST = np.array([np.longdouble(n) / d for n, d in ((4, 5), (-1, 5), (4, 105), (-1, 280))])
SECOND = np.array([np.longdouble(n) / d for n, d in ((8, 5), (-1, 5), (8, 315), (-1, 560))])


@contextmanager
def at(B: ms.Backend, dtype: str) -> Iterator[None]:
    """B chosen, with `dtype` honoured."""
    with ms.backend_context(B), B.precision(dtype):
        yield


def arrays(B: ms.Backend, values: Sequence[Any], dtype: str) -> tuple[Any, ...]:
    """Floating NumPy arrays as arrays of B in `dtype`; integers keep their own."""
    return tuple(B.asarray(v, dtype if np.issubdtype(v.dtype, np.floating) else None) for v in values)


def generator(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def differences(f: Callable[[Any], Any], h: float = 5e-3) -> tuple[float, float]:
    """f'(0) and f''(0) of a function of one longdouble, by central differences of eighth order."""
    steps = [np.longdouble(k) * np.longdouble(h) for k in range(1, 5)]
    up, down = np.array([f(t) for t in steps]), np.array([f(-t) for t in steps])
    first = np.sum(FIRST * (up - down)) / np.longdouble(h)
    second = (np.sum(SECOND * (up + down)) - 2 * np.sum(SECOND) * f(np.longdouble(0))) / np.longdouble(h) ** 2
    return first, second


def close(actual: Any, expected: Any, tolerance: float, what: str) -> None:
    """|actual - expected| <= tolerance * max(1, |expected|) in the largest norm, and no NaN."""
    actual, expected = np.asarray(actual, dtype=np.longdouble), np.asarray(expected, dtype=np.longdouble)
    assert actual.shape == expected.shape, what
    error = float(np.max(np.abs(actual - expected), initial=0.0))
    bound = tolerance * max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    assert error <= bound, f"{what}: off by {error:.2e}, allowed {bound:.2e}"
