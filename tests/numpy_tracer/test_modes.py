"""What forward, reverse and batch mode do at the edges of their rules, and among arrays that are not NumPy's."""

from typing import Any

import array_api_strict
import numpy as np
import pytest

from metaspec_numpy import tracer
from metaspec_numpy.tracer.core import Box, Trace

XP = tracer.namespace(np)
STRICT = tracer.namespace(array_api_strict)
X = np.asarray([1.0, -2.0, 3.0])


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "maximum", "where", "pow", "hypot", "atan2"])
def test_tangents_have_the_shape_of_the_value(name: str) -> None:
    """Where one argument alone moves and the other is of higher rank."""
    wide = np.full((2, 3), 2.0)
    calls = {"where": [lambda x: XP.where(wide > 0, x, wide), lambda x: XP.where(wide < 0, wide, x)]}
    f = getattr(XP, name)
    for call in calls.get(name, [lambda x: f(x, wide), lambda x: f(wide, x)]):
        x = np.abs(X)
        value, tangent = tracer.jvp(call, [x], [np.ones(3)])
        assert tangent.shape == value.shape == (2, 3)
        (gradient,) = tracer.vjp(call, x)[1](np.ones((2, 3)))
        assert gradient.shape == (3,)
        np.testing.assert_allclose(gradient, tangent.sum(axis=0))


def test_ties_are_halved_in_every_namespace() -> None:
    for xp, raw in ((XP, np), (STRICT, array_api_strict)):
        x, y = raw.asarray([1.0, 2.0, 3.0]), raw.asarray([1.0, 3.0, 2.0])
        for f, expected in ((xp.maximum, [0.5, 0.0, 1.0]), (xp.minimum, [0.5, 1.0, 0.0])):
            one = raw.ones(3)
            gx, gy = tracer.vjp(f, x, y)[1](one)
            np.testing.assert_array_equal(np.asarray(gx), expected)
            np.testing.assert_array_equal(np.asarray(gy), 1.0 - np.asarray(expected))


def test_arrays_that_know_no_box_leave_operators_to_it() -> None:
    a = array_api_strict.asarray([2.0, 3.0, 4.0])
    x = array_api_strict.asarray([1.0, -2.0, 3.0])

    def f(x: Any) -> Any:
        return STRICT.sum(a * x + (a - x) / a)

    def run(x: Any) -> Any:
        return tracer.vjp(f, x)[1](array_api_strict.asarray(1.0))[0]

    expected = np.asarray(a) - 1.0 / np.asarray(a)
    np.testing.assert_allclose(np.asarray(run(x)), expected)
    np.testing.assert_allclose(np.asarray(tracer.vmap(run)(array_api_strict.stack([x, x])))[1], expected)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_batches_of_indices_alone_and_of_arrays_alone(axis: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    for index in (np.asarray([[0, 2], [1, 1]]), np.asarray([[[0], [2]], [[1], [0]]]), np.asarray([2, 0])):
        taken = tracer.vmap(lambda i: XP.take(x, i, axis=axis))(index)
        np.testing.assert_array_equal(taken, np.stack([np.take(x, i, axis=axis) for i in index]))
        taken = tracer.vmap(lambda y, i=index: XP.take(y, i, axis=axis))(np.stack([x, -x]))
        np.testing.assert_array_equal(taken, np.stack([np.take(x, index, axis=axis), -np.take(x, index, axis=axis)]))
        both = tracer.vmap(lambda y, i: XP.take(y, i, axis=axis))(np.stack([x, -x]), index[:2])
        np.testing.assert_array_equal(
            both, np.stack([np.take(y, i, axis=axis) for y, i in ((x, index[0]), (-x, index[1]))])
        )


@pytest.mark.parametrize("axis", [0, 1])
def test_gradients_of_batches_of_indices(axis: int) -> None:
    x, index = np.random.default_rng(0).normal(size=(4, 4)), np.asarray([[0, 2, 2], [1, 1, 3]])

    def pulled(i: Any) -> Any:
        return tracer.vjp(lambda x: XP.sum(XP.take(x, i, axis=axis) ** 2), x)[1](np.ones(()))[0]

    for row, gradient in zip(index, tracer.vmap(pulled)(index), strict=True):
        expected = np.zeros_like(x)
        for k in row:
            at = (k,) if axis == 0 else (slice(None), k)
            expected[at] += 2 * x[at]
        np.testing.assert_allclose(gradient, expected)


def test_a_trace_is_abstract_and_a_primitive_has_a_name() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Trace(Box, [])  # type: ignore[abstract]
    assert repr(tracer.PRIMITIVES["add"]) == "<primitive add>"


def test_what_a_transformation_is_given_has_to_match() -> None:
    with pytest.raises(ValueError, match="jvp: 1 primals but 2 tangents"):
        tracer.jvp(lambda x: x, [X], [X, X])
    with pytest.raises(ValueError, match="pullback: 1 outputs but 2 cotangents"):
        tracer.vjp(lambda x: (x,), X)[1]((X, X))
    for args in ((X, X[:2]), (X, np.float64(1.0)), ()):
        with pytest.raises(ValueError, match="vmap: arguments need one common length on axis 0"):
            tracer.vmap(lambda *xs: xs[0])(*args)


def test_integers_among_the_inputs_have_zero_gradients_and_tangents() -> None:
    n = np.asarray([1, 2, 3])
    value, pullback = tracer.vjp(lambda x, n: x * n, X, n)
    gx, gn = pullback(np.ones(3))
    np.testing.assert_array_equal(gx, n)
    np.testing.assert_array_equal(gn, np.zeros(3))
    assert gn.dtype == n.dtype
    _, tangent = tracer.jvp(lambda x, n: x * n, [X, n], [None, np.ones(3)])
    np.testing.assert_array_equal(tangent, np.zeros(3))
    np.testing.assert_array_equal(value, X * n)


def test_results_may_be_written_to() -> None:
    """No result is a read-only view, nor the caller's own array spread out."""
    value, pullback = tracer.vjp(lambda x: (XP.broadcast_to(x, (2, 3)), x), X)
    for array in (*value, *pullback((np.ones((2, 3)), np.ones(3))), tracer.vmap(lambda x: XP.ones(2))(X)):
        assert array.flags.writeable
