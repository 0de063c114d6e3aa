"""Arithmetic with a rounding of one's own: every operation that rounds is multiplied by a factor, and no other."""

from typing import Any

import numpy as np
import pytest

from metaspec_numpy import tracer
from metaspec_numpy.tracer.rounding import perturbed

XP = tracer.namespace(np)
X, Y = np.asarray([1.0, -2.0, 3.0]), np.asarray([0.5, 4.0, -1.0])


def doubling(shape: tuple[int, ...]) -> Any:
    return np.full(shape, 2.0)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x, y: x + y, 2 * (X + Y)),
        (lambda x, y: x * y, 2 * X * Y),
        (lambda x, y: x * y + x, 2 * (2 * X * Y + X)),
        (lambda x, y: XP.sum(x), 2 * np.sum(X)),
        (lambda x, y: XP.exp(x), 2 * np.exp(X)),
        (lambda x, y: XP.flip(-x), -X[::-1]),
        (lambda x, y: XP.maximum(x, y), np.maximum(X, Y)),
        (lambda x, y: XP.where(x > y, x, y), np.maximum(X, Y)),
        (lambda x, y: XP.astype(x > y, XP.int64) + 1, (X > Y).astype(int) + 1),
        (lambda x, y: XP.argmax(x), np.argmax(X)),
        (lambda x, y: np.exp(1.0), np.exp(1.0)),
        (lambda x, y: XP.asarray(3.0) * 2.0, 6.0),
    ],
)
def test_factors(f: Any, expected: Any) -> None:
    np.testing.assert_allclose(perturbed(f, doubling)(X, Y), expected, rtol=1e-15)


def test_operations_of_derivatives_round_too() -> None:
    gradient = lambda x: tracer.vjp(lambda x: XP.sum(x * x), x)[1](np.ones(()))[0]  # noqa: E731
    # two products of the rule and their sum, each doubled
    np.testing.assert_allclose(perturbed(gradient, doubling)(X), 4 * gradient(X))


def test_each_operation_asks_for_factors_of_its_own() -> None:
    asked: list[tuple[int, ...]] = []

    def factors(shape: tuple[int, ...]) -> Any:
        asked.append(shape)
        return np.float32(1.0) * np.ones(shape)

    out = perturbed(lambda x, y: (XP.sum(x * y), x + y, x), factors)(X, Y)
    assert asked == [(3,), (), (3,)]
    assert [y.dtype for y in out] == [np.float64] * 3
    np.testing.assert_array_equal(out[2], X)
