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
    """As numpy's; autograd's own derivative, 1 / cosh(x)^2, is NaN at second order where cosh overflows."""
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


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    return tuple(x[(slice(None),) * (axis % x.ndim) + (i,)] for i in range(x.shape[axis]))


def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    return anp.sqrt(anp.sum(x * x, axis=axis, keepdims=keepdims))


linalg = SimpleNamespace(
    **{name: getattr(anp.linalg, name) for name in ("cholesky", "det", "inv", "slogdet", "solve")},
    matmul=anp.matmul,
    matrix_transpose=matrix_transpose,
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
