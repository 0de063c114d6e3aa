"""NumPy's sums, means, quantiles, extrema, orderings and counts."""

from collections.abc import Callable
from typing import Any

import numpy

from metaspec.errors import InvalidArgumentError, UnsupportedError
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions import contractions, reductions, shaping
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.numpy_api.ufuncs import reduced
from metaspec_numpy.tracer.rules import elementwise as rules
from metaspec_numpy.tracer.rules.reductions import argsort_p
from metaspec_numpy.tracer.rules.structure import astype, normalize_axes, normalize_axis


def _reduction(whole: Any, f: Any, neutral: Any) -> Callable[..., Array]:
    def reduce(
        a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
    ) -> Array:
        a = array(a) if dtype is None else astype(array(a), numpy.dtype(dtype))
        return reduced(whole, f, neutral, a, axis, keepdims, initial, where)

    return reduce


sum_ = rule(numpy.sum)(_reduction(reductions.sum, rules.add, 0))
prod = rule(numpy.prod)(_reduction(reductions.prod, rules.multiply, 1))
max_ = rule(numpy.max, numpy.amax)(_reduction(reductions.max, rules.maximum, None))
min_ = rule(numpy.min, numpy.amin)(_reduction(reductions.min, rules.minimum, None))
all_ = rule(numpy.all)(_reduction(reductions.all, rules.logical_and, True))
any_ = rule(numpy.any)(_reduction(reductions.any, rules.logical_or, False))
rule(numpy.argmax)(lambda a, axis=None, keepdims=False: reductions.argmax(array(a), axis=axis, keepdims=keepdims))
rule(numpy.argmin)(lambda a, axis=None, keepdims=False: reductions.argmin(array(a), axis=axis, keepdims=keepdims))
rule(numpy.count_nonzero)(
    lambda a, axis=None, keepdims=False: reductions.count_nonzero(array(a), axis=axis, keepdims=keepdims)
)


def counted(x: Array, axis: Any, where: Any, keepdims: bool) -> Any:
    """The number of elements that a mean is over."""
    if where is True:
        return reductions.count(x.shape, normalize_axes(axis, x.ndim))
    mask = shaping.broadcast_to(array(where), x.shape)
    return sum_(astype(mask, x.dtype), axis, keepdims=keepdims)


@rule(numpy.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, where: Any = True) -> Array:
    a = _inexact(array(a)) if dtype is None else astype(array(a), numpy.dtype(dtype))
    return sum_(a, axis, keepdims=keepdims, where=where) / counted(a, axis, where, keepdims)


def _inexact(x: Array) -> Array:
    return x if shaping.is_inexact(x) else astype(x, numpy.dtype(float))


@rule(numpy.var)
def var(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, where: Any = True,
    mean: Any = None, correction: float | None = None,
) -> Array:  # fmt: skip
    a = _inexact(array(a)) if dtype is None else astype(array(a), numpy.dtype(dtype))
    center = _mean(a, axis, keepdims=True, where=where) if mean is None else mean
    square = rules.square(a - center)
    n = counted(a, axis, where, keepdims) - (ddof if correction is None else correction)
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
    a = _inexact(array(a))
    if weights is None:
        found, scale = mean(a, axis, keepdims=keepdims), array(float(counted(a, axis, True, keepdims)))
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
    return (found, shaping.broadcast_to(scale, found.shape)) if returned else found


def _cumulation(f: Callable[..., Array]) -> Callable[..., Array]:
    def cumulate(a: Any, axis: int | None = None, dtype: Any = None) -> Array:
        a = array(a)
        return f(
            shaping.reshape(a, -1) if axis is None else a,
            axis=axis or 0,
            dtype=None if dtype is None else numpy.dtype(dtype),
        )

    return cumulate


cumsum = rule(numpy.cumsum)(_cumulation(reductions.cumulative_sum))
cumprod = rule(numpy.cumprod)(_cumulation(reductions.cumulative_prod))


@rule(numpy.diff)
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
    parts = [shaping.reshape(array(x), -1) for x in (to_begin, inner, to_end) if x is not None]
    return shaping.concat(parts)


