"""NumPy's own names, methods and operators on traced arrays: the values of NumPy, by the rules of the tracer."""

import re
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing.overrides import get_overridable_numpy_array_functions

import metaspec as ms
from metaspec.errors import InvalidTypeError, MutationError, UnsupportedError
from metaspec_numpy import tracer
from metaspec_numpy.tracer.numpy_api.dispatch import PLAIN
from metaspec_numpy.tracer.numpy_api.refusals import INSTEAD
from metaspec_numpy.tracer.numpy_api.rule import RULES
from metaspec_numpy.tracer.numpy_api.ufuncs import UFUNCS
from tests.numpy_tracer.checks import as_tuple, close, difference

XP = tracer.namespace(np)
RNG = np.random.default_rng(0)
W = RNG.normal(size=(3, 4))
X = RNG.uniform(0.2, 0.9, size=(3, 4))
S = X @ X.T + 2.0 * np.diag([1.0, 2.0, 3.0])  # symmetric, distinct eigenvalues

CALLS: dict[str, Any] = {
    "all": lambda x: np.where(np.all(x > 0.1, axis=0), x, 0.0),
    "any": lambda x: np.where(np.any(x > 0.8, axis=0), x, 0.0),
    "argmax": lambda x: np.take(x.ravel(), np.argmax(x)),
    "argmin": lambda x: np.take(x, np.argmin(x, axis=0), axis=0),
    "argsort": lambda x: np.take_along_axis(x, np.argsort(x), axis=-1),
    "astype": lambda x: np.astype(x, np.float64),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x, x[:1])[1],
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 3, 4)),
    "clip": lambda x: np.clip(x, 0.3, 0.7) + np.clip(x, a_min=0.4, a_max=None),
    "concatenate": lambda x: np.concatenate([x, 2.0 * x], axis=1) + np.concatenate((x, x), 1),
    "count_nonzero": lambda x: np.count_nonzero(x > 0.5, axis=0) * x,
    "cross": lambda x: np.cross(x[:, :3], x[:, 1:]),
    "cumprod": lambda x: np.cumprod(x) + x.cumprod(),
    "cumsum": lambda x: np.cumsum(x, axis=1) + x.cumsum(0),
    "cumulative_prod": lambda x: np.cumulative_prod(x, axis=1),
    "cumulative_sum": lambda x: np.cumulative_sum(x, axis=1),
    "diagonal": lambda x: np.diagonal(x, offset=1),
    "diff": lambda x: np.diff(x, axis=0),
    "dot": lambda x: np.dot(x, x.T) + x.dot(x[0])[:, None],
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x) + np.einsum("ii", x[:, :3]) + np.einsum("...i->...", x),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "flip": lambda x: np.flip(x, 0) + np.flip(x),
    "full_like": lambda x: np.full_like(x, 3.0) * x,
    "hstack": lambda x: np.hstack([x, x]),
    "inner": lambda x: np.inner(x, x),
    "linalg.cholesky": lambda x: np.linalg.cholesky(x @ x.T + np.eye(3)),
    "linalg.det": lambda x: np.linalg.det(x[:, :3] + np.eye(3)),
    "linalg.eigh": lambda x: np.linalg.eigh(S + (x @ x.T) * 0.1)[0],
    "linalg.eigvalsh": lambda x: np.linalg.eigvalsh(S + x @ x.T * 0.1),
    "linalg.inv": lambda x: np.linalg.inv(x[:, :3] + np.eye(3)),
    "linalg.matrix_norm": lambda x: np.linalg.matrix_norm(x),
    "linalg.matrix_power": lambda x: np.linalg.matrix_power(x[:, :3], 3),
    "linalg.norm": lambda x: np.linalg.norm(x) + np.linalg.norm(x, axis=1) + np.linalg.norm(x, "fro"),
    "linalg.qr": lambda x: np.abs(np.linalg.qr(x.T).R),
    "linalg.slogdet": lambda x: np.linalg.slogdet(x[:, :3] + np.eye(3))[1],
    "linalg.solve": lambda x: np.linalg.solve(S, x) + np.linalg.solve(S, x[:, 0])[:, None],
    "linalg.vector_norm": lambda x: np.linalg.vector_norm(x, axis=0),
    "matrix_transpose": lambda x: np.matrix_transpose(x),
    "max": lambda x: np.max(x, axis=1) * x.max(),
    "mean": lambda x: np.mean(x, axis=(0, 1)) * x.mean(0) + x.mean(axis=1, keepdims=True)[0],
    "min": lambda x: np.min(x) * x.min(axis=0),
    "moveaxis": lambda x: np.moveaxis(x, 0, 1),
    "ones_like": lambda x: np.ones_like(x) * x,
    "outer": lambda x: np.outer(x, x[0]),
    "pad": lambda x: np.pad(x, ((1, 2), (0, 1)), constant_values=1.0) + np.pad(x, 1)[:1, :5],
    "prod": lambda x: np.prod(x, axis=1) * x.prod(),
    "ravel": lambda x: np.ravel(x),
    "repeat": lambda x: np.repeat(x, 2, axis=1)[:, :4] + np.repeat(x, [1, 0, 2], axis=0) + np.repeat(x, 2)[:4],
    "reshape": lambda x: np.reshape(x, (2, -1)) * x.reshape(2, 6) * x.reshape((2, 6)),
    "roll": lambda x: np.roll(x, 1) + np.roll(x, 2, axis=0),
    "round": lambda x: np.round(x, 1) * x + np.round(x) * x,
    "sort": lambda x: np.sort(x, axis=0),
    "split": lambda x: np.split(x, 2, axis=1)[1] + np.split(x, [1, 3], axis=1)[1],
    "squeeze": lambda x: np.squeeze(x[:1]) * np.squeeze(x[:, :1], axis=1)[0],
    "stack": lambda x: np.stack([x, x * x], axis=-1),
    "std": lambda x: np.std(x, axis=0, ddof=1) + x.std(),
    "sum": lambda x: np.sum(x, axis=-1, keepdims=True) + x.sum(1)[:, None] + np.add.reduce(x, axis=1)[:, None],
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "take": lambda x: np.take(x, [0, 2, 2], axis=1) + x.take([1, 1, 0], 1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.asarray([[1, 1], [0, 2], [3, 3]]), 1),
    "tensordot": lambda x: np.tensordot(x, x, axes=([1], [1])),
    "tile": lambda x: np.tile(x, 2) + np.tile(x, (1, 2)),
    "trace": lambda x: np.trace(x) * np.trace(x, 1),
    "transpose": lambda x: np.transpose(x) * x.transpose(1, 0) * x.transpose() * np.transpose(x, (1, 0)) + x.T,
    "tril": lambda x: np.tril(x),
    "triu": lambda x: np.triu(x, 1),
    "unstack": lambda x: np.unstack(x, axis=1)[2],
    "var": lambda x: np.var(x, axis=1, ddof=1) * x.var(),
    "vstack": lambda x: np.vstack([x, x[0]]),
    "where": lambda x: np.where(x > 0.5, x, np.zeros(4)),
    "zeros_like": lambda x: np.zeros_like(x) + x,
}


