"""Random functions of random inputs: recorded, replayed with buffers used again, they give what NumPy gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from metaspec_numpy import tracer
from tests.numpy_tracer.checks import close

XP = tracer.namespace(np)
N = 4
STEPS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: a - 0.5 * b,
    lambda a, b: XP.tanh(a),
    lambda a, b: -a,
    lambda a, b: a * 1.0,
    lambda a, b: a.mT,
    lambda a, b: a.mT + a,
    lambda a, b: a * a.mT,
    lambda a, b: a @ b,
    lambda a, b: a.mT @ b * 0.2,
    lambda a, b: XP.flip(a, axis=0),
    lambda a, b: XP.reshape(XP.reshape(a, (2, 2 * N)) * 0.5, (N, N)),
    lambda a, b: XP.reshape(a.mT, (N * N,)).reshape((N, N)),
    lambda a, b: XP.broadcast_to(XP.sum(a, axis=0), (N, N)) * 0.2,
    lambda a, b: XP.sum(a, axis=1, keepdims=True) * b * 0.2,
    lambda a, b: XP.broadcast_to(a[0], (N, N)),
    lambda a, b: XP.concat([a[1:], b[:1]]),
    lambda a, b: XP.where(a > b, a, b),
    lambda a, b: XP.maximum(a, 0.0) + XP.max(b),
    lambda a, b: XP.tanh(XP.ones((N, N)) * 0.3) @ a,
    lambda a, b: XP.take(a, XP.argmax(b, axis=0), axis=0),
]
PLAN = st.lists(
    st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 5), st.integers(0, 5)), min_size=4, max_size=14
)


def follow(plan: Any, outputs: Any) -> Callable[..., Any]:
    def f(x: Any, y: Any) -> Any:
        values = [x, y]
        for step, i, j in plan:
            values.append(STEPS[step](values[-1 - i % len(values)], values[-1 - j % len(values)]))
        return tuple(values[-1 - k % len(values)] for k in outputs)

    return f


@given(PLAN, st.lists(st.integers(0, 20), min_size=1, max_size=3), st.integers(0, 9))
@settings(deadline=None, max_examples=250, derandomize=True)
def test_replay_is_what_was_recorded(plan: Any, outputs: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, N, N)) * 0.5
    f = follow(plan, outputs)
    program = tracer.record(f, (y * 0.0, x * 0.0))
    kept = x.copy(), y.copy()
    first = program(x, y)
    copies = [a.copy() for a in first]
    program(y, x)
    for a, copy, b in zip(first, copies, f(x, y), strict=True):
        assert np.array_equal(a, copy)
        close(a, b, 1e-13)
    assert np.array_equal(kept, (x, y))


@given(PLAN, st.integers(0, 9))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_derivatives_of_random_functions(plan: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, t, g = rng.normal(size=(4, N, N)) * 0.5
    f = lambda x: follow(plan, [0])(x, y)[0]  # noqa: E731
    _, tangent = tracer.jvp(f, [x], [t])
    (gx,) = tracer.vjp(f, x)[1](g)
    close(np.sum(g * tangent), np.sum(gx * t), 1e-12)
    gradient = lambda x: tracer.vjp(f, x)[1](g)[0]  # noqa: E731
    forward = tracer.jvp(gradient, [x], [t])[1]
    close(forward, tracer.vjp(gradient, x)[1](t)[0], 1e-12)
    hvp = lambda x, t: tracer.jvp(gradient, [x], [t])[1]  # noqa: E731
    close(tracer.record(tracer.vmap(hvp), (y[None], y[None]))(x[None], t[None])[0], forward, 1e-12)