@rule(numpy.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f = array(f)
    axes = normalize_axes(axis, f.ndim)
    if len(varargs) not in (0, 1, len(axes)):
        raise InvalidArgumentError("gradient: give one spacing, or one for each axis")
    spacings = list(varargs or (1.0,)) * (1 if len(varargs) == len(axes) else len(axes))
    found = [_slopes(f, h, a, edge_order) for h, a in zip(spacings, axes, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _slopes(f: Array, h: Any, a: int, edge_order: int) -> Array:
    cut = lambda i, j: shaping.cut(f, a, i, j)  # noqa: E731
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


# Order


@rule(numpy.sort)
def sort(a: Any, axis: int | None = -1, kind: Any = None, stable: Any = None) -> Array:
    a = array(a)
    return reductions.sort(shaping.reshape(a, -1) if axis is None else a, axis=-1 if axis is None else axis)


@rule(numpy.argsort)
def argsort(a: Any, axis: int | None = -1, kind: Any = None, stable: Any = None) -> Array:
    a = array(a)
    if axis is None:
        a, axis = shaping.reshape(a, -1), 0
    return argsort_p(a, axis=normalize_axis(axis, a.ndim), stable=bool(stable) or kind in ("stable", "mergesort"))


@rule(numpy.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left") -> Array:
    a, v = array(a), shaping.expand_dims(array(v), axis=-1)
    before = rules.less(a, v) if side == "left" else rules.less_equal(a, v)
    return reductions.sum(astype(before, numpy.dtype(numpy.int64)), axis=-1)


@rule(numpy.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Array:
    bins = array(bins)
    if isinstance(bins, Box) or (bins.size > 1 and bins[0] > bins[-1]):
        raise UnsupportedError("digitize: decreasing or traced bins have no rule; np.searchsorted has one")
    return searchsorted(bins, x, "left" if right else "right")


@rule(numpy.bincount)
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Array:
    x = array(x)
    if isinstance(x, Box) and not minlength:
        raise UnsupportedError("bincount of traced numbers: the length depends on them; give minlength=, all below it")
    length = minlength if isinstance(x, Box) else max(int(numpy.max(x, initial=-1)) + 1, minlength)
    hot = rules.equal(shaping.reshape(x, (-1, 1)), numpy.arange(length))
    if weights is None:
        return reductions.sum(astype(hot, numpy.dtype(numpy.int64)), axis=0)
    w = astype(array(weights), numpy.dtype(float))
    return contractions.matmul(w, astype(hot, w.dtype))


# Quantiles

_OFFSETS = {"lower": rules.floor, "higher": rules.ceil}


@rule(numpy.quantile, numpy.nanquantile)
def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    method: str = "linear",
    keepdims: bool = False,
    weights: Any = None,
    nan: bool = False,
) -> Array:
    a = _inexact(array(a))
    if method not in ("linear", "lower", "higher", "midpoint", "nearest") or weights is not None:
        raise UnsupportedError(
            "quantile: of the methods linear, lower, higher, midpoint and nearest have rules; weights= has not"
        )
    axes = normalize_axes(axis, a.ndim)
    rest = tuple(i for i in range(a.ndim) if i not in axes)
    rows = shaping.permute_dims(a, (*rest, *axes))
    rows = shaping.reshape(rows, (*(a.shape[i] for i in rest), reductions.count(a.shape, axes)))
    rows = reductions.sort(rows, axis=-1)  # NaN last
    missing = rules.isnan(rows)
    q = array(q)
    found = [_pick(rows, missing, part, method, nan) for part in shaping.reshape(q, -1)]
    shape = tuple(1 if i in axes else n for i, n in enumerate(a.shape)) if keepdims else tuple(a.shape[i] for i in rest)
    found = [shaping.reshape(x, shape) for x in found]
    return shaping.reshape(shaping.stack(found), (*q.shape, *shape))


def _pick(rows: Array, missing: Array, q: Any, method: str, nan: bool) -> Array:
    """The quantile of sorted rows; of the numbers among them where `nan`, else NaN where there is one."""
    n: Any = rows.shape[-1]
    if nan:
        n = reductions.sum(astype(rules.logical_not(missing), rows.dtype), axis=-1, keepdims=True)
    at = q * (n - 1)
    low, high = rules.floor(at), rules.ceil(at)
    if method == "nearest":
        low = high = rules.round_(at)
    elif method in ("lower", "higher"):
        low = high = low if method == "lower" else high
    t = 0.5 * (high - low) if method == "midpoint" else at - low
    a, b = (_at(rows, index) for index in (low, high))
    step = b - a
    near = rules.where(rules.greater_equal(t, 0.5), b - step * (1 - t), a + step * t)
    found = (a if method in ("nearest", "lower", "higher") else rules.where(rules.equal(step, 0), a, near))[..., 0]
    bad = reductions.all(missing, axis=-1) if nan else reductions.any(missing, axis=-1)
    return rules.where(bad, numpy.nan, found)


def _at(rows: Array, index: Any) -> Array:
    index = astype(rules.maximum(array(index), 0), numpy.dtype(numpy.int64))
    index = shaping.broadcast_to(index, (*rows.shape[:-1], 1))
    return reductions.take_along_axis(rows, index, axis=-1)


@rule(numpy.percentile, numpy.nanpercentile)
def percentile(
    a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False, weights: Any = None
) -> Array:
    return quantile(a, array(q) / 100.0, axis, method, keepdims, weights)


@rule(numpy.median)
def median(a: Any, axis: Any = None, keepdims: bool = False) -> Array:
    return quantile(a, 0.5, axis, "midpoint" if _even(a, axis) else "lower", keepdims)


def _even(a: Any, axis: Any) -> bool:
    x = array(a)
    return reductions.count(x.shape, normalize_axes(axis, x.ndim)) % 2 == 0


rule(numpy.nanmedian)(lambda a, axis=None, keepdims=False: quantile(a, 0.5, axis, "linear", keepdims, nan=True))
rule(numpy.nanquantile)(
    lambda a, q, axis=None, method="linear", keepdims=False: quantile(a, q, axis, method, keepdims, nan=True)
)
rule(numpy.nanpercentile)(
    lambda a, q, axis=None, method="linear", keepdims=False: quantile(
        a, array(q) / 100.0, axis, method, keepdims, nan=True
    )
)


# Without NaN


def _without_nan(f: Callable[..., Array], fill: Any) -> Callable[..., Array]:
    def apply(a: Any, axis: Any = None, dtype: Any = None, **options: Any) -> Array:
        x = array(a)
        options = options if dtype is None else options | {"dtype": dtype}
        return f(rules.where(rules.isnan(x), fill, x), axis, **options)

    return apply


for _function, _f, _fill in (
    (numpy.nansum, sum_, 0.0),
    (numpy.nanprod, prod, 1.0),
    (numpy.nancumsum, cumsum, 0.0),
    (numpy.nancumprod, cumprod, 1.0),
    (numpy.nanargmax, lambda x, axis=None, **options: reductions.argmax(x, axis=axis, **options), -numpy.inf),
    (numpy.nanargmin, lambda x, axis=None, **options: reductions.argmin(x, axis=axis, **options), numpy.inf),
):
    rule(_function)(_without_nan(_f, _fill))


def _extremum_without_nan(f: Callable[..., Array], fill: float) -> Callable[..., Array]:
    def apply(a: Any, axis: Any = None, keepdims: bool = False) -> Array:
        x = array(a)
        nan = rules.isnan(x)
        empty = reductions.all(nan, axis=axis, keepdims=keepdims)
        return rules.where(empty, numpy.nan, f(rules.where(nan, fill, x), axis, keepdims=keepdims))

    return apply


rule(numpy.nanmax)(_extremum_without_nan(max_, -numpy.inf))
rule(numpy.nanmin)(_extremum_without_nan(min_, numpy.inf))


@rule(numpy.nanmean)
def nanmean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, where: Any = True) -> Array:
    x, inside = _numbers(a, where)
    return mean(x, axis, dtype, keepdims, inside)


@rule(numpy.nanvar)
def nanvar(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, where: Any = True
) -> Array:
    x, inside = _numbers(a, where)
    return var(x, axis, dtype, ddof, keepdims, inside)


@rule(numpy.nanstd)
def nanstd(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, where: Any = True
) -> Array:
    return reductions.safe_sqrt(nanvar(a, axis, dtype, ddof, keepdims, where))


def _numbers(a: Any, where: Any) -> tuple[Array, Array]:
    """`a` with 0 for NaN, and where it is a number."""
    x = array(a)
    nan = rules.isnan(x)
    inside = rules.logical_not(nan)
    return rules.where(nan, 0.0, x), inside if where is True else rules.logical_and(inside, where)


# Covariances


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
    n = x.shape[1] - ((0 if bias else 1) if ddof is None else ddof)
    found = contractions.matmul(d, shaping.permute_dims(d, (1, 0))) / n
    return shaping.squeeze(found if dtype is None else astype(found, numpy.dtype(dtype)))


def _variables(m: Any, rowvar: bool) -> Array:
    x = _inexact(array(m))
    x = shaping.reshape(x, (1, -1)) if x.ndim < 2 else x
    return shaping.permute_dims(x, (1, 0)) if not rowvar and array(m).ndim > 1 and x.shape[0] != 1 else x


@rule(numpy.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Array:
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    d = rules.sqrt(c[numpy.arange(c.shape[0]), numpy.arange(c.shape[0])])
    return rules.minimum(rules.maximum(c / d[:, None] / d[None, :], -1.0), 1.0)
