"""Every function over its options: NumPy's value, differences of it at two orders, batched and recorded the same."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metaspec_numpy import tracer
from tests.numpy_tracer.calls import NUMPY_CALLS, NUMPY_ONLY, SCIPY_CALLS, calls
from tests.numpy_tracer.checks import close, difference, names

special = pytest.importorskip("scipy.special")
RNG = np.random.default_rng(5)
X = RNG.uniform(0.2, 1.1, size=(3, 4)) * RNG.choice([-1.0, 1.0], size=(3, 4))
W = RNG.normal(size=(3, 4))
B = RNG.uniform(size=(3, 4)) > 0.4
S = np.eye(4) * 3 + RNG.normal(size=(4, 4)) * 0.5
BEND = RNG.normal(size=(4, 3))
SCALE = math.pi


def variables(x: Any) -> dict[str, Any]:
    """What the calls are made of, all of it following from x."""
    s = S + np.tanh(BEND @ x)
    p = 0.55 + 0.3 * np.sin(x * 2.1)
    return {
        "np": np, "special": special, "W": W, "B": B, "S": S, "x": x, "p": p, "s": s,
        "a": s @ np.transpose(s) + np.eye(4), "m": np.where(HOLES, np.nan, p),
    }  # fmt: skip


HOLES = np.zeros((3, 4), bool)
HOLES[0, 1] = HOLES[2, 3] = True


def function(call: str) -> Callable[[Any], Any]:
    code = compile(call, call, "eval")

    def f(x: Any) -> Any:
        out = eval(code, variables(x))
        return out[0] if isinstance(out, tuple) else out

    return f


def weighted(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A smooth scalar of f."""

    def loss(x: Any) -> Any:
        y = f(x)
        return np.sum(np.sin(y * 0.7 + 0.1) * np.cos(np.arange(1.0, y.size + 1)).reshape(y.shape))

    return loss


@pytest.mark.parametrize("call", calls(NUMPY_CALLS) + calls(SCIPY_CALLS))
def test_call(call: str) -> None:
    f = function(call)
    expected = f(X)
    value, _ = tracer.jvp(f, [X], [W])
    assert np.asarray(value).dtype == np.asarray(expected).dtype
    close(value, expected, 1e-12)
    close(tracer.vmap(f)(np.stack([X, X * 0.9]))[0], expected, 1e-12)
    close(tracer.record(f, (X * 0.9,))(X), expected, 1e-12)
    if "float32" in call and "0.5" not in call:
        return
    loss = weighted(f)
    gradient = lambda x: tracer.vjp(loss, x)[1](np.ones(()))[0]  # noqa: E731
    (slope,) = difference(loss, [X], [W], 1e-4)
    close(tracer.jvp(loss, [X], [W])[1], slope, 1e-7)
    close(np.sum(gradient(X) * W), slope, 1e-7)
    (curvature,) = difference(gradient, [X], [W], 1e-4)
    close(tracer.jvp(gradient, [X], [W])[1], curvature, 1e-6)
    close(tracer.vjp(gradient, X)[1](W)[0], curvature, 1e-6)
    close(tracer.vmap(gradient)(np.stack([X, X * 0.9]))[0], gradient(X), 1e-9)
    close(tracer.record(gradient, (X * 0.9,))(X), gradient(X), 1e-9)


def test_the_calls_meet_what_is_numpys_alone() -> None:
    met: set[str] = set()
    for call in calls(NUMPY_CALLS) + calls(SCIPY_CALLS):
        if "special" in call or any(name in call for name in ("cbrt", "exp2", "fmod", "svd", "pinv", "addexp2")):
            met |= set(names(tracer.record(function(call), (X,))))
    assert met >= set(NUMPY_ONLY.split())