NO_ARRAYS = """
    fromfile fromstring fromfunction fromiter genfromtxt loadtxt require einsum_path datetime_as_string
    busday_count busday_offset is_busday min_scalar_type may_share_memory shares_memory array_repr array_str
    diag_indices_from tril_indices_from triu_indices_from ascontiguousarray asfortranarray full apply_over_axes
    array_equiv polydiv polyint unwrap
"""


def test_every_function_has_a_rule_or_a_reason() -> None:
    """NumPy's functions that have neither a rule nor a reason of their own are listed, and get the general reason."""
    known = {f.__name__ for f in [*RULES, *PLAIN]} | set(INSTEAD)
    functions = {
        f for f in get_overridable_numpy_array_functions() if f.__module__ in ("numpy", "numpy.linalg", "numpy.fft")
    }
    assert {f.__name__ for f in functions} - known == set(NO_ARRAYS.split())


@pytest.mark.parametrize("name", CALLS)
def test_function(name: str) -> None:
    f = CALLS[name]
    t = RNG.normal(size=X.shape)
    value, tangent = tracer.jvp(f, [X], [t])
    close(value, f(X), 1e-14)
    if name != "astype":
        (expected,) = difference(f, [X], [t]) if "linalg" in name else (tangent,)
        close(tangent, expected, 1e-9)
    close(tracer.record(f, (X * 0.9,))(X), f(X), 1e-14)
    close(tracer.vmap(f)(np.stack([X, X]))[1], f(X), 1e-14)


