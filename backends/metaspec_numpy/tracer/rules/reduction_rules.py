"""Reductions other than the sum, and cumulative sums."""

from collections.abc import Sequence
from typing import Any

from metaspec_numpy.tracer.core import Array, Params, Primitive
from metaspec_numpy.tracer.rules.elementwise_rules import call, equal
from metaspec_numpy.tracer.rules.structure import (
    astype,
    batch_axes,
    fold,
    keepdims_shape,
    reshape,
    sum_p,
)


def _shares(x: Array, out: Array, axis: tuple[int, ...]) -> Array:
    """One over the number of ties where x attains the extremum, 0 elsewhere."""
    peak = astype(equal(x, reshape(out, shape=keepdims_shape(x.shape, axis))), x.dtype)
    return peak / sum_p(peak, axis=axis, keepdims=True)


def _extremum(name: str) -> Primitive:
    def jvp(ts: Sequence[Array], out: Array, x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
        (t,) = ts
        return sum_p(t * _shares(x, out, axis), axis=axis, keepdims=keepdims)

    def vjp(i: int, g: Array, out: Array, x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
        return fold(g, axis, keepdims=keepdims, shape=x.shape) * _shares(x, out, axis)

    return _reduction(name, jvp=jvp, vjp=vjp)


def _reduction(name: str, **rules: Any) -> Primitive:
    primitive: Primitive = Primitive(
        name,
        call(name),
        batch=lambda size, flags, args, params: batch_axes(primitive)(size, flags, args, params),
        **rules,
    )
    return primitive


def _one_axis(name: str) -> Primitive:
    """A primitive without derivative that works along one axis."""

    def batch(size: int, flags: Sequence[bool], args: Sequence[Any], params: Params) -> Array:
        return primitive(*args, **{**params, "axis": params["axis"] + 1})

    primitive: Primitive = Primitive(name, call(name), batch=batch)
    return primitive


def _cumulate(xp: Any, x: Array, *, axis: int, reverse: bool) -> Array:
    if not reverse:
        return xp.cumulative_sum(x, axis=axis)
    return xp.flip(xp.cumulative_sum(xp.flip(x, axis=axis), axis=axis), axis=axis)


max_p: Primitive = _extremum("max")
min_p: Primitive = _extremum("min")
any_p: Primitive = _reduction("any")
all_p: Primitive = _reduction("all")
argmax_p: Primitive = _one_axis("argmax")
argmin_p: Primitive = _one_axis("argmin")
argsort_p: Primitive = _one_axis("argsort")

cumsum_p: Primitive = Primitive(
    "cumulative_sum",
    _cumulate,
    jvp=lambda ts, out, x, *, axis, reverse: cumsum_p(*ts, axis=axis, reverse=reverse),
    vjp=lambda i, g, out, x, *, axis, reverse: cumsum_p(g, axis=axis, reverse=not reverse),
    batch=lambda size, flags, args, params: cumsum_p(*args, **{**params, "axis": params["axis"] + 1}),
)
