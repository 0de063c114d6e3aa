"""NumPy's sums, means, quantiles, extrema, orderings and counts."""

from collections.abc import Callable
from typing import Any

import numpy

from metaspec.errors import InvalidArgumentError, UnsupportedError
from metaspec_numpy.tracer.complex_values import conjugate
from metaspec_numpy.tracer.core import Array
from metaspec_numpy.tracer.functions import contractions, shaping
from metaspec_numpy.tracer.functions import reduction_functions as reductions
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.numpy_api.ufuncs import reduced, reduced_axis
from metaspec_numpy.tracer.rules import elementwise_rules as rules
from metaspec_numpy.tracer.rules.structure import astype, count, normalize_axes, normalize_axis


def _reduction(whole: Any, f: Any, neutral: Any) -> Callable[..., Array]:
    def reduce(
        a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
    ) -> Array:
        a = array(a) if dtype is None else astype(array(a), numpy.dtype(dtype))
        found = reduced(whole, f, neutral, a, axis, keepdims, initial, where)
        return found if dtype is None else astype(found, numpy.dtype(dtype))  # it was widened

    return reduce


sum_ = rule(numpy.sum)(_reduction(reductions.sum, rules.add, 0))
prod = rule(numpy.prod)(_reduction(reductions.prod, rules.multiply, 1))
max_ = rule(numpy.max, numpy.amax)(_reduction(reductions.max, rules.maximum, None))
min_ = rule(numpy.min, numpy.amin)(_reduction(reductions.min, rules.minimum, None))
all_ = rule(numpy.all)(_reduction(reductions.all, rules.logical_and, True))
any_ = rule(numpy.any)(_reduction(reductions.any, rules.logical_or, False))


def _search(f: Callable[..., Array]) -> Callable[..., Array]:
    return lambda a, axis=None, keepdims=False: f(array(a), axis=reduced_axis(array(a), axis), keepdims=keepdims)


argmax = rule(numpy.argmax)(_search(reductions.argmax))
argmin = rule(numpy.argmin)(_search(reductions.argmin))
rule(numpy.count_nonzero)(_search(reductions.count_nonzero))


def counted(x: Array, axis: Any, where: Any, keepdims: bool) -> Any:
    """The number of elements that a mean is over."""
    if where is True:
        return count(x.shape, normalize_axes(reduced_axis(x, axis), x.ndim))
    mask = shaping.broadcast_to(array(where), x.shape)
    return sum_(astype(mask, x.dtype), axis, keepdims=keepdims)


@rule(numpy.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, where: Any = True) -> Array:
    a = inexact(array(a)) if dtype is None else astype(array(a), numpy.dtype(dtype))
    return sum_(a, axis, keepdims=keepdims, where=where) / counted(a, axis, where, keepdims)


def inexact(x: Array) -> Array:
    return x if shaping.is_inexact(x) else astype(x, numpy.dtype(float))


@rule(numpy.var)
def var(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, where: Any = True,
    mean: Any = None, correction: float | None = None,
) -> Array:  # fmt: skip
    a = inexact(array(a)) if dtype is None else astype(array(a), numpy.dtype(dtype))
    center = _mean(a, axis, keepdims=True, where=where) if mean is None else mean
    square = reductions.squared(a - center)
    n = counted(square, axis, where, keepdims) - (ddof if correction is None else correction)
    return sum_(square, axis, keepdims=keepdims, where=where) / (max(n, 0) if isinstance(n, int | float) else n)


_mean = mean


@rule(numpy.std)
def std(a: Any, axis: Any = None, dtype: Any = None, **options: Any) -> Array:
    return reductions.safe_sqrt(var(a, axis, dtype, **options))


@rule(numpy.ptp)
def ptp(a: Any, axis: Any = None, keepdims: bool = False) -> Array:
    return max_(a, axis, keepdims=keepdims) - min_(a, axis, keepdims=keepdims)


@rule(numpy.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False) -> Any:
    a = inexact(array(a))
    if weights is None:
        found, scale = mean(a, axis, keepdims=keepdims), array(float(counted(a, axis, True, keepdims)))
        if not found.size:
            raise InvalidArgumentError(f"average of shape {a.shape} over axis {axis} has no entries; NumPy refuses it")
    else:
        w = array(weights)
        if w.shape != a.shape:
            if not isinstance(axis, int) or w.shape != (a.shape[axis],):
                raise InvalidArgumentError(
                    f"weights of shape {w.shape} for an array of shape {a.shape} and axis {axis}"
                )
            axis = normalize_axis(axis, a.ndim)
            w = shaping.reshape(w, tuple(-1 if i == axis else 1 for i in range(a.ndim)))
        scale = sum_(shaping.broadcast_to(w, a.shape), axis, keepdims=keepdims)
        found = sum_(a * w, axis, keepdims=keepdims) / scale
    return (found, astype(shaping.broadcast_to(scale, found.shape), found.dtype)) if returned else found


