"""Laws of `xp` beyond elementwise functions: arguments, formats and derivatives of the array API standard's functions.

Each claim is one call, named as it is written, so that a failure says which function is wrong. Inputs are small dyadic
numbers: what the standard says comes out exactly in NumPy, which is the reference for values.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import array_api_compat.numpy as reference
import numpy as np

from metaspec.backend.protocol import Backend, is_floating
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds, Same
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.members.required_members import member, once
from metaspec_conformance.workers.user_errors import describe_adapter_error

X = np.array([[3.0, -1.0, 2.0], [0.5, 4.0, -2.0], [0.0, 3.0, 1.5]])
Y = np.array([2.0, -1.0, 2.0, 0.5])
SPREAD = np.array([[0.0, 3.0], [3.0, 4.0], [6.0, 0.0]])  # columns and rows of whole deviations and lengths
NUMBERS = np.array([2, 4, 7], "int32")
PLACES = np.array([2, 0], "int32")

Calls = dict[str, Callable[[], Any]]


def _calls(xp: Any, x: Any, y: Any, s: Any, n: Any, i: Any) -> Calls:
    """Return calls of the standard's functions; counts and places are made floating, for their formats differ."""

    def count(k: Any) -> Any:
        return xp.astype(k, x.dtype)

    return {
        "std(x, axis=0, correction=1)": lambda: xp.std(s, axis=0, correction=1.0)[:1],
        "var(x, axis=0, correction=1)": lambda: xp.var(s, axis=0, correction=1.0)[:1],
        "var(x, keepdims=True)": lambda: xp.var(s, axis=1, keepdims=True),
        "mean(x, axis=(0, 1))": lambda: xp.mean(s[1:, :], axis=(0, 1)),
        "clip(x, 0, 1)": lambda: xp.clip(x, 0.0, 1.0),
        "clip(x, min=0)": lambda: xp.clip(x, min=0.0),
        "clip(x, None, 1)": lambda: xp.clip(x, None, 1.0),
        "sort(x)": lambda: xp.sort(x),
        "sort(x, axis=0, descending=True)": lambda: xp.sort(x, axis=0, descending=True),
        "argsort(x, axis=0)": lambda: count(xp.argsort(x, axis=0)),
        "argsort(x, descending=True)": lambda: count(xp.argsort(x, descending=True)),
        "argmax(x, keepdims=True)": lambda: count(xp.argmax(x, axis=1, keepdims=True)),
        "argmin(x, axis=0)": lambda: count(xp.argmin(x, axis=0)),
        "max(x, axis=0)": lambda: xp.max(x, axis=0),
        "min(x, keepdims=True)": lambda: xp.min(x, axis=1, keepdims=True),
        "take(x, i, axis=1)": lambda: xp.take(x, i, axis=1),
        "take_along_axis(x, argsort(x))": lambda: xp.take_along_axis(x, xp.argsort(x, axis=1), axis=1),
        "sum(n, dtype)": lambda: xp.sum(n, dtype=x.dtype),
        "prod(x, axis=0)": lambda: xp.prod(x, axis=0),
        "cumulative_sum(x, axis=1)": lambda: xp.cumulative_sum(x, axis=1),
        "cumulative_sum(y, include_initial=True)": lambda: xp.cumulative_sum(y, include_initial=True),
        "cumulative_prod(x, axis=0)": lambda: xp.cumulative_prod(x, axis=0),
        "count_nonzero(x > 0)": lambda: count(xp.count_nonzero(x > 0)),
        "all(x, keepdims=True)": lambda: xp.all(x > -3, axis=0, keepdims=True),
        "diff(x, axis=1)": lambda: xp.diff(x, axis=1),
        "roll(x, 1, axis=1)": lambda: xp.roll(x, 1, axis=1),
        "flip(x, axis=0)": lambda: xp.flip(x, axis=0),
        "squeeze(x[:1])": lambda: xp.squeeze(x[:1, :], axis=0),
        "moveaxis(x, 0, 1)": lambda: xp.moveaxis(x, 0, 1),
        "broadcast_to(y)": lambda: xp.broadcast_to(y, (2, 4)),
        "broadcast_arrays(x, x[:1])": lambda: xp.broadcast_arrays(x, x[:1, :])[1],
        "concat(axis=None)": lambda: xp.concat([x, y], axis=None),
        "unstack(x, axis=1)": lambda: xp.unstack(x, axis=1)[1],
        "tile(y, (2,))": lambda: xp.tile(y, (2,)),
        "repeat(y, 2)": lambda: xp.repeat(y, 2),
        "meshgrid(y, y[:2])": lambda: xp.meshgrid(y, y[:2], indexing="ij")[1],
        "tril(x)": lambda: xp.tril(x),
        "triu(x, k=1)": lambda: xp.triu(x, k=1),
        "where(x > 0, x, 0.)": lambda: xp.where(x > 0, x, 0.0),
        "zeros((2,), dtype)": lambda: xp.zeros((2,), dtype=x.dtype),
        "ones((2,), dtype)": lambda: xp.ones((2,), dtype=x.dtype),
        "full((2,), 3, dtype)": lambda: xp.full((2,), 3.0, dtype=x.dtype),
        "full_like(x, 2)": lambda: xp.full_like(x, 2.0),
        "arange(3, dtype)": lambda: xp.arange(3, dtype=x.dtype),
        "linspace(0, 1, 5, dtype)": lambda: xp.linspace(0.0, 1.0, 5, dtype=x.dtype),
        "eye(3, dtype)": lambda: xp.eye(3, dtype=x.dtype),
        "floor(x)": lambda: xp.floor(x),
        "ceil(x)": lambda: xp.ceil(x),
        "round(x)": lambda: xp.round(x),
        "trunc(x)": lambda: xp.trunc(x),
        "sign(x)": lambda: xp.sign(x),
        "square(x)": lambda: xp.square(x),
        "negative(x)": lambda: xp.negative(x),
        "divide(x, 2)": lambda: xp.divide(x, xp.full_like(x, 2.0)),
        "floor_divide(x, 2)": lambda: xp.floor_divide(x, xp.full_like(x, 2.0)),
        "remainder(x, 2)": lambda: xp.remainder(x, xp.full_like(x, 2.0)),
        "copysign(x, -x)": lambda: xp.copysign(x, -x),
        "hypot(s, s)": lambda: xp.hypot(s[1:2, 0], s[1:2, 1]),
        "isnan(x)": lambda: xp.isnan(x),
        "isinf(x)": lambda: xp.isinf(x),
        "not_equal(x, 2)": lambda: xp.not_equal(x, xp.full_like(x, 2.0)),
        "greater_equal(x, 2)": lambda: xp.greater_equal(x, xp.full_like(x, 2.0)),
        "logical_xor(x > 0, x > 2)": lambda: xp.logical_xor(x > 0, x > 2),
        "astype(x > 0, dtype)": lambda: xp.astype(x > 0, x.dtype),
        "astype(n, bool)": lambda: xp.astype(n, xp.bool),
        "tensordot(x, x, axes=1)": lambda: xp.tensordot(x, x, axes=1),
        "vecdot(x, x)": lambda: xp.vecdot(x, x),
        "linalg.matmul(x, x)": lambda: xp.linalg.matmul(x, x),
        "linalg.outer(y, y)": lambda: xp.linalg.outer(y, y),
        "linalg.trace(x)": lambda: xp.linalg.trace(x),
        "linalg.diagonal(x)": lambda: xp.linalg.diagonal(x),
        "linalg.vector_norm(s, axis=1)": lambda: xp.linalg.vector_norm(s, axis=1)[1:],
        "linalg.matrix_norm(x)": lambda: xp.linalg.matrix_norm(s[1:2, :]),
        "linalg.inv(x)": lambda: xp.linalg.inv(xp.eye(2, dtype=x.dtype) * 2.0),
        "linalg.det(x)": lambda: xp.linalg.det(xp.tril(x)),
    }


