"""NumPy's functions that sort, search, count, and their quantiles."""

from typing import Any

import numpy

from metaspec.errors import UnsupportedError
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions import contractions, shaping
from metaspec_numpy.tracer.functions import indexing_functions as indexing
from metaspec_numpy.tracer.functions import reduction_functions as reductions
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.numpy_api.statistics import inexact, mean
from metaspec_numpy.tracer.rules import elementwise_rules as rules
from metaspec_numpy.tracer.rules.reduction_rules import argsort_p
from metaspec_numpy.tracer.rules.structure import astype, count, normalize_axes, normalize_axis


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


@rule(numpy.quantile)
def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    method: str = "linear",
    keepdims: bool = False,
    weights: Any = None,
    nan: bool = False,
) -> Array:
    a = inexact(array(a))
    if method not in ("linear", "lower", "higher", "midpoint", "nearest") or weights is not None:
        raise UnsupportedError(
            "quantile: of the methods linear, lower, higher, midpoint and nearest have rules; weights= has not"
        )
    axes = normalize_axes(axis, a.ndim)
    rest = tuple(i for i in range(a.ndim) if i not in axes)
    rows = shaping.permute_dims(a, (*rest, *axes))
    rows = shaping.reshape(rows, (*(a.shape[i] for i in rest), count(a.shape, axes)))
    if not rows.shape[-1]:
        raise IndexError("quantile of no elements")
    rows = reductions.sort(rows, axis=-1)  # NaN last
    missing = rules.isnan(rows)
    kind = a.dtype if isinstance(q, int | float) else numpy.result_type(a.dtype, array(q).dtype)
    q = array(q)
    found = [_pick(rows, missing, part, method, nan) for part in shaping.reshape(q, -1)]
    shape = tuple(1 if i in axes else n for i, n in enumerate(a.shape)) if keepdims else tuple(a.shape[i] for i in rest)
    found = [shaping.reshape(x, shape) for x in found]
    return astype(shaping.reshape(shaping.stack(found), (*q.shape, *shape)), kind)


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
    return indexing.take_along_axis(rows, index, axis=-1)


@rule(numpy.percentile)
def percentile(
    a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False, weights: Any = None
) -> Array:
    return quantile(a, _fractions(q), axis, method, keepdims, weights)


def _fractions(percent: Any) -> Any:
    return (percent if isinstance(percent, int | float) else array(percent)) / 100.0


@rule(numpy.median)
def median(a: Any, axis: Any = None, keepdims: bool = False) -> Array:
    if not count(array(a).shape, normalize_axes(axis, array(a).ndim)):
        return mean(a, axis, keepdims=keepdims)  # NaN
    return quantile(a, 0.5, axis, "midpoint" if _even(a, axis) else "lower", keepdims)


def _even(a: Any, axis: Any) -> bool:
    x = array(a)
    return count(x.shape, normalize_axes(axis, x.ndim)) % 2 == 0


rule(numpy.nanmedian)(lambda a, axis=None, keepdims=False: quantile(a, 0.5, axis, "linear", keepdims, nan=True))
rule(numpy.nanquantile)(
    lambda a, q, axis=None, method="linear", keepdims=False: quantile(a, q, axis, method, keepdims, nan=True)
)
rule(numpy.nanpercentile)(
    lambda a, q, axis=None, method="linear", keepdims=False: quantile(
        a, _fractions(q), axis, method, keepdims, nan=True
    )
)
