"""Every rule of every primitive, against differences, identities and loops."""

from typing import Any

import array_api_strict
import numpy as np
import pytest

from metaspec_numpy import tracer
from tests.numpy_tracer.calls import NUMPY_ONLY
from tests.numpy_tracer.cases import CASES, NO_DERIVATIVE, Case, sample
from tests.numpy_tracer.checks import as_tuple, close, difference, dot

XP = tracer.namespace(np)
BY_NAME = pytest.mark.parametrize("case", CASES, ids=str)
SMOOTH = pytest.mark.parametrize("case", [c for c in CASES if c.smooth], ids=str)


def at(
    case: Case, seed: int = 0, dtype: Any = np.longdouble, lead: tuple[int, ...] = ()
) -> tuple[list[Any], list[Any]]:
    """A point and a direction."""
    rng = np.random.default_rng(seed)
    xs = [sample(domain, lead + shape, rng, dtype) for domain, shape in case.inputs]
    return xs, [np.asarray(rng.normal(size=x.shape), dtype=dtype) for x in xs]


def bind(case: Case, xp: Any = XP) -> Any:
    return lambda *xs: case.function(xp, *xs)


def cotangent(y: Any, seed: int = 1) -> Any:
    return np.asarray(np.random.default_rng(seed).normal(size=y.shape), dtype=y.dtype)


@pytest.mark.parametrize("name", sorted(tracer.PRIMITIVES))
def test_complete(name: str) -> None:
    primitive = tracer.PRIMITIVES[name]
    assert any(case.primitive == name for case in CASES) or name in NUMPY_ONLY.split(), f"no test case for {name}"
    assert callable(primitive.batch)
    assert (primitive.jvp is None) == (primitive.vjp is None) == (name in NO_DERIVATIVE)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case_uses_its_primitive(case: Case) -> None:
    program = tracer.record(bind(case), tuple(at(case, dtype=np.float32)[0]))
    used = {step.primitive.name for step in program.instructions}
    trivial = {"stop_gradient", "positive"}  # a recording has no need of them
    alike = case.label in ("to the 0", "to the 1", "key new") or case.primitive in (
        "broadcast_to",
        "reshape",
        "permute",
    )
    if case.primitive not in trivial and not alike:
        assert case.primitive in used, used


@BY_NAME
def test_forward_against_differences(case: Case) -> None:
    f, (xs, ts) = bind(case), at(case)
    y, t = tracer.jvp(f, xs, ts)
    assert y.dtype == t.dtype == np.longdouble
    (expected,) = difference(f, xs, ts)
    close(t, expected, 1e-11)


@BY_NAME
def test_forward_is_the_transpose_of_reverse(case: Case) -> None:
    f, (xs, ts) = bind(case), at(case)
    y, t = tracer.jvp(f, xs, ts)
    value, pullback = tracer.vjp(f, *xs)
    close(value, y, 0)
    g = cotangent(y)
    gs = pullback(g)
    assert [x.shape for x in gs] == [x.shape for x in xs]
    assert {x.dtype for x in gs} == {np.dtype(np.longdouble)}
    close(dot([g], [t]), dot(gs, ts), 1e-16)


@SMOOTH
def test_second_order_against_differences(case: Case) -> None:
    f, (xs, ts) = bind(case), at(case)
    g = cotangent(f(*xs))

    def gradient(*xs: Any) -> Any:
        return tracer.vjp(f, *xs)[1](g)

    _, forward = tracer.jvp(gradient, xs, ts)
    expected = difference(gradient, xs, ts)
    for a, b in zip(forward, expected, strict=True):
        close(a, b, 1e-10)
    _, pullback = tracer.vjp(gradient, *xs)  # the Hessian is its own transpose
    for a, b in zip(pullback(tuple(ts)), expected, strict=True):
        close(a, b, 1e-10)

    def along(*xs: Any) -> Any:
        return tracer.jvp(f, xs, ts)[1]

    for a, b in zip(tracer.vjp(along, *xs)[1](g), expected, strict=True):
        close(a, b, 1e-10)
    close(dot([g], [tracer.jvp(along, xs, ts)[1]]), dot(expected, ts), 1e-10)


@SMOOTH
def test_pullback_is_linear_and_differentiable_in_its_cotangent(case: Case) -> None:
    f, (xs, ts) = bind(case), at(case)
    y, pullback = tracer.vjp(f, *xs)
    g, h = cotangent(y), cotangent(y, 2)
    _, t = tracer.jvp(pullback, [g], [h])
    for a, b in zip(t, pullback(h), strict=True):
        close(a, b, 1e-15)
    (back,) = tracer.vjp(pullback, g)[1](tuple(ts))
    close(back, tracer.jvp(f, xs, ts)[1], 1e-15)