@pytest.mark.parametrize("name", UFUNCS)
def test_ufunc(name: str) -> None:
    ufunc = getattr(np, name)
    if ufunc.nout > 1 or name in ("ldexp", "vecmat", "matvec"):
        return  # in the table of calls
    x = (X * 9).astype(np.int64) if "bit" in name or "shift" in name or name == "invert" else X + (name == "arccosh")
    args = (x, x[:1]) if ufunc.nin == 2 else (x,)
    args = (x, x.T) if name == "matmul" else args
    expected = ufunc(*args)
    seen = tracer.record(lambda *a: ufunc(*a), args)(*args)
    assert seen.dtype == expected.dtype
    close(seen, expected, 1e-15)
    if ufunc.nin == 2 and name not in ("matmul", "vecdot"):
        close(tracer.record(lambda a: ufunc(x, a), args[1:])(args[1]), expected, 1e-15)


NO_RULE = [
    (lambda x: np.unique(x), r"numpy.unique has no rule .* the shape of its result depends on values; use np.where"),
    (lambda x: np.nonzero(x), r"numpy.nonzero has no rule"),
    (lambda x: np.fft.rfft(x), r"numpy.fft.rfft has no rule .* complex, .* np.cos and -np.sin"),
    (lambda x: np.linalg.eigvals(x @ x.T), r"numpy.linalg.eigvals has no rule .* complex"),
    (lambda x: np.partition(x, 1), "numpy.partition .* use np.sort"),
    (lambda x: np.histogram(x), "numpy.histogram .* np.where"),
    (lambda x: np.polyfit(x[0], x[1], 1), "numpy.polyfit .* np.linalg.lstsq"),
    (lambda x: np.spacing(x), "numpy.spacing has no rule"),
    (lambda x: np.frexp(x), "numpy.frexp has no rule"),
    (lambda x: np.emath.sqrt(x), "numpy.lib.scimath.sqrt has no rule .* np.sqrt"),
    (lambda x: np.add.reduceat(x, [0, 2]), "numpy.add.reduceat has no rule"),
    (lambda x: np.exp(x, where=x > 0), "where= without out="),
    (lambda x: np.ravel(x, order="K"), "layout in memory"),
    (lambda x: np.svd if False else np.linalg.svd(x), "give full_matrices=False"),
    (lambda x: np.linalg.qr(x.T, "complete"), "mode 'reduced' has"),
    (lambda x: np.quantile(x, 0.5, method="weibull"), "linear, lower, higher, midpoint and nearest"),
    (lambda x: np.argsort(x, order="f"), r"numpy.argsort: the option order= has no rule"),
    (lambda x: np.pad(x, 1, mode="linear_ramp"), "linear_ramp"),
]


@pytest.mark.parametrize(("call", "message"), NO_RULE, ids=[m for _, m in NO_RULE])
def test_what_has_no_rule_names_itself_and_what_to_write(call: Any, message: str) -> None:
    for transformed in (
        lambda: tracer.vjp(call, X),
        lambda: tracer.record(call, (X,)),
        lambda: tracer.vmap(call)(X[None]),
    ):
        with pytest.raises(UnsupportedError, match=message):
            transformed()


def _into_an_array(x: Any) -> Any:
    out = np.zeros(3)
    out[1] = x[0, 0]
    return out


def _row_into_an_array(x: Any) -> Any:
    out = np.zeros((2, 4))
    out[1] = x[0]
    return out


