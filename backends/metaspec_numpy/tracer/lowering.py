"""From primitives to the cheapest call of NumPy that computes them: one line of source for each."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from metaspec_numpy.tracer.core import Primitive, Shape
from metaspec_numpy.tracer.rules.structure import row_of_ones, sums_rows


class Value(NamedTuple):
    """An operand in the source: its name, and the shape and dtype it has (none for a Python scalar)."""

    name: str
    shape: Shape
    dtype: Any


class Line(NamedTuple):
    """An expression in which "{out}" stands for a buffer to write to, or for None.

    Attributes:
        text: the expression.
        out: whether it can write to a given buffer at all.
        inplace: whether that may be the buffer of an operand.
        view: whether the result may share memory with the first operand.
    """

    text: str
    out: bool = False
    inplace: bool = False
    view: bool = False


Bind = Callable[[Any], str]
Lower = Callable[[Bind, Sequence[Value], dict[str, Any], Shape], Line]

UFUNCS = {
    name: getattr(numpy, name)
    for name in [
        "add",
        "subtract",
        "multiply",
        "divide",
        "remainder",
        "negative",
        "positive",
        "reciprocal",
        "square",
        "sqrt",
        "hypot",
        "exp",
        "expm1",
        "log",
        "log1p",
        "log2",
        "log10",
        "logaddexp",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "atan2",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "maximum",
        "minimum",
        "floor_divide",
        "sign",
        "floor",
        "ceil",
        "trunc",
        "isfinite",
        "isinf",
        "isnan",
        "signbit",
        "copysign",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "logical_and",
        "logical_or",
        "logical_xor",
        "logical_not",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "bitwise_invert",
        "bitwise_left_shift",
        "bitwise_right_shift",
        "abs",
        "pow",
    ]
}
REDUCTIONS = {
    "sum": numpy.add.reduce,
    "max": numpy.maximum.reduce,
    "min": numpy.minimum.reduce,
    "all": numpy.logical_and.reduce,
    "any": numpy.logical_or.reduce,
}


def _ufunc(ufunc: Any) -> Lower:
    def lower(bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
        buffer = "out={out}" if ufunc in (numpy.maximum, numpy.minimum) else "{out}"  # NumPy wants the keyword there
        return Line(f"{bind(ufunc)}({', '.join(x.name for x in xs)}, {buffer})", out=True, inplace=True)

    return lower


def _reduction(reduce: Any) -> Lower:
    def lower(bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
        (x,), axis, keepdims = xs, params["axis"], params["keepdims"]
        if axis == tuple(range(len(x.shape))):
            axis = None
        elif len(axis) == 1:
            (axis,) = axis
        return Line(f"{bind(reduce)}({x.name}, {axis}, None, {{out}}, {keepdims})", out=True)

    return lower


def _sum(bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
    (x,) = xs
    if sums_rows(x.shape, x.dtype, params["axis"]):
        ones = bind(row_of_ones(x.shape[-2], x.dtype))
        if params["keepdims"]:
            return Line(f"{bind(numpy.matmul)}({ones}, {x.name}, {{out}})", out=True)
        return Line(f"{bind(numpy.matmul)}({ones}, {x.name}).reshape({shape})")
    return _reduction(numpy.add.reduce)(bind, xs, params, shape)


def _matmul(bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
    a, b = xs
    if a.shape[-1] == 1:  # an outer product
        return Line(f"{bind(numpy.multiply)}({a.name}, {b.name}, {{out}})", out=True, inplace=True)
    if len(b.shape) == 2 and len(a.shape) > 2:  # one large product instead of many small ones
        rows = (math.prod(a.shape[:-1]), a.shape[-1])
        return Line(f"{bind(numpy.matmul)}({a.name}.reshape({rows}), {b.name}).reshape({shape})")
    return Line(f"{bind(numpy.matmul)}({a.name}, {b.name}, {{out}})", out=True)


def _concat(bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
    names = ", ".join(x.name for x in xs)
    return Line(f"{bind(numpy.concatenate)}(({names},), {params['axis']}, {{out}})", out=True)


def _view(text: str) -> Lower:
    """A method of the array, with the static parameter (shape, axes, spans) in place."""

    def lower(bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
        (x,) = xs
        return Line(text.format(x=x.name, **params), view=True)

    return lower


def _slice(bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
    (x,), spans = xs, (*(slice(*span) for span in params["spans"]), ...)
    return Line(f"{x.name}[{bind(spans)}]", view=True)


def _place(bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
    key = (*(slice(*span) for span in params["spans"]), ...)
    return Line(f"{bind(functools.partial(_placed, key, shape))}({xs[0].name}, {{out}})", out=True)


def _placed(key: Any, shape: Shape, x: Any, out: Any) -> Any:
    if out is None:
        out = numpy.zeros(shape, x.dtype)
    else:
        out.fill(0)
    out[key] = x
    return out


def _broadcast_to(bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
    (x,) = xs
    return Line(f"{bind(numpy.broadcast_to)}({x.name}, {shape})", view=True)


def _where(bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
    return Line(f"{bind(numpy.where)}({', '.join(x.name for x in xs)})")


def _astype(bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
    (x,) = xs
    return Line(f"{x.name}.astype({bind(numpy.dtype(params['dtype']))})")


LOWERINGS: dict[str, Lower] = {
    **{name: _ufunc(ufunc) for name, ufunc in UFUNCS.items()},
    **{name: _reduction(reduce) for name, reduce in REDUCTIONS.items()},
    "sum": _sum,
    "matmul": _matmul,
    "concat": _concat,
    "reshape": _view("{x}.reshape({shape})"),
    "permute": _view("{x}.transpose({axes})"),
    "slice": _slice,
    "place": _place,
    "broadcast_to": _broadcast_to,
    "where": _where,
    "astype": _astype,
}


def lower(xp: Any, primitive: Primitive, bind: Bind, xs: Sequence[Value], params: dict[str, Any], shape: Shape) -> Line:
    """The line of source for one primitive; without a lowering, a call of its implementation."""
    if xp is numpy and primitive.name in LOWERINGS:
        return LOWERINGS[primitive.name](bind, xs, params, shape)
    call = functools.partial(primitive.impl, xp, **params)
    return Line(f"{bind(call)}({', '.join(x.name for x in xs)})", view=True)
