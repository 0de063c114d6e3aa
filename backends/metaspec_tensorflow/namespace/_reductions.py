"""Reductions and running totals.

`max` and `min` share their derivative evenly among ties, TensorFlow's convention. `prod`, `cumulative_prod` are made
of multiplications alone, because the derivatives of TensorFlow's own divide by the elements: silently wrong at zeros.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from metaspec.errors import InvalidArgumentError
from metaspec_tensorflow.namespace._dtypes import KINDS, DType, as_dtype
from metaspec_tensorflow.namespace._elementwise import safe_sqrt
from metaspec_tensorflow.namespace._operands import (
    Array,
    Axes,
    axes_of,
    axis_of,
    index_dtype,
    length_of,
    operand,
    part,
    shape_of,
)


def _accumulator(x: Array, dtype: DType) -> DType:
    """The type of a total: at least the default integer type for integers."""
    if dtype is not None:
        return as_dtype(dtype)
    if x.dtype in KINDS["signed integer"]:
        return tf.int64
    return tf.uint64 if x.dtype in KINDS["unsigned integer"] else x.dtype


def sum(x: Array, /, *, axis: Axes = None, dtype: DType = None, keepdims: bool = False) -> Array:
    """Sum over `axis`; integers add up in 64 bits."""
    x = operand("sum", x, "numeric")
    return tf.reduce_sum(tf.cast(x, _accumulator(x, dtype)), axes_of("sum", axis, x.shape.rank), keepdims)


def _halved_product(x: Array, axis: int) -> Array:
    n = length_of("prod", x, axis)
    if n == 0:
        return tf.reduce_prod(x, axis, keepdims=True)
    while n > 1:
        half = n // 2
        folded = part(x, axis, 0, half) * part(x, axis, half, 2 * half)
        x = tf.concat([folded, part(x, axis, 2 * half, n)], axis) if n % 2 else folded
        n = half + n % 2
    return x


def prod(x: Array, /, *, axis: Axes = None, dtype: DType = None, keepdims: bool = False) -> Array:
    """Product over `axis`; integers multiply in 64 bits."""
    x = operand("prod", x, "numeric")
    axes = axes_of("prod", axis, x.shape.rank)
    x = tf.cast(x, _accumulator(x, dtype))
    for a in axes:
        x = _halved_product(x, a)
    return x if keepdims else tf.squeeze(x, axes) if axes else tf.identity(x)


def mean(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Arithmetic mean over `axis`."""
    x = operand("mean", x, "floating")
    return tf.reduce_mean(x, axes_of("mean", axis, x.shape.rank), keepdims)


