"""Products of vectors, matrices and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from metaspec.errors import InvalidArgumentError
from metaspec_tensorflow.namespace._manipulation import moveaxis
from metaspec_tensorflow.namespace._operands import Array, axis_of, by_int64, common, operand


def matmul(x1: Array, x2: Array, /) -> Array:
    """Matrix product over the last two axes, the others broadcast; a vector is a row on the left, else a column."""
    a, b = common("matmul", [x1, x2], "numeric")
    if a.shape.rank == 0 or b.shape.rank == 0:
        raise InvalidArgumentError("matmul: got a scalar, expected arrays of at least 1 dimension; use `*` to scale")
    inner = a.shape[-1], b.shape[-1 if b.shape.rank == 1 else -2]
    if None not in inner and inner[0] != inner[1]:
        raise InvalidArgumentError(f"matmul: the shapes {tuple(a.shape)} and {tuple(b.shape)} do not match")
    left, right = a.shape.rank == 1, b.shape.rank == 1
    product = by_int64(tf.matmul, a[None, :] if left else a, b[:, None] if right else b)
    return tf.squeeze(product, [-2] * left + [-1] * right) if left or right else product


def tensordot(x1: Array, x2: Array, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Array:
    """Sum of products over the last axes of `x1` with the first of `x2`, or over the given pairs of axes."""
    a, b = common("tensordot", [x1, x2], "numeric")
    if isinstance(axes, int):
        return by_int64(lambda a, b: tf.tensordot(a, b, axes), a, b)
    pairs: Any = [
        [axis_of("tensordot", i, x.shape.rank) for i in chosen] for x, chosen in zip((a, b), axes, strict=True)
    ]
    return by_int64(lambda a, b: tf.tensordot(a, b, pairs), a, b)


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """Sum of `conj(x1) * x2` over `axis`, counted from the end; the other axes broadcast."""
    a, b = common("vecdot", [x1, x2], "numeric")
    if not -min(a.shape.rank, b.shape.rank) <= axis < 0:
        raise InvalidArgumentError(f"vecdot: axis {axis} is not a negative axis of both arrays")
    a, b = moveaxis(a, axis, -1), moveaxis(b, axis, -1)
    if None not in (a.shape[-1], b.shape[-1]) and a.shape[-1] != b.shape[-1]:
        raise InvalidArgumentError(f"vecdot: the vectors have {a.shape[-1]} and {b.shape[-1]} elements")
    return tf.reduce_sum(tf.math.conj(a) * b, -1)


def matrix_transpose(x: Array, /) -> Array:
    """`x` with its last two axes exchanged."""
    x = operand("matrix_transpose", x)
    if x.shape.rank < 2:
        raise InvalidArgumentError(f"matrix_transpose: got {x.shape.rank} dimensions, expected at least 2")
    return tf.linalg.matrix_transpose(x)
