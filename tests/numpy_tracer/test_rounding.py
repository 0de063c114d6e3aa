"""Arithmetic with a factor on every operation: which operations it meets, in derivatives and in programs too."""

import numpy as np
import pytest

from metaspec import get_backend
from metaspec_numpy.tracer import PRIMITIVES
from metaspec_numpy.tracer.rounding import EXACT

B = get_backend("numpy")
E = 2.0**-20


def constant(size=E):
    return lambda shape: np.full(shape, 1 + size)


def random_signs(seed):
    rng = np.random.default_rng(seed)
    return lambda shape: 1 + E * (rng.integers(0, 2, size=shape) * 2 - 1)


def test_each_operation_is_met_once():
    x, y = np.asarray(3.0), np.asarray(0.7)
    found = B.perturbed(lambda x, y: B.xp.exp(x * y) + x, constant())(x, y)
    by_hand = (np.exp(x * y * (1 + E)) * (1 + E) + x) * (1 + E)
    assert np.isclose(found, by_hand, rtol=1e-15, atol=0)


def test_factors_of_one_change_nothing():
    def f(x):
        return B.grad(lambda x: B.xp.sum(B.xp.tanh(x) * B.xp.matmul(x, x)))(x)

    x = np.random.default_rng(0).normal(size=(3, 3))
    assert np.array_equal(B.perturbed(f, constant(0.0))(x), f(x))


def test_the_operations_of_derivatives_are_met():
    """tanh' = 1 - t^2 at t near 1: a perturbed t moves it 1 / (1 - t^2) times as much, a perturbed x 2 x times."""
    x = np.asarray(6.0)
    exact = B.grad(B.xp.tanh)(x)
    in_arguments = abs(B.grad(B.xp.tanh)(x * (1 + E)) / exact - 1) / E
    everywhere = abs(B.perturbed(B.grad(B.xp.tanh), constant())(x) / exact - 1) / E
    assert 10 < in_arguments < 14
    assert 1e4 < everywhere < 1e6


def test_choosing_moving_and_integers_are_exact():
    def f(x, k):
        xp = B.xp
        y = xp.concat([xp.flip(x), -x[1:], xp.reshape(x, (3, 1))[:, 0]])
        return xp.where(y > 0, y, xp.abs(y)), xp.max(y), k + k

    x, k = np.asarray([1.0, -2.0, 3.0]), np.asarray([1, 2])
    for found, exact in zip(B.perturbed(f, constant())(x, k), f(x, k), strict=True):
        assert np.array_equal(found, exact)


def test_what_is_exact_has_a_name():
    assert set(PRIMITIVES) >= EXACT
    assert EXACT.isdisjoint({"add", "subtract", "multiply", "divide", "matmul", "sum", "exp", "tanh", "solve"})


@pytest.mark.parametrize("transformed", [lambda f: f, B.compile], ids=["eager", "compiled"])
def test_a_factor_is_drawn_for_each_operation_and_the_format_is_kept(transformed):
    x = np.linspace(1, 2, 50, dtype=np.longdouble)
    factors = random_signs(1)((50,))  # drawn before: a recording must not draw
    found = transformed(B.perturbed(lambda x: x * x, lambda shape: factors))(x)
    assert found.dtype == np.longdouble
    moved = np.asarray((found / (x * x) - 1) / E, dtype=float)
    assert np.allclose(np.abs(moved), 1, atol=1e-6)
    assert len(set(np.sign(moved))) == 2


def test_it_lies_below_vmap():
    x = np.random.default_rng(1).normal(size=(4, 3))
    found = B.perturbed(lambda x: B.vmap(lambda row: B.xp.sum(row * row))(x), constant())(x)
    assert np.allclose(found, np.sum(x * x, axis=1) * (1 + E) ** 2, rtol=1e-15)
