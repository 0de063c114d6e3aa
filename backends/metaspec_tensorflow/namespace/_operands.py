"""What every function does first: check its arrays, bring them to one type, read axes and shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec_tensorflow.namespace._dtypes import KINDS, DType, check_weak, promote_types

Array: TypeAlias = Any
Axes: TypeAlias = int | tuple[int, ...] | None


def is_array(x: Any) -> bool:
    """Whether `x` is an array of this namespace."""
    return isinstance(x, (tf.Tensor, tf.Variable))


def operand(name: str, x: Any, kind: str = "any") -> Array:
    """`x` as a tensor of known rank and of the given kind.

    Raises:
        InvalidTypeError: where it is no tensor, or a tensor of another kind.
    """
    if not is_array(x):
        raise InvalidTypeError(
            f"{name}: got {type(x).__name__}, expected a TensorFlow tensor; convert other arrays with xp.asarray"
        )
    if x.dtype not in KINDS[kind]:
        raise InvalidTypeError(
            f"{name}: got an array of {x.dtype.name}, expected one of kind {kind!r}; convert it with xp.astype"
        )
    if x.shape.rank is None:
        raise InvalidArgumentError(f"{name}: the tensor's rank is unknown; give it one with tf.ensure_shape")
    return tf.convert_to_tensor(x)


def operands(name: str, *xs: Any, kind: str = "any") -> list[Array]:
    """Arrays and Python scalars as tensors of their common type; scalars never change it.

    Raises:
        InvalidTypeError: where no operand is an array, or the types do not combine.
    """
    arrays = [operand(name, x, kind) for x in xs if is_array(x)]
    if not arrays:
        raise InvalidTypeError(
            f"{name}: got {', '.join(type(x).__name__ for x in xs)}, expected a TensorFlow tensor among them; "
            "convert with xp.asarray"
        )
    dtype = promote_types(name, *(a.dtype for a in arrays))
    out = []
    for x in xs:
        if is_array(x):
            out.append(tf.cast(x, dtype))
        else:
            check_weak(name, x, dtype)
            out.append(tf.constant(x, dtype))
    return out


def common(name: str, arrays: Sequence[Any], kind: str = "any") -> list[Array]:
    """A sequence of arrays, no scalars among them, as tensors of their common type."""
    if not arrays:
        raise InvalidArgumentError(f"{name}: got no arrays, expected at least one")
    return operands(name, *(operand(name, a, kind) for a in arrays), kind=kind)


def axis_of(name: str, axis: int, rank: int) -> int:
    """`axis` counted from the front.

    Raises:
        InvalidArgumentError: where an array of `rank` dimensions has no such axis.
    """
    if not -rank <= axis < rank:
        raise InvalidArgumentError(f"{name}: axis {axis} is out of range for an array of {rank} dimensions")
    return axis % rank


def axes_of(name: str, axis: Axes, rank: int) -> tuple[int, ...]:
    """All axes for None, else those given, counted from the front.

    Raises:
        InvalidArgumentError: where one is out of range or given twice.
    """
    if axis is None:
        return tuple(range(rank))
    found = tuple(axis_of(name, a, rank) for a in (axis if isinstance(axis, tuple) else (axis,)))
    if len(set(found)) < len(found):
        raise InvalidArgumentError(f"{name}: axis {axis} names an axis twice")
    return found


def shape_of(x: Array) -> list[Any]:
    """Lengths of all axes: Python integers where known, scalar tensors where a traced function left them open."""
    static = x.shape.as_list()
    if None not in static:
        return list(static)
    dynamic = tf.shape(x)
    return [dynamic[i] if n is None else n for i, n in enumerate(static)]


def length_of(name: str, x: Array, axis: int) -> int:
    """The length of one axis, for functions whose program depends on it.

    Raises:
        InvalidArgumentError: where a traced function left it open.
    """
    n = x.shape[axis]
    if n is None:
        raise InvalidArgumentError(
            f"{name}: the length of axis {axis} is open while tracing; give the traced function's arguments full shapes"
        )
    return int(n)


def part(x: Array, axis: int, start: Any, stop: Any) -> Array:
    """`x[..., start:stop, ...]` along `axis`."""
    return x[(slice(None),) * axis + (slice(start, stop),)]


def scalar(value: Any, dtype: DType) -> Array:
    """A Python number or a tensor in the given type; `tf.cast` alone would round a Python float to float32 first."""
    return tf.cast(value, dtype) if is_array(value) else tf.constant(value, dtype)


def by_int64(op: Callable[..., Array], *xs: Array) -> Array:
    """`op` of integers for whose type TensorFlow has no kernel, computed modulo 2**64."""
    if xs[0].dtype not in KINDS["integral"] or xs[0].dtype in (tf.int32, tf.int64):
        return op(*xs)
    return tf.cast(op(*(tf.cast(x, tf.int64) for x in xs)), xs[0].dtype)


def index_dtype() -> DType:
    """The type of indices and counts."""
    return tf.int64