CALLED = tuple(sorted({name.partition("(")[0] for name in _calls(*[None] * 6)}))
"""Functions of `xp` that the calls use."""

ROUNDING = (
    "std",
    "var",
    "mean",
    "hypot",
    "linspace",
    "linalg.vector_norm",
    "linalg.matrix_norm",
    "linalg.inv",
    "linalg.det",
)
"""Functions of the array API whose results may be rounded; all others give the same bits in every format."""


def _plain(x: Any) -> Any:
    """Return NumPy's array of x, with zeros that have no sign."""
    plain = np.array(x)
    return plain if plain.dtype == bool else plain + plain.dtype.type(0)


def _unsigned(B: Backend, found: Any) -> Any:
    """Return a result of the backend in the same form."""
    return _plain(B.to_numpy(found) if B.is_array(found) else found)


def _attempt(B: Backend, call: Callable[[], Any]) -> tuple[Any, str]:
    """Return (result, "") or (None, the error and where the adapter raised it)."""
    try:
        return call(), ""
    except Exception as error:
        return None, describe_adapter_error(error, type(B).__module__.split(".")[0])


@member("xp's functions take the array API standard's arguments, with its results", "MS-DTYPE-3", dtypes=("float32",))
def xp_standard(at: LawContext) -> Iterator[Claim]:
    B = at.B
    given = [at.array(data) for data in (X, Y, SPREAD)] + [B.asarray(data) for data in (NUMBERS, PLACES)]
    wanted = {name: _plain(call()) for name, call in _calls(reference, X, Y, SPREAD, NUMBERS, PLACES).items()}
    wanted["linalg.det(x)"] = np.array(18.0)  # NumPy's own is by logarithms
    for name, call in _calls(B.xp, *given).items():
        found, error = _attempt(B, call)
        if error:
            yield Holds(f"xp.{name}", False, error)
        elif name.partition("(")[0] in ROUNDING:
            yield Equal(f"xp.{name}", found, at.array(wanted[name]))
        else:
            floating = is_floating(wanted[name].dtype.name)
            yield Same(f"xp.{name}", _unsigned(B, found), wanted[name].astype(at.dtype) if floating else wanted[name])
    kinds = {"real floating": True, "integral": False, "numeric": True, ("bool", "integral"): False}
    for kind, truth in kinds.items():
        said, error = _attempt(B, partial(B.xp.isdtype, given[0].dtype, kind))
        yield Holds(f"xp.isdtype(x.dtype, {kind!r})", said == truth, error or f"it is {said!r}")
    largest, error = _attempt(B, lambda: int(B.xp.iinfo(given[3].dtype).max))
    yield Holds("xp.iinfo(n.dtype).max", largest == 2**31 - 1, error or f"it is {largest}")
    largest, error = _attempt(B, lambda: float(B.xp.finfo(given[0].dtype).max))
    least = float(np.finfo(np.float32).max)
    yield Holds("xp.finfo(x.dtype).max", not error and largest >= least, error or f"it is {largest}")


