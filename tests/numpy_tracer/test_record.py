"""A recorded program: right for all inputs, lean, and honest about what it cannot do."""

from typing import Any

import array_api_strict
import numpy as np
import pytest

from metaspec_numpy import tracer
from metaspec_numpy.tracer.recording import computed_anew, recording
from tests.numpy_tracer.checks import close, difference, names

XP = tracer.namespace(np)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))


def test_no_value_of_the_example_gets_in() -> None:
    """Examples of nothing but NaN, and still the right results."""

    def f(x: Any, w: Any) -> Any:
        h = XP.maximum(x @ w, 0.0)
        g = XP.where(h > 1.0, h, h * XP.max(x)) + XP.sort(x, axis=0) + x[XP.argmax(x, axis=1)]
        return XP.sum(g), XP.logsumexp(g, axis=1), tracer.vjp(lambda x: XP.sum(XP.abs(x) ** 2.5), x)[1](XP.ones(()))[0]

    w = RNG.normal(size=(3, 3))
    with np.errstate(invalid="ignore"):
        program = tracer.record(f, (X * np.nan, w * np.nan))
    for a, b in zip(program(X, w), f(X, w), strict=True):
        close(a, b, 1e-14)


def test_constants_are_those_of_the_time_of_recording() -> None:
    w = np.ones(3)
    program = tracer.record(lambda x: x * w, (X,))
    w[:] = 7.0
    close(program(X), X, 0)
    constant = tracer.record(lambda x: XP.ones(2) * 3.0, (X,))
    constant(X)[0] = 5.0
    close(constant(X), [3.0, 3.0], 0)


def test_control_flow_on_values_is_refused() -> None:
    for f in (
        lambda x: x if x.sum() > 0 else -x,
        lambda x: float(x[0, 0]) * x,
        lambda x: int(XP.argmax(x)) * x,
        lambda x: np.asarray(x),
        lambda x: tracer.vjp(lambda y: y if y.sum() > 0 else -y, x)[0],
    ):
        with pytest.raises(TypeError, match="its value is not known"):
            tracer.record(f, (X,))
        with pytest.raises(TypeError, match="its value is not known"):
            tracer.vmap(f)(X[None])
    with pytest.raises(TypeError, match=r"xp\.where"):
        tracer.record(lambda x: x[x > 0], (X,))


def test_other_shapes_and_dtypes_are_refused() -> None:
    program = tracer.record(lambda x: x * 2.0, (X,))
    with pytest.raises(ValueError, match="argument 0 has shape"):
        program(X[:2])
    with pytest.raises(ValueError, match="argument 0 has shape"):
        program(X.astype(np.float32))
    with pytest.raises(ValueError, match="takes 1 arrays; 2"):
        program(X, X)


def test_is_concrete() -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append(tracer.is_concrete(x))
        return x

    f(X)
    tracer.record(f, (X,))
    tracer.vmap(f)(X)
    tracer.vjp(f, X)
    tracer.jvp(f, [X], [X])
    assert seen == [True, False, False, False, False]


def test_a_program_can_be_traced_and_recorded_again() -> None:
    program = tracer.record(lambda x, y: XP.tanh(x @ y), (X, X.T))
    g = lambda x: XP.sum(program(x, X.T) ** 2)  # noqa: E731
    expected = tracer.vjp(lambda x: XP.sum(XP.tanh(x @ X.T) ** 2), X)[1](np.ones(()))[0]
    gradient = lambda x: tracer.vjp(g, x)[1](np.ones(()))[0]  # noqa: E731
    close(gradient(X), expected, 1e-14)
    close(tracer.record(gradient, (X,))(X), expected, 1e-14)


def test_recording_under_a_batch() -> None:
    """The constants are traced arrays then, and the program runs by way of the primitives."""

    def row(x: Any) -> Any:
        return tracer.record(lambda u: u * x, (np.ones(3),))(x)

    close(tracer.vmap(row)(X), X * X, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.longdouble])
def test_other_dtypes(dtype: Any) -> None:
    def f(x: Any) -> Any:
        gradient = lambda x: tracer.vjp(lambda x: XP.mean(XP.tanh(x @ x.T / 3) ** 2), x)[1](XP.ones((), dtype=dtype))[0]  # noqa: E731
        return gradient(x - 0.1 * gradient(x))

    x = X.astype(dtype)
    out = tracer.record(f, (x,))(x)
    assert out.dtype == dtype
    close(out, f(x), 20 * float(np.finfo(dtype).eps))


def test_linear_work_per_step() -> None:
    """Each further step of a long loop adds the same number of instructions: nothing is recorded twice."""

    def steps(n: int) -> int:
        def f(x: Any) -> Any:
            for _ in range(n):
                x = x - 0.1 * tracer.vjp(lambda x: XP.sum(XP.tanh(x @ X.T) ** 2), x)[1](np.ones(()))[0]
            return x

        return len(tracer.record(f, (X,)).instructions)

    assert steps(4) - steps(3) == steps(3) - steps(2) <= 9