def _cumulation(f: Callable[..., Array]) -> Callable[..., Array]:
    def cumulate(a: Any, axis: int | None = None, dtype: Any = None) -> Array:
        a = array(a)
        flat = axis is None or (a.ndim == 0 and axis in (0, -1))
        a, along = (shaping.reshape(a, -1), 0) if flat else (a, axis)
        return f(a, axis=along, dtype=None if dtype is None else numpy.dtype(dtype))

    return cumulate


cumsum = rule(numpy.cumsum)(_cumulation(reductions.cumulative_sum))
cumprod = rule(numpy.cumprod)(_cumulation(reductions.cumulative_prod))


@rule(numpy.diff, view=True)  # of no differences the array itself
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    a = array(a)
    axis = normalize_axis(axis, a.ndim)
    ends = [None if x is None else _border(array(x), a, axis) for x in (prepend, append)]
    parts = [x for x in (ends[0], a, ends[1]) if x is not None]
    return reductions.diff(shaping.concat(parts, axis=axis), axis=axis, n=n)


def _border(x: Array, a: Array, axis: int) -> Array:
    return x if x.ndim else shaping.broadcast_to(x, tuple(1 if i == axis else n for i, n in enumerate(a.shape)))


@rule(numpy.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Array:
    inner = reductions.diff(shaping.reshape(array(ary), -1))
    parts = [astype(shaping.reshape(array(x), -1), inner.dtype) for x in (to_begin, inner, to_end) if x is not None]
    return shaping.concat(parts)


@rule(numpy.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f = inexact(array(f))
    axes = normalize_axes(axis, f.ndim)
    if len(varargs) not in (0, 1, len(axes)):
        raise InvalidArgumentError("gradient: give one spacing, or one for each axis")
    spacings = list(varargs or (1.0,)) * (1 if len(varargs) == len(axes) else len(axes))
    found = [_slopes(f, h, a, edge_order) for h, a in zip(spacings, axes, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _slopes(f: Array, h: Any, a: int, edge_order: int) -> Array:
    def cut(start: int | None, stop: int | None) -> Array:
        return shaping.cut(f, a, start, stop)

    if f.shape[a] <= edge_order:
        raise InvalidArgumentError(f"gradient: an axis of length {f.shape[a]} is too short for edge_order {edge_order}")
    if numpy.ndim(h) != 0 or edge_order not in (1, 2):
        raise UnsupportedError("gradient: uneven spacings have no rule; divide np.diff(f) by np.diff(x)")
    inner = (cut(2, None) - cut(None, -2)) / (2.0 * h)
    if edge_order == 1:
        first, last = (cut(1, 2) - cut(0, 1)) / h, (cut(-1, None) - cut(-2, -1)) / h
    else:
        first = (-1.5 * cut(0, 1) + 2.0 * cut(1, 2) - 0.5 * cut(2, 3)) / h
        last = (1.5 * cut(-1, None) - 2.0 * cut(-2, -1) + 0.5 * cut(-3, -2)) / h
    return shaping.concat([first, inner, last], axis=a)


@rule(numpy.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Array:
    y = array(y)
    axis = normalize_axis(axis, y.ndim)
    d: Any = dx
    if x is not None:
        x = array(x)
        d = reductions.diff(x, axis=axis if x.ndim > 1 else -1)
        d = shaping.reshape(d, tuple(-1 if i == axis else 1 for i in range(y.ndim))) if x.ndim == 1 else d
    return reductions.sum(d * (shaping.cut(y, axis, 1, None) + shaping.cut(y, axis, None, -1)) / 2.0, axis=axis)


@rule(numpy.cov)
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None,
    aweights: Any = None, dtype: Any = None,
) -> Array:  # fmt: skip
    if fweights is not None or aweights is not None:
        raise UnsupportedError("cov: weights have no rule; write (w * d) @ d.T / w.sum() with d = x - mean")
    x = _variables(m, rowvar)
    if y is not None:
        x = shaping.concat([x, _variables(y, rowvar)], axis=0)
    d = x - reductions.mean(x, axis=1, keepdims=True)
    n = max(x.shape[1] - ((0 if bias else 1) if ddof is None else ddof), 0)
    found = contractions.matmul(d, shaping.permute_dims(conjugate(d), (1, 0))) / n
    return shaping.squeeze(found if dtype is None else astype(found, numpy.dtype(dtype)))


def _variables(m: Any, rowvar: bool) -> Array:
    x = array(m)
    x = astype(x, numpy.result_type(x.dtype, numpy.float64))
    x = shaping.reshape(x, (1, -1)) if x.ndim < 2 else x
    return shaping.permute_dims(x, (1, 0)) if not rowvar and array(m).ndim > 1 and x.shape[0] != 1 else x


@rule(numpy.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Array:
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    d = rules.sqrt(c[numpy.arange(c.shape[0]), numpy.arange(c.shape[0])])
    return rules.minimum(rules.maximum(c / d[:, None] / d[None, :], -1.0), 1.0)