def var(x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Variance over `axis`: the sum of squared deviations divided by their number less `correction`."""
    x = operand("var", x, "real floating")
    axes = axes_of("var", axis, x.shape.rank)
    shape = shape_of(x)
    count = tf.cast(tf.reduce_prod([shape[a] for a in axes]) if axes else 1, x.dtype)
    squares = tf.square(x - tf.reduce_mean(x, axes, keepdims=True))
    return tf.reduce_sum(squares, axes, keepdims) / (count - correction)


def std(x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Standard deviation over `axis`; its derivatives are taken to be 0 where it is 0."""
    return safe_sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def _extremum(name: str, reduce: Callable[..., Array], x: Array, axis: Axes, keepdims: bool) -> Array:
    x = operand(name, x, "real numeric")
    axes = axes_of(name, axis, x.shape.rank)
    if 0 in [x.shape[a] for a in axes]:
        raise InvalidArgumentError(
            f"{name}: got shape {tuple(x.shape)}, but no element along axis {axis} to choose from"
        )
    return reduce(x, axes, keepdims)


def max(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Largest element over `axis`."""
    return _extremum("max", tf.reduce_max, x, axis, keepdims)


def min(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Smallest element over `axis`."""
    return _extremum("min", tf.reduce_min, x, axis, keepdims)


def _truth(name: str, x: Array) -> Array:
    x = operand(name, x)
    return x if x.dtype == tf.bool else tf.not_equal(x, tf.zeros_like(x))


def any(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Whether some element over `axis` is true, that is, not 0."""
    x = _truth("any", x)
    return tf.reduce_any(x, axes_of("any", axis, x.shape.rank), keepdims)


def all(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Whether all elements over `axis` are true, that is, not 0."""
    x = _truth("all", x)
    return tf.reduce_all(x, axes_of("all", axis, x.shape.rank), keepdims)


def count_nonzero(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """How many elements over `axis` are not 0."""
    x = _truth("count_nonzero", x)
    return tf.reduce_sum(tf.cast(x, index_dtype()), axes_of("count_nonzero", axis, x.shape.rank), keepdims)


def _arg(name: str, find: Callable[..., Array], x: Array, axis: int | None, keepdims: bool) -> Array:
    x = operand(name, x, "real numeric")
    rank = x.shape.rank
    if 0 in ([x.shape[a] for a in range(rank)] if axis is None else [x.shape[axis_of(name, axis, rank)]]):
        raise InvalidArgumentError(
            f"{name}: got shape {tuple(x.shape)}, but no element along axis {axis} to choose from"
        )
    if axis is None:
        found = find(tf.reshape(x, [-1]), 0, output_type=index_dtype())
        return tf.reshape(found, [1] * rank) if keepdims else found
    found = find(x, axis_of(name, axis, rank), output_type=index_dtype())
    return tf.expand_dims(found, axis_of(name, axis, rank)) if keepdims else found


def argmax(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index of the (first) largest element over `axis`, or in the flattened array."""
    return _arg("argmax", tf.argmax, x, axis, keepdims)


def argmin(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index of the (first) smallest element over `axis`, or in the flattened array."""
    return _arg("argmin", tf.argmin, x, axis, keepdims)


def _running(name: str, x: Array, axis: int | None, dtype: DType) -> tuple[Array, int]:
    x = operand(name, x, "numeric")
    if axis is None and x.shape.rank != 1:
        raise InvalidArgumentError(f"{name}: an array of {x.shape.rank} dimensions needs an axis")
    return tf.cast(x, _accumulator(x, dtype)), axis_of(name, 0 if axis is None else axis, x.shape.rank)


def _with_initial(x: Array, axis: int, value: int) -> Array:
    shape = shape_of(x)
    shape[axis] = 1
    return tf.concat([tf.fill(shape, tf.cast(value, x.dtype)), x], axis)


def cumulative_sum(
    x: Array, /, *, axis: int | None = None, dtype: DType = None, include_initial: bool = False
) -> Array:
    """Running sums along `axis`, after a 0 where `include_initial` holds."""
    x, a = _running("cumulative_sum", x, axis, dtype)
    total = tf.cumsum(x, a)
    return _with_initial(total, a, 0) if include_initial else total


def cumulative_prod(
    x: Array, /, *, axis: int | None = None, dtype: DType = None, include_initial: bool = False
) -> Array:
    """Running products along `axis`, after a 1 where `include_initial` holds."""
    x, a = _running("cumulative_prod", x, axis, dtype)
    n, reach = length_of("cumulative_prod", x, a), 1
    while reach < n:
        grown = part(x, a, reach, n) * part(x, a, 0, n - reach)
        x, reach = tf.concat([part(x, a, 0, reach), grown], a), 2 * reach
    return _with_initial(x, a, 1) if include_initial else x


def diff(x: Array, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Array:
    """The `n`-th differences of neighbours along `axis`, which `prepend` and `append` lengthen first."""
    x = operand("diff", x, "numeric")
    a = axis_of("diff", axis, x.shape.rank)
    pieces = [operand("diff", p, "numeric") for p in (prepend, x, append) if p is not None]
    x = tf.concat([tf.cast(p, x.dtype) for p in pieces], a) if len(pieces) > 1 else x
    for _ in builtins.range(n):
        x = part(x, a, 1, None) - part(x, a, 0, -1)
    return x
