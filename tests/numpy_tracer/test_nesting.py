"""Transformations in every order, closures over everything, and what must not get through."""

import itertools
from typing import Any

import numpy as np
import pytest

from metaspec_numpy import tracer
from tests.numpy_tracer.checks import close

XP = tracer.namespace(np)
RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 3))


def grad(f: Any) -> Any:
    def gradient(*xs: Any) -> Any:
        y, pullback = tracer.vjp(f, *xs)
        return pullback(XP.ones_like(y))[0]

    return gradient


def f(x: Any) -> Any:
    """x (3,) -> scalar, with all sorts of derivatives."""
    return XP.sum(XP.tanh(W @ x) * x**3) + XP.exp(x[0]) * XP.sin(x[1])


def forward(f: Any) -> Any:
    """Return the gradient, one direction at a time."""
    return lambda x: XP.stack([tracer.jvp(f, [x], [row])[1] for row in np.eye(3)])


def forward_batched(f: Any) -> Any:
    return lambda x: tracer.vmap(lambda row: tracer.jvp(f, [x], [row])[1])(np.eye(3))


def compiled(f: Any) -> Any:
    return lambda *xs: tracer.record(f, xs)(*xs)


GRADIENTS = {"reverse": grad, "forward": forward, "batched": forward_batched}


@pytest.mark.parametrize("names", list(itertools.product(GRADIENTS, repeat=3)), ids="-".join)
@pytest.mark.parametrize("inside", [False, True], ids=["plain", "recorded inside"])
def test_third_order_in_every_combination(names: tuple[str, ...], inside: bool) -> None:
    """The sum of a gradient's elements, differentiated again and again."""

    def chain(names: Any) -> Any:
        g = f
        for name in names:
            g = lambda x, g=g, d=GRADIENTS[name]: XP.sum(d(g)(x) * XP.asarray([1.0, -2.0, 0.5]))  # noqa: E731
        return g

    expected = np.stack([chain(["reverse"] * 3)(x) for x in X])
    g = chain(names)
    if inside:
        first, *others = names
        g0 = compiled(lambda x: GRADIENTS[first](f)(x))
        g = lambda x: XP.sum(g0(x) * XP.asarray([1.0, -2.0, 0.5]))  # noqa: E731
        for name in others:
            g = lambda x, g=g, d=GRADIENTS[name]: XP.sum(d(g)(x) * XP.asarray([1.0, -2.0, 0.5]))  # noqa: E731
    close(np.stack([g(x) for x in X]), expected, 1e-12)
    close(tracer.vmap(g)(X), expected, 1e-12)
    close(compiled(tracer.vmap(g))(X), expected, 1e-12)
    total = lambda X: XP.sum(tracer.vmap(chain(names[:2]))(X) ** 2)  # noqa: E731
    rows = [2 * chain(names[:2])(x) * grad(chain(names[:2]))(x) for x in X]
    close(grad(total)(X), np.stack(rows), 1e-12)
    close(compiled(grad(total))(X), np.stack(rows), 1e-12)


def test_perturbations_are_not_confused() -> None:
    d = lambda f: lambda x: tracer.jvp(f, [x], [np.ones(())])[1]  # noqa: E731
    for outer, inner in itertools.product([d, grad], repeat=2):
        close(outer(lambda x, d=inner: x * d(lambda y: x + y)(np.asarray(1.0)))(np.asarray(2.0)), 1.0, 0)
        close(outer(lambda x, d=inner: x * d(lambda y: x * y * y)(x))(np.asarray(3.0)), 54.0, 0)


def test_closures_over_each_level() -> None:
    def inner(w: Any) -> Any:
        def row(x: Any) -> Any:
            return grad(lambda u: XP.sum((w @ u) ** 2 * x) + XP.sum(w))(x)  # w: outer vjp, x: batch, u: inner vjp

        return XP.sum(tracer.vmap(row)(X) ** 2)

    def looped(w: Any) -> Any:
        return sum(XP.sum((2 * w.T @ ((w @ x) * x)) ** 2) for x in X)

    close(inner(W), looped(W), 1e-13)
    close(grad(inner)(W), grad(looped)(W), 1e-13)
    close(compiled(grad(inner))(W), grad(looped)(W), 1e-13)


