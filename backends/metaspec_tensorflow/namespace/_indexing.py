"""Selecting by index, sorting and searching.

TensorFlow's gather along the first axis has a sparse derivative (`tf.IndexedSlices`), which does not nest; the
derivative of everything here is a dense tensor and differentiable again.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from metaspec.errors import InvalidArgumentError
from metaspec_tensorflow.namespace._operands import Array, axis_of, common, index_dtype, operand, shape_of


def _from_front(indices: Array, length: Any) -> Array:
    return tf.where(indices < 0, indices + tf.cast(length, indices.dtype), indices)


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    """The slices of `x` along `axis` at `indices`, a vector or, beyond the standard, an integer array of any shape.

    A negative index counts from the end. Out of bounds, an index raises on a CPU and gives zeros on a GPU or under XLA.
    """
    x, indices = operand("take", x), operand("take", indices, "integral")
    if axis is None:
        if x.shape.rank != 1:
            raise InvalidArgumentError(f"take: an array of {x.shape.rank} dimensions needs an axis")
        axis = 0
    a = axis_of("take", axis, x.shape.rank)
    # One axis more: the derivative of a gather along the first one would be sparse.
    return tf.gather(x[None], _from_front(indices, shape_of(x)[a]), axis=a + 1)[0]


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """`out[..., i, ...] = x[..., indices[..., i, ...], ...]` along `axis`; the other axes broadcast."""
    x, indices = operand("take_along_axis", x), operand("take_along_axis", indices, "integral")
    rank = x.shape.rank
    if indices.shape.rank != rank:
        raise InvalidArgumentError(f"take_along_axis: got indices of {indices.shape.rank} dimensions, expected {rank}")
    a = axis_of("take_along_axis", axis, rank)
    order = [i for i in range(rank) if i != a] + [a]
    values, places = tf.transpose(x, order), tf.transpose(_from_front(indices, shape_of(x)[a]), order)
    lengths = [q if p == 1 else p for p, q in zip(shape_of(values)[:-1], shape_of(places)[:-1], strict=True)]
    values = tf.broadcast_to(values, [*lengths, shape_of(values)[-1]])
    places = tf.broadcast_to(places, [*lengths, shape_of(places)[-1]])
    n, m = shape_of(values)[-1], shape_of(places)[-1]
    flat = tf.cast(tf.reshape(places, [-1, m]), tf.int64)
    starts = tf.range(tf.shape(flat, out_type=tf.int64)[0])[:, None] * tf.cast(n, tf.int64)
    taken = take(tf.reshape(values, [-1]), flat + starts)
    return tf.transpose(tf.reshape(taken, [*lengths, m]), [*range(a), rank - 1, *range(a, rank - 1)])


def argsort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The indices that sort `x` along `axis`; equal elements keep their order."""
    x = operand("argsort", x, "real numeric")
    direction = "DESCENDING" if descending else "ASCENDING"
    return tf.cast(tf.argsort(x, axis_of("argsort", axis, x.shape.rank), direction, stable), index_dtype())


def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """`x` in order along `axis`."""
    return take_along_axis(x, argsort(x, axis=axis, descending=descending, stable=stable), axis=axis)


def searchsorted(x1: Array, x2: Array, /, *, side: str = "left", sorter: Array | None = None) -> Array:
    """Where in the sorted vector `x1` the values `x2` would go: before equal elements for 'left', after for 'right'."""
    ordered, values = common("searchsorted", [x1, x2], "real numeric")
    if ordered.shape.rank != 1:
        raise InvalidArgumentError(f"searchsorted: x1 has {ordered.shape.rank} dimensions, expected 1")
    if sorter is not None:
        ordered = take(ordered, sorter)
    found = tf.searchsorted(ordered, tf.reshape(values, [-1]), side=side, out_type=index_dtype())
    return tf.reshape(found, shape_of(values))


def nonzero(x: Array, /) -> tuple[Array, ...]:
    """Indices of the elements that are not 0, one vector an axis; its length depends on values, so XLA refuses it."""
    x = operand("nonzero", x)
    found = tf.where(x if x.dtype == tf.bool else tf.not_equal(x, tf.zeros_like(x)))
    return tuple(tf.unstack(found, x.shape.rank, axis=1))
