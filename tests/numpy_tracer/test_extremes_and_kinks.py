"""Far out, derivatives of every order stay finite and right; at kinks they are what the table of conventions says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metaspec_numpy import tracer
from tests.numpy_tracer.checks import close

XP = tracer.namespace(np)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])


def derivatives(f: Callable[[Any], Any], x: Any, orders: int) -> list[Any]:
    """f, f', f'', ... at x by reverse mode, and the last once more by forward mode."""
    g: Callable[[Any], Any] = f
    out = [g(x)]
    for _ in range(orders):

        def g(x: Any, f: Callable[[Any], Any] = g) -> Any:
            y, pullback = tracer.vjp(f, x)
            return pullback(XP.ones_like(y))[0]

        out.append(g(x))
    h: Callable[[Any], Any] = f
    for _ in range(orders):
        h = lambda x, f=h: tracer.jvp(f, [x], [XP.ones_like(x)])[1]  # noqa: E731
    close(h(x), out[-1], 1e-4 if x.dtype == np.float32 else 1e-12)
    return out


FAR = {  # at -1000 and +1000: value, first, second and third derivative
    "tanh": [(-1, 0, 0, 0), (1, 0, 0, 0)],
    "sigmoid": [(0, 0, 0, 0), (1, 0, 0, 0)],
    "softplus": [(0, 0, 0, 0), (1000, 1, 0, 0)],
    "atan": [(-np.atan(1e3), 1e-6, 2e-9, 6e-12), (np.atan(1e3), 1e-6, -2e-9, 6e-12)],
    "asinh": [(np.asinh(-1e3), 1e-3, 1e-6, 2e-9), (np.asinh(1e3), 1e-3, -1e-6, 2e-9)],
}


@DTYPES
@pytest.mark.parametrize("name", FAR)
def test_far_out(name: str, dtype: Any) -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        orders = derivatives(getattr(XP, name), np.asarray([-1000, 1000], dtype=dtype), 3)
    for got, want in zip(orders, np.transpose(FAR[name]), strict=True):
        assert got.dtype == dtype
        close(got, want, 1e-6)


REDUCERS = {
    "logsumexp": lambda x: XP.logsumexp(x, axis=-1),
    "log_softmax": lambda x: XP.log_softmax(x, axis=-1)[..., 0],
    "softmax": lambda x: XP.softmax(x, axis=-1)[..., 0],
    "logaddexp": lambda x: XP.logaddexp(x[..., 0], x[..., 1]),
    "cross entropy": lambda x: -XP.sum(XP.log_softmax(x) * np.asarray([0, 1, 0], dtype=x.dtype), axis=-1),
}


@DTYPES
@pytest.mark.parametrize("name", REDUCERS)
@pytest.mark.parametrize("top", [1000.0, -1000.0])
def test_far_out_reductions(name: str, dtype: Any, top: float) -> None:
    """A common shift of all inputs does not change a derivative."""
    base = np.asarray([[0.5, -0.25, 0.125], [0.0, -800.0, 300.0]], dtype=dtype)

    def hessian(x: Any) -> Any:
        gradient = lambda x: tracer.vjp(REDUCERS[name], x)[1](XP.ones(2, dtype=dtype))[0]  # noqa: E731
        eye = np.eye(6, dtype=dtype).reshape(6, 2, 3)
        return gradient(x), tracer.vmap(lambda t: tracer.jvp(gradient, [x], [t])[1])(eye)

    with np.errstate(over="raise", invalid="raise", divide="raise"):
        here, there = hessian(base), hessian(base + dtype(top))
    for a, b in zip(here, there, strict=True):
        assert np.isfinite(a).all()
        close(a, b, 1e-4 if dtype == np.float32 else 1e-12)


def test_logsumexp_of_infinities() -> None:
    x = np.asarray([[-np.inf, 0.0], [-np.inf, -np.inf], [np.inf, 0.0]])
    with np.errstate(divide="ignore"):
        assert XP.exp(XP.logsumexp(x, axis=1)).tolist() == [1.0, 0.0, np.inf]


