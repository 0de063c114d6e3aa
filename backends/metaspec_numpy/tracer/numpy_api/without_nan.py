"""NumPy's nansum, nanmean and so on: reductions of what is not NaN."""

from collections.abc import Callable
from typing import Any

import numpy

from metaspec_numpy.tracer.core import Array
from metaspec_numpy.tracer.functions import reduction_functions as reductions
from metaspec_numpy.tracer.functions.shaping import is_inexact
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.numpy_api.statistics import (
    all_,
    argmax,
    argmin,
    cumprod,
    cumsum,
    max_,
    mean,
    min_,
    prod,
    sum_,
    var,
)
from metaspec_numpy.tracer.rules import elementwise_rules as rules


def _without_nan(f: Callable[..., Array], fill: Any) -> Callable[..., Array]:
    def apply(a: Any, axis: Any = None, dtype: Any = None, **options: Any) -> Array:
        x = array(a)
        options = options if dtype is None else options | {"dtype": dtype}
        return f(rules.where(rules.isnan(x), fill, x) if is_inexact(x) else x, axis, **options)

    return apply


for _function, _f, _fill in (
    (numpy.nansum, sum_, 0.0),
    (numpy.nanprod, prod, 1.0),
    (numpy.nancumsum, cumsum, 0.0),
    (numpy.nancumprod, cumprod, 1.0),
    (numpy.nanargmax, argmax, -numpy.inf),
    (numpy.nanargmin, argmin, numpy.inf),
):
    rule(_function)(_without_nan(_f, _fill))


def _extremum_without_nan(f: Callable[..., Array], fill: float) -> Callable[..., Array]:
    def apply(a: Any, axis: Any = None, keepdims: bool = False) -> Array:
        x = array(a)
        if not is_inexact(x):
            return f(x, axis, keepdims=keepdims)
        nan = rules.isnan(x)
        empty = all_(nan, axis, keepdims=keepdims)
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
