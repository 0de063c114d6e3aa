"""The array-API namespace over `autograd.numpy`: what that lacks, what it has no derivative of, what is wrong in it.

Everything else is `autograd.numpy`'s own.
"""

from types import SimpleNamespace
from typing import Any

import autograd.numpy as anp
import numpy
from autograd.extend import defvjp, notrace_primitive, primitive


@primitive
def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent. Autograd's own derivative, 1 / cosh(x)^2, is NaN at second order for large x."""
    return numpy.tanh(x)


defvjp(tanh, lambda y, x: lambda g: g * (1 - y * y))


def abs(x: Any, /) -> Any:
    """|x|; autograd's own derivative is x / |x|, whose derivative is rounding errors over |x| in place of 0."""
    return x * anp.sign(x)


def asarray(x: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
    """An array; a boxed one keeps its derivatives."""
    if hasattr(x, "_trace"):
        return x if dtype is None else astype(x, dtype)
    return numpy.asarray(x, dtype=dtype, device=device, copy=copy)


@primitive
def _cast(x: Any, dtype: Any) -> Any:
    return numpy.asarray(x).astype(dtype)


defvjp(_cast, lambda y, x, dtype: lambda g: _cast(g, x.dtype), None)
_constant_cast = notrace_primitive(_cast)


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """The derivative of a cast to a format that is not floating is zero."""
    if not copy and x.dtype == dtype:
        return x
    return (_cast if numpy.issubdtype(dtype, numpy.inexact) else _constant_cast)(x, dtype)


def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
    if axis is None:
        arrays, axis = [anp.ravel(x) for x in arrays], 0
    return anp.concatenate(list(arrays), axis=axis)


def permute_dims(x: Any, /, axes: tuple[int, ...]) -> Any:
    return anp.transpose(x, axes)


def matrix_transpose(x: Any, /) -> Any:
    return anp.swapaxes(x, -1, -2)


def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    axis = (0 if axis is None else axis) % x.ndim
    if include_initial:
        x = concat([anp.zeros_like(x[(slice(None),) * axis + (slice(0, 1),)]), x], axis=axis)
    return anp.cumsum(x if dtype is None else astype(x, dtype, copy=False), axis)


def vecdot(x: Any, y: Any, /, *, axis: int = -1) -> Any:
    return anp.sum(x * y, axis=axis)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:  # the standard's names
    x = x if min is None else anp.maximum(x, min)
    return x if max is None else anp.minimum(x, max)


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    return take_along_axis(x, argsort(x, axis=axis, descending=descending), axis=axis)


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    return numpy.argsort(_plain(-x if descending else x), axis=axis, stable=True)


def broadcast_to(x: Any, /, shape: tuple[int, ...]) -> Any:
    return anp.broadcast_to(anp.reshape(x, (1,) * (len(shape) - x.ndim) + x.shape), shape)


def var(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """autograd's own derivative knows NumPy's `ddof` alone, and passes over `correction`."""
    misses = x - anp.mean(x, axis=axis, keepdims=True)
    squares = anp.sum(misses * misses, axis=axis, keepdims=keepdims)
    return squares / (x.size // max(1, squares.size) - correction)


def std(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    return anp.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def flip(x: Any, /, *, axis: Any = None) -> Any:
    axes = range(x.ndim) if axis is None else [k % x.ndim for k in (axis if isinstance(axis, tuple) else (axis,))]
    return x[tuple(slice(None, None, -1 if k in axes else 1) for k in range(x.ndim))]


def take(x: Any, indices: Any, /, *, axis: int = 0) -> Any:
    return x[(slice(None),) * (axis % x.ndim) + (indices,)]


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    grid = list(numpy.indices(indices.shape, sparse=True))
    grid[axis] = indices
    return x[tuple(grid)]


def prod(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Products one factor after another; autograd's own derivative divides by x, which may be zero."""
    x = x if dtype is None else astype(x, dtype, copy=False)
    x, axis = (anp.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    found = anp.ones_like(x[(slice(None),) * (axis % x.ndim) + (0,)])
    for factor in unstack(x, axis=axis):
        found = found * factor
    return anp.expand_dims(found, axis) if keepdims else found


def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None) -> Any:
    x, axis = x if dtype is None else astype(x, dtype, copy=False), 0 if axis is None else axis
    running = []
    for factor in unstack(x, axis=axis):
        running.append(running[-1] * factor if running else factor)
    return anp.stack(running, axis=axis)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    return tuple(x[(slice(None),) * (axis % x.ndim) + (i,)] for i in range(x.shape[axis]))


def _plain(x: Any) -> Any:
    while hasattr(x, "_value"):
        x = x._value
    return x


def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    return anp.sqrt(anp.sum(x * x, axis=axis, keepdims=keepdims))


linalg = SimpleNamespace(
    **{name: getattr(anp.linalg, name) for name in ("cholesky", "det", "inv", "slogdet", "solve")},
    matmul=anp.matmul,
    diagonal=lambda x, /: anp.diagonal(x, axis1=-2, axis2=-1),
    matrix_norm=lambda x, /, **options: _vector_norm(x, axis=(-2, -1), **options),
    matrix_transpose=matrix_transpose,
    outer=anp.outer,
    trace=anp.trace,
    vector_norm=_vector_norm,
    vecdot=vecdot,
)

_ALIASES = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atan2": "arctan2",
    "atanh": "arctanh", "pow": "power", "bool": "bool_",
}  # fmt: skip
_OF_NUMPY = ("isdtype", "finfo", "iinfo", "result_type", "can_cast")


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    return getattr(numpy if name in _OF_NUMPY else anp, _ALIASES.get(name, name))