def test_stop_gradient_blocks_every_order() -> None:
    g = lambda x: tracer.stop_gradient(x) * x**2  # noqa: E731
    x = np.asarray(3.0)
    for wrap in (lambda f: f, compiled, lambda f: lambda x: tracer.vmap(f)(x[None])[0]):
        close(wrap(grad(g))(x), 18.0, 0)
        close(wrap(grad(grad(g)))(x), 6.0, 0)
        close(wrap(lambda x: tracer.jvp(grad(g), [x], [np.ones(())])[1])(x), 6.0, 0)
        close(wrap(grad(lambda x: tracer.stop_gradient(grad(lambda y: y**3)(x)) * x))(x), 27.0, 0)


def test_unused_and_constant() -> None:
    _, pullback = tracer.vjp(lambda a, b: XP.ones(2), np.ones(3), np.ones((2, 2), dtype=np.float32))
    a, b = pullback(np.ones(2))
    assert (a.shape, a.dtype, b.shape, b.dtype) == ((3,), np.float64, (2, 2), np.float32)
    assert not a.any()
    assert not b.any()
    _, t = tracer.jvp(lambda x: (XP.zeros(2), x), [np.ones(3)], [np.ones(3)])
    close(t[0], np.zeros(2), 0)
    out = tracer.vmap(lambda x: (XP.ones(2), x.sum()))(X)
    assert out[0].shape == (2, 2)


def test_integers_pass_without_derivative() -> None:
    labels = np.asarray([2, 0])
    loss = lambda x, y: XP.sum(XP.where(y[:, None] == XP.arange(3), x, 0.0))  # noqa: E731
    _, pullback = tracer.vjp(loss, X, labels)
    gx, gy = pullback(np.ones(()))
    close(gx, np.eye(3)[labels], 0)
    assert gy.dtype == labels.dtype
    assert not gy.any()


def test_pullback_again_and_again() -> None:
    _, pullback = tracer.vjp(lambda x: XP.sum(x**3), X)
    for scale in (1.0, 2.0):
        close(pullback(np.asarray(scale))[0], scale * 3 * X**2, 1e-14)
    both = tracer.vjp(lambda x: (XP.sum(x), x * 2.0), X)[1]
    close(both((np.asarray(1.0), X))[0], 1.0 + 2.0 * X, 0)
    close(both((None, X))[0], 2.0 * X, 0)


def test_work_ends_where_nothing_depends_on_the_inputs() -> None:
    calls = []
    dead = lambda x: [calls.append(1), XP.exp(x)][1]  # noqa: E731
    box = []

    def g(x: Any) -> Any:
        box.append(dead(XP.ones_like(x)))
        return XP.sum(x * box[0])

    tracer.vjp(g, X)
    assert tracer.is_concrete(box[0])
    linear = tracer.jvp(lambda x: tracer.vjp(lambda y: XP.sum(y * X), x)[1](np.ones(()))[0], [X], [X])[1]
    close(linear, np.zeros_like(X), 0)  # a linear function: exact zeros


def test_vmap_checks_its_arguments() -> None:
    with pytest.raises(ValueError, match="one common length on axis 0"):
        tracer.vmap(lambda x, y: x)(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="shapes are \\(\\)"):
        tracer.vmap(lambda x: x)(np.ones(()))


def test_pullback_outlives_an_outer_batch() -> None:
    def row(x: Any) -> Any:
        y, pullback = tracer.vjp(lambda u: XP.tanh(u) * x, x)
        return tracer.jvp(lambda g: pullback(g)[0], [XP.ones_like(y)], [x])[1]

    close(tracer.vmap(row)(X), np.stack([row(x) for x in X]), 1e-15)
