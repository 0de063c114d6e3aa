"""Primitives that pick and place elements: the adjoints of one another.

    slice <-> place      take <-> scatter_add      concat <-> slices

General indexing `x[...]` is made of `slice` and `take` in `functions.indexing`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy

from metaspec_numpy.tracer.core import Array, Params, Primitive, Shape, namespace_of
from metaspec_numpy.tracer.rules.elementwise_rules import add, where
from metaspec_numpy.tracer.rules.structure import broadcast_to, permute, reshape

Span = tuple[int | None, int | None, int | None]


def slices(spans: Sequence[Span]) -> tuple[Any, ...]:
    return (*(slice(*span) for span in spans), ...)


def _place(xp: Any, x: Array, *, spans: tuple[Span, ...], shape: Shape) -> Array:
    out = xp.zeros(shape, dtype=x.dtype)
    out[slices(spans)] = x
    return out


def _scatter_add(xp: Any, x: Array, index: Array, *, axis: int, length: int) -> Array:
    """X has the shape pre + index.shape + post; the result has pre + (length,) + post."""
    pre, post = x.shape[:axis], x.shape[axis + index.ndim :]
    count, inner = math.prod(index.shape), math.prod(post)
    rows = xp.reshape(x, (math.prod(pre), count, inner))
    flat = xp.reshape(index, (count,))
    if xp is not numpy:  # no way to accumulate at repeated indices but this
        hot = xp.astype(flat[None, :] == xp.arange(length, dtype=flat.dtype)[:, None], x.dtype)
        return xp.reshape(hot @ rows, (*pre, length, *post))
    offsets = numpy.arange(rows.shape[0])[:, None, None] * (length * inner)
    target = offsets + flat[None, :, None] * inner + numpy.arange(inner)
    out = numpy.zeros(rows.shape[0] * length * inner, dtype=x.dtype)
    numpy.add.at(out, target.ravel(), rows.ravel())
    return out.reshape(*pre, length, *post)


def _take(xp: Any, x: Array, index: Array, *, axis: int) -> Array:
    if xp is numpy:
        return numpy.take(x, index, axis=axis)
    taken = xp.take(x, xp.reshape(index, (-1,)), axis=axis)
    return xp.reshape(taken, (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _per_row(index: Array, size: int, length: int) -> Array:
    """Indices into each of `size` rows, as indices into the rows laid end to end."""
    xp = namespace_of(index)
    starts = xp.arange(size, dtype=index.dtype) * length
    return add(index, xp.reshape(starts, (size,) + (1,) * (index.ndim - 1)))


def _batch_take(size: int, flags: Sequence[bool], args: Sequence[Any], params: Params) -> Array:
    (x, index), axis = args, params["axis"]
    if not flags[1]:
        return take_p(x, index, axis=axis + 1)
    if not flags[0]:
        out = take_p(x, index, axis=axis)
        return permute(out, axes=(axis, *(a for a in range(out.ndim) if a != axis)))
    length = x.shape[axis + 1]
    rows = permute(x, axes=(0, axis + 1, *(a for a in range(1, x.ndim) if a != axis + 1)))
    flat = reshape(rows, shape=(size * length, *rows.shape[2:]))
    out = take_p(flat, _per_row(index, size, length), axis=0)
    width = index.ndim - 1
    order = (*range(1 + width, 1 + width + axis), *range(1, 1 + width), *range(1 + width + axis, out.ndim))
    return permute(out, axes=(0, *order))


def _batch_scatter(size: int, flags: Sequence[bool], args: Sequence[Any], params: Params) -> Array:
    (x, index), axis, length = args, params["axis"], params["length"]
    if not flags[1]:
        return scatter_add(x, index, axis=axis + 1, length=length)
    if not flags[0]:
        x = broadcast_to(x, shape=(size, *x.shape))
    width = index.ndim - 1
    first = range(axis + 1, axis + 1 + width)
    rows = permute(x, axes=(0, *first, *(a for a in range(1, x.ndim) if a not in first)))
    out = scatter_add(rows, _per_row(index, size, length), axis=0, length=size * length)
    out = reshape(out, shape=(size, length, *out.shape[1:]))
    order = (*range(2, 2 + axis), 1, *range(2 + axis, out.ndim))
    return permute(out, axes=(0, *order))


def _concat_jvp(tangents: Sequence[Array | None], out: Array, *xs: Array, axis: int) -> Array:
    xp = namespace_of(out)
    parts = [xp.zeros(x.shape, dtype=x.dtype) if t is None else t for t, x in zip(tangents, xs, strict=True)]
    return concat_p(*parts, axis=axis)


def _concat_vjp(argnum: int, g: Array, out: Array, *xs: Array, axis: int) -> Array:
    start = sum(x.shape[axis] for x in xs[:argnum])
    span = (start, start + xs[argnum].shape[axis], None)
    return slice_p(g, spans=((None, None, None),) * axis + (span,))


def _concat_batch(size: int, flags: Sequence[bool], args: Sequence[Any], params: Params) -> Array:
    parts = [x if flag else broadcast_to(x, shape=(size, *x.shape)) for x, flag in zip(args, flags, strict=True)]
    return concat_p(*parts, axis=params["axis"] + 1)


def _write_slice(x: Array, new: Array, *, spans: tuple[Span, ...]) -> Array:
    xp = namespace_of(x)
    inside = _place(xp, xp.ones(new.shape, dtype=xp.bool), spans=spans, shape=x.shape)
    return where(inside, place(new, spans=spans, shape=x.shape), x)


def _lift(params: Params) -> Params:
    return {**params, "spans": ((None, None, None), *params["spans"])}


slice_p: Primitive = Primitive(
    "slice",
    lambda xp, x, *, spans: x[slices(spans)],
    jvp=lambda ts, out, x, *, spans: slice_p(*ts, spans=spans),
    vjp=lambda i, g, out, x, *, spans: place(g, spans=spans, shape=x.shape),
    batch=lambda size, flags, args, params: slice_p(*args, **_lift(params)),
    undo=_write_slice,
)

place: Primitive = Primitive(
    "place",
    _place,
    jvp=lambda ts, out, x, *, spans, shape: place(*ts, spans=spans, shape=shape),
    vjp=lambda i, g, out, x, *, spans, shape: slice_p(g, spans=spans),
    batch=lambda size, flags, args, params: place(*args, **_lift({**params, "shape": (size, *params["shape"])})),
)

take_p: Primitive = Primitive(
    "take",
    _take,
    jvp=lambda ts, out, x, index, *, axis: take_p(ts[0], index, axis=axis),
    vjp=lambda i, g, out, x, index, *, axis: scatter_add(g, index, axis=axis, length=x.shape[axis]) if i == 0 else None,
    batch=_batch_take,
)

scatter_add: Primitive = Primitive(
    "scatter_add",
    _scatter_add,
    jvp=lambda ts, out, x, index, *, axis, length: scatter_add(ts[0], index, axis=axis, length=length),
    vjp=lambda i, g, out, x, index, *, axis, length: take_p(g, index, axis=axis) if i == 0 else None,
    batch=_batch_scatter,
)

concat_p: Primitive = Primitive(
    "concat",
    lambda xp, *xs, axis: xp.concat(xs, axis=axis),
    jvp=_concat_jvp,
    vjp=_concat_vjp,
    batch=_concat_batch,
)