def test_strict_namespace() -> None:
    strict = tracer.namespace(array_api_strict)
    x = array_api_strict.asarray(X)

    def f(xp: Any) -> Any:
        loss = lambda x: xp.sum(xp.tanh(x @ x.T) ** 2)  # noqa: E731
        return lambda x: tracer.jvp(lambda x: tracer.vjp(loss, x)[1](xp.ones_like(loss(x)))[0], [x], [x])[1]

    program = tracer.record(f(strict), (x,))
    out = program(x)
    assert type(out) is type(x)
    close(out, f(XP)(X), 1e-13)


def pooled_net(params: Any, x: Any) -> Any:
    """Convolution as slices and one product, pooling as reshape and max: images (n, 6, 6) to scores (n, 3)."""
    kernel, weights = params
    n = x.shape[0]
    patches = XP.stack([x[:, i : i + 5, j : j + 5][:, :4, :4] for i in range(3) for j in range(3)], axis=-1)
    maps = XP.tanh(patches @ kernel)
    pooled = XP.max(XP.reshape(maps, (n, 2, 2, 2, 2, 4)), axis=(2, 4))
    return XP.reshape(pooled, (n, 16)) @ weights


def test_pooled_convolutions_batched_over_tasks() -> None:
    """Compiled, batched, two inner steps and second order: where a compiler of derivatives has gone wrong before."""
    rng = np.random.default_rng(3)
    params = (rng.normal(size=(9, 4)) / 3, rng.normal(size=(16, 3)) / 4)
    images, labels = rng.normal(size=(5, 2, 4, 8, 8))[..., :6, :6], rng.integers(0, 3, size=(5, 2, 4))

    def loss(params: Any, x: Any, y: Any) -> Any:
        hot = XP.astype(y[:, None] == XP.arange(3), x.dtype)
        return -XP.mean(XP.sum(XP.log_softmax(pooled_net(params, x)) * hot, axis=1))

    def adapted(kernel: Any, weights: Any, x: Any, y: Any) -> Any:
        theta = (kernel, weights)
        for _ in range(2):
            value, pullback = tracer.vjp(lambda *p: loss(p, x[0], y[0]), *theta)
            theta = tuple(p - 0.3 * g for p, g in zip(theta, pullback(XP.ones_like(value)), strict=True))
        return loss(theta, x[1], y[1])

    def meta(kernel: Any, weights: Any, x: Any, y: Any) -> Any:
        def row(x: Any, y: Any) -> Any:
            value, pullback = tracer.vjp(lambda *p: adapted(*p, x, y), kernel, weights)
            return (value, *pullback(XP.ones_like(value)))

        return tuple(XP.mean(z, axis=0) for z in tracer.vmap(row)(x, y))

    program = tracer.record(meta, (*params, images, labels))
    value, *gradient = program(*params, images, labels)
    each = [adapted(*params, x, y) for x, y in zip(images, labels, strict=True)]
    close(value, np.mean(each), 1e-14)

    def mean(*p: Any) -> Any:
        return np.mean([adapted(*p, x, y) for x, y in zip(images, labels, strict=True)])

    direction = [rng.normal(size=p.shape) for p in params]
    (expected,) = difference(mean, params, direction, 1e-4)
    close(sum(np.sum(g * t) for g, t in zip(gradient, direction, strict=True)), expected, 1e-9)


def test_scalars_of_every_kind_in_a_program_that_is_traced() -> None:
    def f(x: Any) -> Any:
        bounded = XP.minimum(XP.maximum(x, float("-inf")), float("inf"))
        return XP.where(x > 0, True, False), x + 1, bounded * 0.5, XP.where(x > 0, x, float("nan"))

    program = tracer.record(f, (X[0],))
    for run in (lambda x: [program(row) for row in x], lambda x: list(zip(*tracer.vmap(program)(x), strict=True))):
        for row, outs in zip(X, run(X), strict=True):
            for a, b in zip(outs, f(row), strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)


def test_recording_is_known_while_it_lasts() -> None:
    seen: list[bool] = []

    def f(x: Any) -> Any:
        seen.append(recording())
        return x

    tracer.record(f, (X,))
    with pytest.raises(ZeroDivisionError):
        tracer.record(lambda x: 1 // 0, (X,))
    assert (seen, recording()) == ([True], False)


def test_what_is_computed_anew_is_recorded_twice() -> None:
    def f(x: Any) -> Any:
        first = XP.sin(x)
        with computed_anew():
            second = XP.sin(x) + XP.cos(x)
        return first + second + XP.sin(x) + XP.cos(x)

    recorded = names(tracer.record(f, (X,)))
    assert (recorded.count("sin"), recorded.count("cos")) == (2, 2)
    close(f(X), 2 * (np.sin(X) + np.cos(X)) + np.sin(X), 1e-15)
