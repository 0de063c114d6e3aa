"""Changes of shape and order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from metaspec.errors import InvalidArgumentError
from metaspec_tensorflow.namespace._indexing import take
from metaspec_tensorflow.namespace._operands import (
    Array,
    Axes,
    axes_of,
    axis_of,
    by_int64,
    common,
    is_array,
    length_of,
    operand,
    part,
    shape_of,
)


def reshape(x: Array, /, shape: Sequence[Any], *, copy: bool | None = None) -> Array:
    """`x` in row-major order with another shape, one length of which may be -1.

    Raises:
        InvalidArgumentError: where the number of elements would change.
    """
    x = operand("reshape", x)
    static = [n for n in shape if isinstance(n, int)]
    if len(static) == len(shape) and x.shape.is_fully_defined():
        size, asked = math.prod(x.shape), math.prod(n for n in static if n != -1)
        fits = size == asked if -1 not in static else asked != 0 and size % asked == 0
        if not fits or static.count(-1) > 1:
            raise InvalidArgumentError(
                f"reshape: an array of shape {tuple(x.shape)} does not take the shape {tuple(shape)}"
            )
    return tf.reshape(x, tf.cast(shape, tf.int32) if not static else shape)


def broadcast_to(x: Array, /, shape: Sequence[Any]) -> Array:
    """`x` repeated to `shape` by the rules of broadcasting."""
    return tf.broadcast_to(operand("broadcast_to", x), shape)


def broadcast_arrays(*arrays: Array) -> list[Array]:
    """The arrays, each repeated to their common shape; each keeps its type."""
    given = [operand("broadcast_arrays", a) for a in arrays]
    shape = broadcast_shape(*given)
    return [tf.broadcast_to(a, shape) for a in given]


def broadcast_shape(*arrays: Array) -> Any:
    """The common shape of arrays.

    Raises:
        InvalidArgumentError: where there is none.
    """
    if all(a.shape.is_fully_defined() for a in arrays):
        try:
            return list(np.broadcast_shapes(*(tuple(a.shape) for a in arrays)))
        except ValueError as error:
            shapes = ", ".join(str(tuple(a.shape)) for a in arrays)
            raise InvalidArgumentError(f"broadcasting: the shapes {shapes} do not combine") from error
    shape = tf.shape(arrays[0])
    for a in arrays[1:]:
        shape = tf.broadcast_dynamic_shape(shape, tf.shape(a))
    return shape


def permute_dims(x: Array, /, axes: tuple[int, ...]) -> Array:
    """`x` with its axes in the order of `axes`."""
    x = operand("permute_dims", x)
    if len(axes) != x.shape.rank:
        raise InvalidArgumentError(f"permute_dims: got axes {axes}, expected all {x.shape.rank} of them")
    return tf.transpose(x, axes_of("permute_dims", tuple(axes), x.shape.rank))


def moveaxis(x: Array, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> Array:
    """`x` with the axes of `source` brought to the places of `destination`, the others in their order."""
    x = operand("moveaxis", x)
    rank = x.shape.rank
    old, new = axes_of("moveaxis", source, rank), axes_of("moveaxis", destination, rank)
    if len(old) != len(new):
        raise InvalidArgumentError(f"moveaxis: got {len(old)} axes to move and {len(new)} places for them")
    order = [a for a in range(rank) if a not in old]
    for place, axis in sorted(zip(new, old, strict=True)):
        order.insert(place, axis)
    return tf.transpose(x, order)


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    """The arrays one after the other along `axis`, flattened first where it is None."""
    given = common("concat", arrays)
    if axis is None:
        return tf.concat([tf.reshape(a, [-1]) for a in given], 0)
    return tf.concat(given, axis_of("concat", axis, given[0].shape.rank))


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    """The arrays, of one shape, side by side along a new axis."""
    given = common("stack", arrays)
    return tf.stack(given, axis_of("stack", axis, given[0].shape.rank + 1))


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The slices of `x` along `axis`."""
    x = operand("unstack", x)
    a = axis_of("unstack", axis, x.shape.rank)
    return tuple(tf.unstack(x, length_of("unstack", x, a), a))


def squeeze(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    """`x` without the given axes, whose length must be 1."""
    x = operand("squeeze", x)
    axes = axes_of("squeeze", axis, x.shape.rank)
    if any(x.shape[a] not in (1, None) for a in axes):
        raise InvalidArgumentError(f"squeeze: axis {axis} of an array of shape {tuple(x.shape)} is not of length 1")
    return tf.squeeze(x, axes) if axes else tf.identity(x)


def expand_dims(x: Array, /, axis: int = 0) -> Array:
    """`x` with a new axis of length 1."""
    x = operand("expand_dims", x)
    return tf.expand_dims(x, axis_of("expand_dims", axis, x.shape.rank + 1))


def flip(x: Array, /, *, axis: Axes = None) -> Array:
    """`x` in reverse order along the given axes."""
    x = operand("flip", x)
    return tf.reverse(x, axes_of("flip", axis, x.shape.rank))


def roll(x: Array, /, shift: int | tuple[int, ...], *, axis: Axes = None) -> Array:
    """`x` with its elements moved on by `shift` along `axis`, what leaves at the end coming in at the start."""
    x = operand("roll", x)
    if axis is None:
        return tf.reshape(roll(tf.reshape(x, [-1]), shift, axis=0), shape_of(x))
    axes = axis if isinstance(axis, tuple) else (axis,)
    shifts = shift if isinstance(shift, tuple) else (shift,) * len(axes)
    if len(shifts) != len(axes):
        raise InvalidArgumentError(f"roll: got {len(shifts)} shifts for {len(axes)} axes")
    for s, given in zip(shifts, axes, strict=True):
        a = axis_of("roll", given, x.shape.rank)
        n = length_of("roll", x, a)
        if n and s % n:
            x = tf.concat([part(x, a, n - s % n, n), part(x, a, 0, n - s % n)], a)
    return tf.identity(x)


def repeat(x: Array, repeats: int | Array, /, *, axis: int | None = None) -> Array:
    """`x` with each element along `axis` repeated, all alike or each its own number of times; flattened for None."""
    x = operand("repeat", x)
    if axis is None:
        return repeat(tf.reshape(x, [-1]), repeats, axis=0)
    a = axis_of("repeat", axis, x.shape.rank)
    if is_array(repeats):
        return take(x, tf.repeat(tf.range(shape_of(x)[a]), repeats), axis=a)
    shape = shape_of(x)
    multiples = [1] * (len(shape) + 1)
    multiples[a + 1] = repeats
    tiled = by_int64(lambda x: tf.tile(x, multiples), tf.expand_dims(x, a + 1))
    return tf.reshape(tiled, [*shape[:a], shape[a] * repeats, *shape[a + 1 :]])


def tile(x: Array, repetitions: tuple[int, ...], /) -> Array:
    """`x` laid side by side the given numbers of times along its axes."""
    x = operand("tile", x)
    missing = len(repetitions) - x.shape.rank
    x = tf.reshape(x, [1] * missing + shape_of(x)) if missing > 0 else x
    return by_int64(lambda x: tf.tile(x, [1] * -missing + list(repetitions)), x)