KINKS: dict[str, tuple[Callable[[Any], Any], float, tuple[float, ...]]] = {
    "abs": (lambda x: XP.abs(x), 0.0, (0, 0)),
    "maximum": (lambda x: XP.maximum(x, 0.0), 0.0, (0.5, 0)),
    "minimum": (lambda x: XP.minimum(0.0, x), 0.0, (0.5, 0)),
    "maximum of itself": (lambda x: XP.maximum(x, x), 1.5, (1, 0)),
    "clip below": (lambda x: XP.clip(x, 0.0, 1.0), 0.0, (0.5, 0)),
    "clip above": (lambda x: XP.clip(x, 0.0, 1.0), 1.0, (0.5, 0)),
    "hypot": (lambda x: XP.hypot(x, 0.0), 0.0, (0, 0)),
    "norm": (lambda x: XP.linalg.vector_norm(x, axis=()), 0.0, (0, 0)),
    "x**0": (lambda x: x**0, 0.0, (0, 0, 0)),
    "x**1": (lambda x: x**1.0, 0.0, (1, 0, 0)),
    "x**2": (lambda x: x**2, 0.0, (0, 2, 0)),
    "x**3": (lambda x: x**3, 0.0, (0, 0, 6, 0)),
    "x**array(0)": (lambda x: x ** np.zeros_like(np.ones(1)), 0.0, (0, 0, 0)),
    "x**array(2)": (lambda x: x ** np.asarray([2.0]), 0.0, (0, 2)),
    "max of ties": (lambda x: XP.max(XP.concat([x, x * 3.0, x * 0.0 - 1.0])), 0.0, (2,)),
    "min of ties": (lambda x: XP.min(XP.concat([x, x * 3.0, x * 0.0 + 1.0])), 0.0, (2,)),
    "std": (lambda x: XP.std(XP.concat([x, x])), 1.0, (0, 0)),
    "floor": (lambda x: XP.floor(x), 1.0, (0,)),
    "sign": (lambda x: XP.sign(x), 0.0, (0,)),
    "remainder": (lambda x: x % 2.0, 4.0, (1, 0)),
    "safe sqrt": (lambda x: XP.where(x > 0, XP.sqrt(XP.where(x > 0, x, 1.0)), 0.0), 0.0, (0, 0)),
    "product": (lambda x: XP.prod(XP.concat([x, x])), 0.0, (0, 2, 0)),
    "running product": (lambda x: XP.cumulative_prod(XP.concat([x, x]))[-1:], 0.0, (0, 2, 0)),
}


@pytest.mark.parametrize("name", KINKS)
def test_kink(name: str) -> None:
    f, x, expected = KINKS[name]
    with np.errstate(all="raise"):
        orders = derivatives(lambda x: XP.reshape(f(x), (1,)), np.asarray([x]), len(expected))
    close(np.concatenate(orders[1:]), expected, 0)


def test_norm_at_zero_is_flat_at_every_order() -> None:
    norm = lambda x: XP.linalg.vector_norm(x)  # noqa: E731
    gradient = lambda x: tracer.vjp(norm, x)[1](np.ones(()))[0]  # noqa: E731
    with np.errstate(all="raise"):
        close(gradient(np.zeros(3)), np.zeros(3), 0)
        close(tracer.jvp(gradient, [np.zeros(3)], [np.ones(3)])[1], np.zeros(3), 0)


def test_maximum_of_ties_is_shared_within_each_row() -> None:
    x = np.asarray([[1.0, 1.0, 0.0], [2.0, 1.0, 2.0]])
    (g,) = tracer.vjp(lambda x: XP.max(x, axis=1), x)[1](np.asarray([1.0, 4.0]))
    close(g, [[0.5, 0.5, 0.0], [2.0, 0.0, 2.0]], 0)