VALUES = [
    (_into_an_array, r"`out\[1\] = \.\.\.`.*np\.stack"),
    (_row_into_an_array, r"`out\[1\] = \.\.\.`.*np\.stack"),
    (lambda x: np.array([x[0], x[1]]), r"in `np.array\(\[x\[0\], x\[1\]\]\)`.*np\.stack"),
    (lambda x: W.dot(x.T), r"in `W.dot\(x.T\)`.*write x @ w or np.dot"),
    (lambda x: np.float64(x[0, 0]), r"np.float64\(x\[0, 0\]\)`.*leave it out"),
    (lambda x: float(x[0, 0]), r"float\(\) of a traced array.*leave it out"),
    (lambda x: W[np.argmax(x, axis=0)], r"in `W\[np.argmax\(x, axis=0\)\]`.*np\.take\(array, ids, axis=0\)"),
    (lambda x: np.r_[x[0], x[1]], r"np\.concatenate"),
    (lambda x: np.c_[x[0], x[1]], r"np\.column_stack"),
    (lambda x: scipy.special.logsumexp(x), r"scipy.special.logsumexp\(x\)`.*array_namespace\(x\)\.logsumexp"),
    (lambda x: scipy.linalg.solve(x[:, :3], x[:, 0]), r"scipy.linalg.solve.*write np\.linalg\.solve"),
    (lambda x: x if x[0, 0] > 0 else -x, r"bool\(\) of a traced array.*np\.where\(condition, a, b\)"),
    (lambda x: np.full((2, 4), x[0]), "np.broadcast_to"),
]


@pytest.mark.parametrize(("call", "message"), VALUES, ids=[m for _, m in VALUES])
def test_what_wants_a_value_is_named_with_what_to_write(call: Any, message: str) -> None:
    with pytest.raises((InvalidTypeError, ValueError)) as caught:
        tracer.record(call, (X,))
    error = caught.value if isinstance(caught.value, InvalidTypeError) else caught.value.__cause__
    assert re.search(message, str(error)), str(error)


FOREIGN = [
    (lambda x: np.sum(np.asarray(memoryview(x * 1))), r"in `memoryview\(x \* 1\)`.*has no memory"),
    (lambda x: np.frombuffer(x).sum(), r"in `np.frombuffer\(x\)`.*has no memory"),
    (lambda x: sum(np.nditer(x * 1)), r"in `np.nditer\(x \* 1\)`.*np.ndindex"),
    (lambda x: float(f"{np.sum(x)}") * np.sum(x), r"in `float\(f.*compose it"),
]


@pytest.mark.parametrize(("call", "message"), FOREIGN, ids=[m for _, m in FOREIGN])
def test_errors_of_code_that_knows_no_traced_array_are_explained(call: Any, message: str) -> None:
    algo = ms.FOMAML(ms.GradientDescent(0.1, 0))
    with pytest.raises(InvalidTypeError, match=message):
        ms.meta_gradient(algo, lambda p, batch: call(p), X, ms.Task(X, X))


def test_an_error_of_the_loss_that_is_not_about_traced_arrays_stays() -> None:
    def loss(p: Any, batch: Any) -> Any:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as raised:
        ms.meta_gradient(ms.FOMAML(ms.GradientDescent(0.1, 0)), loss, X, ms.Task(X, X))
    assert raised.value.args == ("mine",)


def test_operators() -> None:
    a = np.float64(0.5)
    fs = [
        lambda x: 2 * x + x * 3 - x / 4 + 5 / x - (1 - x),
        lambda x: x**2 + 2.0**x + x**x,
        lambda x: x // 0.3 + x % 0.3 + 1.0 // x + 1.0 % x,
        lambda x: -x + +x + abs(-x),
        lambda x: x @ X.T + X @ x.T,
        lambda x: np.where((x > 0.5) & ~(x < 0.7) | (x == 0.2) ^ (x != 0.3), x, 0.0) + (x >= 0.5) * x + (x <= 0.4) * x,
        lambda x: a * x + x * a + X * x + x * X - X / x,
        lambda x: sum(row * i for i, row in enumerate(x)) * len(x) + x.size + x.ndim,
        lambda x: x.T.mT.T.copy().flatten().ravel().squeeze().clip(0.3, 0.6).round() + x.ravel(),
        lambda x: x.swapaxes(0, 1).repeat(2, axis=0) + x.astype(np.float32).astype(np.float64).T.repeat(2, 0),
        lambda x: x[0].argmax() * x.argmin(axis=1)[:, None] * x + x.any() * x + x.all(axis=0) * x,
    ]
    for f in fs:
        value, _ = tracer.jvp(f, [X], [X])
        close(value, f(X), 1e-15)
        close(tracer.record(f, (X,))(X), f(X), 1e-15)