@member("xp.asarray keeps the format of an array, NumPy's too, and takes one", "MS-DTYPE-3", numeric=False)
def xp_asarray(at: LawContext) -> Iterator[Claim]:
    B, x = at.B, at.array(Y)
    numbers, whole = Y.astype(at.dtype), np.array([1, -2], "int32")
    calls: dict[str, tuple[Callable[[], Any], Any]] = {
        f"xp.asarray(NumPy's {at.dtype})": (lambda: B.xp.asarray(numbers), numbers),
        "xp.asarray(NumPy's int32)": (lambda: B.xp.asarray(whole), whole),
        "xp.asarray(NumPy's bool)": (lambda: B.xp.asarray(whole > 0), whole > 0),
        "xp.asarray(x)": (lambda: B.xp.asarray(x), numbers),
        "xp.asarray(list, dtype=x.dtype)": (lambda: B.xp.asarray(Y.tolist(), dtype=x.dtype), numbers),
        "xp.asarray(number, dtype=x.dtype)": (lambda: B.xp.asarray(2, dtype=x.dtype), np.array(2, at.dtype)),
    }
    for name, (call, wanted) in calls.items():
        found, error = _attempt(B, call)
        yield Holds(name, False, error) if error else Same(name, found, wanted)


def _linear(xp: Any, i: Any, m: Any) -> dict[str, Callable[[Any], Any]]:
    """Return functions that are linear near X: each entry of the result is one of x, or a sum of some."""
    return {
        "sort": lambda x: xp.sort(x, axis=1, descending=True),
        "take": lambda x: xp.take(x, i, axis=1),
        "roll": lambda x: xp.roll(x, 1, axis=0),
        "flip": lambda x: xp.flip(x, axis=1),
        "cumulative_sum": lambda x: xp.cumulative_sum(x, axis=1),
        "diff": lambda x: xp.diff(x, axis=0),
        "repeat": lambda x: xp.repeat(x, 2, axis=0),
        "tile": lambda x: xp.tile(x, (1, 2)),
        "tril": lambda x: xp.tril(x),
        "squeeze": lambda x: xp.squeeze(x[1:2, :], axis=0),
        "moveaxis": lambda x: xp.moveaxis(x, 0, 1),
        "broadcast_to": lambda x: xp.broadcast_to(x, (2, 3, 3)),
        "clip": lambda x: xp.clip(x, -0.25, 2.5),
        "max": lambda x: xp.max(x, axis=1),
        "trace": lambda x: xp.linalg.trace(x),
        "matmul": lambda x: xp.matmul(x, m),
        "matmul from the left": lambda x: xp.matmul(xp.matrix_transpose(m), x),
        "where": lambda x: xp.where(x > 1, x, 3.0 * x),
        "concat": lambda x: xp.concat([x, 2.0 * x], axis=1),
        "stack": lambda x: xp.stack([x[0, :], x[2, :]], axis=1),
        "indexing": lambda x: x[1:, 0],
    }


