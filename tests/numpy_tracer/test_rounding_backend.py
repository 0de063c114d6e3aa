"""A backend whose arithmetic rounds as it is told: its arrays have values, and nothing done with them is exact."""

import numpy as np
import pytest

from metaspec_numpy.rounded_backend import RoundingBackend

E = 2.0**-20


def backend(size=E):
    return RoundingBackend(lambda shape: np.full(shape, 1 + size))


def test_arrays_have_values():
    B = backend()
    x = B.asarray(np.array([0.5, 2.0]), "float64")
    assert B.is_array(x)
    assert B.is_concrete(x)
    assert bool(B.xp.all(x > 0))
    assert float(x[1]) == 2.0
    assert np.array_equal(B.to_numpy(x), [0.5, 2.0])
    assert B.to_numpy(B.asarray(x, "float32")).dtype == np.float32


def test_within_a_derivative_there_are_none():
    B, seen = backend(), []
    B.grad(lambda x: seen.append(B.is_concrete(x)) or B.xp.sum(x))(B.asarray(np.array([0.5, 2.0])))
    assert seen == [False]


@pytest.mark.parametrize("order", [0, 1, 2])
def test_each_operation_rounds_in_derivatives_too(order):
    """x^3 as two products: the value has two factors; its derivatives round as well, by at least one."""
    B = backend()
    derivatives = [lambda x: x * x * x]
    for _ in range(order):
        derivatives.append(B.grad(derivatives[-1]))
    found = float(derivatives[order](B.asarray(np.array(2.0))))
    assert E / 2 < found / [8.0, 12.0, 12.0][order] - 1 < 8 * E


def test_factors_of_one_change_nothing():
    B, plain = backend(0.0), RoundingBackend.__mro__[1]()
    x = np.array([0.3, -1.7])
    f = lambda x: B.xp.sum(B.xp.tanh(x) * x)  # noqa: E731
    assert np.array_equal(B.to_numpy(B.grad(f)(B.asarray(x))), plain.grad(f)(x))


def test_where_nothing_is_computed_nothing_rounds():
    B = backend()
    x = B.asarray(np.arange(6.0).reshape(2, 3))
    assert np.array_equal(B.to_numpy(B.xp.permute_dims(x, (1, 0))), np.arange(6.0).reshape(2, 3).T)


def test_what_is_compiled_rounds_anew():
    signs = iter([1 + E, 1 - E])
    B = RoundingBackend(lambda shape: np.full(shape, next(signs)))
    f, x = B.compile(lambda x: x * x), B.asarray(np.array(3.0))
    assert [float(f(x)), float(f(x))] == [9 * (1 + E), 9 * (1 - E)]


def test_integers_are_exact():
    B = backend()
    n = B.asarray(np.array([1, 2], "int32"))
    assert np.array_equal(B.to_numpy(n * n), [1, 4])