def loop(f: Any, *args: Any, flags: list[bool] | None = None) -> list[Any]:
    flags = flags or [True] * len(args)
    size = next(len(x) for x, flag in zip(args, flags, strict=True) if flag)
    rows = [as_tuple(f(*[x[i] if flag else x for x, flag in zip(args, flags, strict=True)])) for i in range(size)]
    return [np.stack([np.asarray(y) for y in column]) for column in zip(*rows, strict=True)]


@BY_NAME
def test_batched_against_a_loop(case: Case) -> None:
    f, (xs, ts) = bind(case), at(case, lead=(3,))
    for batched in {tuple(i != j for i in range(len(xs))) for j in range(len(xs))} | {(True,) * len(xs)}:
        if not any(batched):
            continue
        args = [x if flag else x[0] for x, flag in zip(xs, batched, strict=True)]
        tangents = [t if flag else t[0] for t, flag in zip(ts, batched, strict=True)]
        moving = [i for i, flag in enumerate(batched) if flag]

        def everything(*moved: Any, args: Any = args, tangents: Any = tangents, moving: Any = moving) -> Any:
            """The value, its tangent, and its gradient's tangent, with some arguments closed over."""
            n = len(moving)
            here, there = list(args), list(tangents)
            for i, x, t in zip(moving, moved[:n], moved[n:], strict=True):
                here[i], there[i] = x, t

            def gradient(*xs: Any) -> Any:
                y, pullback = tracer.vjp(f, *xs)
                return pullback(XP.ones_like(y))

            return (*tracer.jvp(f, here, there), *tracer.jvp(gradient, here, there)[1])

        moved = [args[i] for i in moving] + [tangents[i] for i in moving]
        for a, b in zip(tracer.vmap(everything)(*moved), loop(everything, *moved), strict=True):
            close(a, b, 1e-15)


@BY_NAME
def test_twice_batched(case: Case) -> None:
    f, (xs, _) = bind(case), at(case, lead=(2, 3))
    out = tracer.vmap(tracer.vmap(f))(*xs)
    close(out, loop(lambda *x: loop(f, *x)[0], *xs)[0], 1e-15)


@BY_NAME
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_digits_too(case: Case, dtype: Any) -> None:
    f, (xs, ts) = bind(case), at(case)
    low = [x.astype(dtype) for x in xs]
    y, t = tracer.jvp(f, low, [x.astype(dtype) for x in ts])
    _, pullback = tracer.vjp(f, *low)
    gs = pullback(np.ones_like(y))
    assert {x.dtype for x in (y, t, *gs)} == {np.dtype(dtype)}
    high = [x.astype(np.longdouble) for x in low]
    _, expected = tracer.jvp(f, high, [x.astype(dtype).astype(np.longdouble) for x in ts])
    close(t, expected, 500 * float(np.finfo(dtype).eps))


@BY_NAME
def test_strict_namespace(case: Case) -> None:
    xs, ts = at(case, dtype=np.float64)
    strict = tracer.namespace(array_api_strict)
    f, g = bind(case, strict), bind(case)
    own = [array_api_strict.asarray(x) for x in xs]

    def both(f: Any, xp: Any) -> Any:
        def run(*args: Any) -> Any:
            n = len(args) // 2
            y, t = tracer.jvp(f, args[:n], args[n:])
            return (y, t, *tracer.vjp(f, *args[:n])[1](xp.ones_like(y)))

        return run

    tangents = [array_api_strict.asarray(t) for t in ts]
    for a, b in zip(both(f, strict)(*own, *tangents), both(g, XP)(*xs, *ts), strict=True):
        assert type(a) is type(own[0])
        close(a, b, 1e-12)
    stacked = [array_api_strict.stack([x, x]) for x in (*own, *tangents)]
    for a, b in zip(tracer.vmap(both(f, strict))(*stacked), both(g, XP)(*xs, *ts), strict=True):
        close(a[1, ...], b, 1e-12)


@BY_NAME
def test_recorded(case: Case) -> None:
    f = bind(case)

    def everything(*args: Any) -> Any:
        n = len(args) // 2
        y, t = tracer.jvp(f, args[:n], args[n:])
        gradient = lambda *xs: tracer.vjp(f, *xs)[1](XP.ones_like(y))  # noqa: E731
        return (y, t, *gradient(*args[:n]), *tracer.jvp(gradient, args[:n], args[n:])[1])

    batched = tracer.vmap(everything)
    (xs, ts), (xs2, ts2) = at(case, 0, np.float64, (2,)), at(case, 7, np.float64, (2,))
    program = tracer.record(batched, (*xs, *ts))
    for args in ((*xs, *ts), (*xs2, *ts2)):
        kept = [x.copy() for x in args]
        for a, b in zip(program(*args), batched(*args), strict=True):
            assert a.dtype == b.dtype
            close(a, b, 1e-12)
        for x, y in zip(args, kept, strict=True):
            close(x, y, 0)