def test_mutation_is_refused() -> None:
    def f(x: Any) -> Any:
        x[0] = 1.0
        return x

    with pytest.raises(MutationError, match="must not mutate"):
        tracer.vjp(f, X)


def test_attributes() -> None:
    def f(x: Any) -> Any:
        assert (x.shape, x.ndim, x.size, x.dtype, x.device) == ((3, 4), 2, 12, np.float64, "cpu")
        assert x.__array_namespace__() is XP
        assert tracer.array_namespace(x, 1.0) is XP
        assert "traced array" in repr(x)
        with pytest.raises(TypeError, match="unhashable"):
            hash(x)
        return x.sum()

    for transformed in (lambda: tracer.vjp(f, X), lambda: tracer.record(f, (X,)), lambda: tracer.vmap(f)(X[None])):
        transformed()


def test_creation_functions_take_traced_values() -> None:
    def f(x: Any) -> Any:
        s = XP.sum(x)
        a = XP.asarray([s, 1.0, XP.max(x)])
        return XP.full((2,), s), a, XP.asarray(s, dtype=XP.float32), XP.full_like(a, s), XP.zeros_like(x) + s

    for a, b in zip(tracer.record(f, (X,))(X), as_tuple(f(X)), strict=True):
        assert a.dtype == b.dtype
        close(a, b, 1e-15)


def test_dtypes() -> None:
    assert XP.result_type(X, np.float32) == np.float64
    assert XP.finfo(X).eps == XP.finfo(np.float64).eps
    assert XP.iinfo(np.int32).max == 2**31 - 1
    assert XP.isdtype(X.dtype, "real floating")


INDEX = st.one_of(
    st.integers(-3, 2),
    st.slices(3),
    st.none(),
    st.just(Ellipsis),
    st.lists(st.integers(-3, 2), min_size=2, max_size=2).map(np.asarray),
    st.lists(st.lists(st.integers(-3, 2), min_size=2, max_size=2), min_size=1, max_size=2).map(np.asarray),
)


@given(st.lists(INDEX, max_size=4).map(tuple))
@settings(deadline=None, max_examples=300, derandomize=True)
def test_indexing_is_that_of_numpy(key: tuple[Any, ...]) -> None:
    x = RNG.normal(size=(3, 3, 3))
    try:
        expected = x[key]
    except IndexError:
        with pytest.raises((IndexError, ValueError)):
            tracer.vjp(lambda x: x[key], x)
        return
    value, pullback = tracer.vjp(lambda x: x[key], x)
    close(value, expected, 0)
    g = RNG.normal(size=expected.shape)
    adjoint = np.zeros_like(x)
    np.add.at(adjoint, key, g)
    close(pullback(g)[0], adjoint, 1e-15)
    close(tracer.vmap(lambda x: x[key])(np.stack([x, -x]))[1], -expected, 0)
    close(tracer.record(lambda x: x[key], (x * 0,))(x), expected, 0)


def test_indexing_by_traced_arrays_and_masks() -> None:
    i = np.asarray([[0, 2], [-1, 0], [1, 1]])
    rows = tracer.vmap(lambda x, i: x[i] * 2.0)(X, i)
    close(rows, 2.0 * np.take_along_axis(X, i, 1), 0)
    close(tracer.record(lambda x, i: x[i, i], (X, i))(X, i), X[i, i], 0)
    mask = X > 0.5
    close(tracer.vjp(lambda x: x[mask] ** 2, X)[1](np.ones(mask.sum()))[0], np.where(mask, 2 * X, 0.0), 0)
    close(tracer.vjp(lambda x: x[x > 0.5] ** 2, X)[1](np.ones(mask.sum()))[0], np.where(mask, 2 * X, 0.0), 0)
    close(tracer.record(lambda j: XP.take(X, j, axis=0), (i,))(i), X[i], 0)
    with pytest.raises(IndexError, match="out of bounds"):
        tracer.vjp(lambda x: x[np.asarray([3])], X)
    with pytest.raises(IndexError, match="3 indices for an array of rank 2"):
        tracer.vjp(lambda x: x[0, 0, 0], X)