@once("the pull-back of each function of xp is its Jacobian's, at a zero too", "MS-DTYPE-3")
def xp_gradients(at: LawContext) -> Iterator[Claim]:
    B, x = at.B, at.array(X)
    i = B.asarray(PLACES)
    plain = _linear(reference, PLACES, SPREAD)

    def pulled(f: Callable[[Any], Any], u: Any) -> Any:
        return B.vjp(f, x)[1](at.array(u))[0]

    for name, f in _linear(B.xp, i, at.array(SPREAD)).items():
        u = (np.arange(plain[name](X).size, dtype="float64") + 1).reshape(np.shape(plain[name](X)))
        found, error = _attempt(B, partial(pulled, f, u))
        yield (
            Holds(f"xp.{name}", False, error)
            if error
            else Equal(f"xp.{name}", found, at.array(_transposed(plain[name], u)))
        )
    column = X[:, 0]  # with a zero
    others = np.array([np.prod(np.delete(column, k)) for k in range(3)])
    running = np.array(
        [[np.prod(np.delete(column[: m + 1], k)) if k <= m else 0.0 for m in range(3)] for k in range(3)]
    )
    exact = {
        "prod": (lambda x: B.xp.prod(x[:, 0]), np.array(1.0), others),
        "cumulative_prod": (
            lambda x: B.xp.cumulative_prod(x[:, 0]),
            np.array([1.0, 2.0, 3.0]),
            running @ [1.0, 2.0, 3.0],
        ),
        "var": (lambda x: B.xp.var(x[:, 0], correction=1.0), np.array(1.0), None),
    }
    for name, (f, u, gradient) in exact.items():
        wanted = (x[:, 0] - B.xp.sum(x[:, 0]) / 3) if gradient is None else at.array(gradient)
        found, error = _attempt(B, partial(pulled, f, u))
        yield Holds(f"xp.{name}", False, error) if error else Equal(f"xp.{name}", found[:, 0], wanted)


def _transposed(f: Callable[[Any], Any], u: Any) -> Any:
    """Return u J for a function that is linear near X, from its values at X and close by."""
    at = f(X)
    step = 2.0**-6
    gradient = np.zeros_like(X)
    for place in np.ndindex(*X.shape):
        moved = X.copy()
        moved[place] += step
        gradient[place] = np.sum(u * (f(moved) - at)) / step
    return gradient
