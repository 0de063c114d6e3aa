"""Writes in place: traced, batched and recorded functions do what NumPy does, or raise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import metaspec as ms
from metaspec.errors import InvalidArgumentError, InvalidTypeError, MutationError, UnsupportedError
from metaspec_numpy import tracer
from tests.numpy_tracer.checks import close, difference

X = np.random.default_rng(0).normal(size=(4, 3))
IDS = np.array([2, 0, 2])
MASK = X > 0


def _rows(x: Any) -> Any:
    h = x * 1.0
    for row in h:
        row -= row.mean()
    return h**3


def _views_of_views(x: Any) -> Any:
    h = x * 1.0
    part = h[1:, ::-1]
    corner = part.T[0, 1:]
    corner *= 3.0
    h[-1] += 1.0
    return part * corner[1] + h[1:]


def _iadd_alias(x: Any) -> Any:
    a = x * 2
    c = a
    c += 1
    return a * c


def _scalars_are_values(x: Any) -> Any:
    h = x * 1.0
    s = h[0, 0]
    t = s
    s += 5.0
    h += 1.0
    m = h.mean()
    k = m
    m *= 2.0
    return h * t + s + k * m


def _zero_dim_views(x: Any) -> Any:
    h = x * 1.0
    s = h[0, 0, ...]
    t = s
    s += 5.0
    return h * t


def _a_copy_is_apart(x: Any) -> Any:
    h = x * 1.0
    copies = h.copy(), h.flatten(), h[IDS[:2]], h[MASK], np.concatenate([h]), h.astype(h.dtype), +h
    h += 1.0
    return sum((c**2).sum() for c in copies) * h


def _copies_written(x: Any) -> Any:
    h = x * 1.0
    g = h.copy()
    g[0] = 7.0
    f = h[IDS]
    f *= 2.0
    return h * g + f.sum()


def _masks(x: Any) -> Any:
    h = x * 1.0
    h[MASK] = 0.5
    h[MASK[:, 0], 1] = [2.0] * int(MASK[:, 0].sum())
    return h * x


def _integers(x: Any) -> Any:
    h = x * 1.0
    h[IDS] = x[:3] * 2
    h[IDS, [0, 1, 1]] += x[0, 0]
    h[:, [0, 2]] *= x[:, 1:] ** 2
    h[[[0], [1]], [1, 2]] = x[2:, 1:]
    return h**2


def _slices(x: Any) -> Any:
    h = x * 1.0
    h[1:3] = x[:2] * 3
    h[..., 0] -= h[..., 1]
    h[::2, None, 1] = h[1, 1]
    h[-1, -1] = 4.0
    h[:] = h + 1
    h[0] = [1.0, 2.0, 3.0]
    return h**2


def _operators(x: Any) -> Any:
    h = x * 1.0
    g = h
    h += x
    h -= 0.5
    h *= x + 2
    h /= 1.5
    h **= 2
    h //= 0.3
    h %= 7.0
    h @= x.T @ x[:, :3] if False else np.ones((3, 3))
    return g * x


def _later_than_the_tape(x: Any) -> Any:
    m = np.ones(3)
    h = x * 1.0
    y = h * m
    z = h * h
    m *= 2.0
    h *= 5.0
    return y * z + h * m


def _long_constants(x: Any) -> Any:
    m = np.ones(3000)
    y = np.sum(x) * m
    m *= 2.0
    return y * m


def _from_a_parameter(x: Any) -> Any:
    h = x + 0
    h[0] = x[1]
    g = h.T
    g[0] *= 2
    return h * x


def _swapped_rows(x: Any) -> Any:
    h = x * 1.0
    h[[0, 1]] = h[[1, 0]]
    a, b = h[2].copy(), h[3]
    h[2], h[3] = b, a
    return h * np.arange(12.0).reshape(4, 3)


def _reshaped_pieces(x: Any) -> Any:
    h = np.concatenate([x, x])
    v = h.reshape(2, 4, 3)
    v[1] *= 2.0
    w = h[:, None]
    w += 1.0
    return h * v.sum(axis=(1, 2))[0]


def _merged_and_written(x: Any) -> Any:
    h = (x * 2.0).reshape(-1)
    h -= h.mean()
    return h**2


def _at(x: Any) -> Any:
    h = x * 1.0
    np.add.at(h, IDS, x[1:])
    np.subtract.at(h, (IDS, [0, 1, 1]), 2.0 * x[0])
    return h**2


def _constants_spread(x: Any) -> Any:
    m = np.ones(3)
    wide = np.broadcast_to(m, (4, 3))
    y = x * wide
    m *= 2.0
    return y * x


def _outside_of_the_derivative(x: Any) -> Any:
    xp = tracer.array_namespace(x)
    h = x * 3.0
    y = h * h
    s = xp.stop_gradient(h)
    s += 1.0
    return y * s + h


def _by_functions(x: Any) -> Any:
    h = x * 1.0
    np.copyto(h, 2 * x, where=MASK)
    np.put(h, [0, 5, -1], x[0])
    np.putmask(h, x > 0.9, x * x)
    np.put_along_axis(h, np.argsort(X, axis=1)[:, :1], x[:, :1] * 3, axis=1)
    np.place(h, MASK & (X > 0.5), [1.0, 2.0])
    np.fill_diagonal(h, x[1, 1])
    np.multiply(h, 2.0, out=h)
    np.add(h, x, out=h, where=MASK)
    np.cumsum(h, axis=0, out=h)
    g = h[1:]
    g.sort(axis=1)
    g[0].fill(0.25)
    h.put([2], x[3, 2])
    np.clip(h, -20, 20, out=h)
    out = np.zeros_like(x)
    for i in range(4):
        out[i] = h[i] * x[i]
    return out + h


def _transposed_flips_and_splits(x: Any) -> Any:
    h = x * 1.0
    np.flip(h, 0)[0] *= 2
    np.split(h, 2)[1][...] += 1
    np.moveaxis(h, 0, 1)[0] -= 3
    np.rot90(h)[0, 0] = 7.0
    h.swapaxes(0, 1)[2] **= 2
    d = np.diagonal(h)
    h[np.newaxis, 1:2][0, 0, 0] = x[3, 1]
    np.atleast_3d(h)[2] = 0.5
    a, b = h[0], h.T[0]
    a += 1
    b *= a[0]
    return h * d[0]


def _broadcast_follows(x: Any) -> Any:
    h = x[0] * 1.0
    wide = np.broadcast_to(h, (4, 3))
    h += 2.0
    return wide * x


def _by_options(x: Any) -> Any:
    h = x * 1.0
    np.put(h, [1, 40], x[0, :2], mode="clip")
    h.put([13], x[0, 0], "wrap")
    diagonal = np.einsum("ii->i", h[:3])
    diagonal *= 2.0
    np.einsum("ij->ji", h)[0] += 1.0
    h.clip(-1.0, 1.5, out=h)
    h[0, 1] = np.nan
    np.nan_to_num(h, copy=False, nan=0.5)
    apart = np.reshape(h, (4, 3), copy=True)
    apart *= 3.0
    g = x * 1.0
    g.flat = x[1]
    for same in (np.real_if_close(g), np.diff(g, n=0), np.linalg.matrix_power(g[:3], 1), g[[]], g[range(2)]):
        same *= 1.5
    return h * apart - g * (g[0] == None).sum() + g * np.mean(g != "x")  # noqa: E711


PROGRAMS: list[Callable[[Any], Any]] = [
    _rows, _views_of_views, _iadd_alias, _scalars_are_values, _zero_dim_views, _a_copy_is_apart, _copies_written,
    _masks, _integers, _slices, _operators, _later_than_the_tape, _long_constants, _from_a_parameter, _swapped_rows,
    _reshaped_pieces, _merged_and_written, _at, _broadcast_follows,
    _constants_spread, _by_functions, _transposed_flips_and_splits, _by_options,
]  # fmt: skip


def _total(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: np.sum(f(x) * np.sin(np.arange(f(x).size).reshape(f(x).shape)))


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_writes_do_what_numpy_does(f: Callable[[Any], Any]) -> None:
    loss = _total(f)
    gradient = lambda x: tracer.vjp(loss, x)[1](np.ones(()))[0]  # noqa: E731
    direction = np.cos(np.arange(12.0)).reshape(4, 3)
    kept = X.copy()
    close(tracer.vjp(loss, X)[0], loss(X), 1e-13)
    close(tracer.jvp(loss, [X], [direction])[0], loss(X), 1e-13)
    close(tracer.vmap(f)(np.stack([X, X])), np.stack([f(X), f(X)]), 1e-13)
    close(tracer.record(f, (X * 0.5,))(X), f(X), 1e-13)
    if f is not _operators:
        (slope,) = difference(loss, [X], [direction])
        close(np.sum(gradient(X) * direction), slope, 1e-8)
        close(tracer.jvp(loss, [X], [direction])[1], slope, 1e-8)
        (curvature,) = difference(gradient, [X], [direction])
        close(tracer.jvp(gradient, [X], [direction])[1], curvature, 1e-7)
        close(tracer.vjp(gradient, X)[1](direction)[0], curvature, 1e-7)
    close(tracer.vmap(gradient)(np.stack([X, 2 * X]))[0], gradient(X), 1e-12)
    close(tracer.record(gradient, (X * 0.5,))(X), gradient(X), 1e-12)
    assert np.array_equal(kept, X)


def test_indices_that_are_traced() -> None:
    def f(x: Any, ids: Any) -> Any:
        h = x * 1.0
        h[ids] = x[:3] * 2
        h[ids, ids] += 1.0
        h[h > 0.3] = 0.25
        np.add.at(h, ids, x[1:])
        return h * x

    ids = np.stack([IDS, IDS[::-1], IDS * 0])
    xs = np.stack([X, 2 * X, X + 1])
    for mapped in (tracer.vmap(f), tracer.record(tracer.vmap(f), (xs, ids * 0))):
        close(mapped(xs, ids), np.stack([f(x, i) for x, i in zip(xs, ids, strict=True)]), 1e-13)


def test_a_kept_tape_holds_the_values_that_were_used() -> None:
    def outer(x: Any) -> Any:
        theta = x * 1.0
        value, pull = tracer.vjp(lambda t: t**3, theta)
        theta -= 0.5
        return pull(value)[0] + theta

    exact = lambda x: 3 * x**5 + x - 0.5  # noqa: E731
    close(tracer.vjp(outer, X)[0], exact(X), 1e-14)
    close(tracer.vjp(outer, X)[1](np.ones_like(X))[0], 15 * X**4 + 1, 1e-13)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.__iadd__(1.0), MutationError, "must not mutate"),
        (lambda x: x[0].__imul__(1.0), MutationError, "must not mutate"),
        (lambda x: x.T.__setitem__(0, 1.0), MutationError, "must not mutate"),
        (lambda x: x.reshape(-1).__iadd__(1.0), MutationError, "must not mutate"),
        (lambda x: (x * 1).__setitem__(0, np.ones(4)), InvalidArgumentError, r"of shape \(4,\) to an array of shape"),
        (lambda x: (x[0] * 1).__iadd__(x), InvalidArgumentError, r"of shape \(4, 3\) to an array of shape \(3,\)"),
        (lambda x: np.broadcast_to(x[0] * 1, (4, 3)).__iadd__(1.0), MutationError, "read-only"),
        (lambda x: x[True], InvalidTypeError, r"x\[None\] for x\[True\]"),
        (lambda x: (x * 1).__setitem__(np.True_, 0.0), InvalidTypeError, r"x\[None\] for x\[True\]"),
        (lambda x: np.put(x * 1, [12], 1.0), IndexError, "from 12 to 12 for an array of 12"),
        (lambda x: setattr(x * 1, "dtype", np.float32), UnsupportedError, r"x.astype\(dtype\)"),
        (lambda x: setattr(x * 1, "strides", (8, 8)), UnsupportedError, "numpy.ndarray.strides"),
        (lambda x: np.fill_diagonal(x * 1, 0.0, wrap=True), UnsupportedError, "option wrap= has no rule"),
        (lambda x: np.modf(x, out=(x * 1, x * 1)), UnsupportedError, "several results"),
        (lambda x: np.argsort(x, axis=0).__iadd__(0.5), InvalidTypeError, "NumPy refuses that cast"),
    ],
)
def test_what_numpy_refuses_is_refused(call: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tracer.record(call, (X,))
    if error is not InvalidTypeError:
        with pytest.raises(error, match=message):
            tracer.vjp(call, X)


@pytest.mark.parametrize("written", ["base", "reshaped"])
def test_a_reshape_that_may_be_a_copy_is_not_guessed(written: str) -> None:
    def f(x: Any) -> Any:
        h = x * 1.0
        flat = h.reshape(-1)
        if written == "base":
            h += 1.0
            return flat * 2
        flat += 1.0
        return h[0] * 2

    with pytest.raises(UnsupportedError, match="view or a copy depends on the layout"):
        tracer.vjp(f, X)


@pytest.mark.parametrize("leaf", ["params", "batch"])
@pytest.mark.parametrize("form", ["eager", "compiled", "batched"])
def test_parameters_and_batches_are_protected_in_every_form(leaf: str, form: str) -> None:
    def loss(p: Any, b: Any) -> Any:
        h = (p["w"] if leaf == "params" else b["x"])[0]
        h += 1.0
        return np.mean((b["x"] @ p["w"]) ** 2)

    params, task = {"w": X.T.copy()}, ms.Task({"x": X}, {"x": X})
    algo = ms.MAML(ms.GradientDescent(0.1, 1))
    call = {
        "eager": lambda: ms.meta_gradient(algo, loss, params, task),
        "compiled": lambda: ms.compile(lambda p, t: ms.meta_gradient(algo, loss, p, t))(params, task),
        "batched": lambda: ms.batch_meta_gradient(algo, loss, params, [task, task]),
    }[form]
    with pytest.raises(MutationError, match="in place"):
        call()
    assert np.array_equal(params["w"], X.T)


def test_what_stops_the_gradient_is_a_copy() -> None:
    assert np.allclose(tracer.vjp(_outside_of_the_derivative, X)[0], 9 * X**2 * (3 * X + 1) + 3 * X)
    slope = tracer.vjp(lambda x: np.sum(_outside_of_the_derivative(x)), X)[1](np.ones(()))[0]
    close(slope, 18 * X * (3 * X + 1) + 3, 1e-13)
