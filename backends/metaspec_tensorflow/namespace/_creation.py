"""Creation of arrays, and conversion between types.

Default types: float32 for floats, int64 for integers, complex64 for complex numbers, on every machine. A NumPy array
keeps its own type. Tensors are immutable, so `copy` makes no difference.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import tensorflow as tf

from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec_tensorflow.namespace._dtypes import (
    DEFAULT_COMPLEX,
    DEFAULT_FLOAT,
    DEFAULT_INT,
    KINDS,
    DType,
    as_dtype,
)
from metaspec_tensorflow.namespace._operands import Array, common, is_array, operand, scalar, shape_of


def _on(device: str | None) -> Any:
    return contextlib.nullcontext() if device is None else tf.device(device)


def _default(kind: str) -> DType:
    return {"b": tf.bool, "i": DEFAULT_INT, "u": DEFAULT_INT, "f": DEFAULT_FLOAT, "c": DEFAULT_COMPLEX}.get(kind)


def _holds_array(obj: Any) -> bool:
    return is_array(obj) or (isinstance(obj, (list, tuple)) and any(_holds_array(o) for o in obj))


def asarray(obj: Any, /, *, dtype: DType = None, device: str | None = None, copy: bool | None = None) -> Array:
    """A tensor from a tensor, a NumPy array, a Python scalar or nested sequences of scalars.

    Raises:
        InvalidTypeError: for a sequence that holds tensors (reading their values would cut derivatives: use `stack`),
            and for what has no numeric type.
    """
    target = None if dtype is None else as_dtype(dtype)
    with _on(device):
        if is_array(obj):
            tensor = tf.convert_to_tensor(obj)
            return tf.identity(tensor) if target in (None, tensor.dtype) else _cast(tensor, target)
        if _holds_array(obj):
            raise InvalidTypeError(
                "asarray: got a sequence that holds tensors, expected numbers; join tensors by xp.stack"
            )
        try:
            values = np.asarray(obj)
        except ValueError as error:
            raise InvalidArgumentError(f"asarray: {error}; give sequences of equal lengths") from error
        given = isinstance(obj, (np.ndarray, np.generic)) or hasattr(obj, "__array__")
        found = tf.as_dtype(values.dtype) if given and values.dtype != object else _default(values.dtype.kind)
        if found not in KINDS["any"]:
            raise InvalidTypeError(f"asarray: got values of type {values.dtype}, expected booleans or numbers")
        if target is None or target == found:
            return tf.constant(values, found)
        return _cast(tf.constant(values, found if given else tf.as_dtype(values.dtype)), target)


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Array:
    """A tensor that holds the values of any array that speaks DLPack."""
    with _on(device):
        return tf.identity(tf.experimental.dlpack.from_dlpack(x.__dlpack__()))


def _cast(x: Array, dtype: DType) -> Array:
    if x.dtype in KINDS["complex floating"] and dtype not in KINDS["complex floating"]:
        raise InvalidTypeError(
            f"astype: {x.dtype.name} does not convert to {dtype.name}; take xp.real or xp.imag first"
        )
    return tf.cast(x, dtype)


def astype(x: Array, dtype: DType, /, *, copy: bool = True, device: str | None = None) -> Array:
    """`x` converted to another type; differentiable between floating types."""
    with _on(device):
        return _cast(operand("astype", x), as_dtype(dtype))


def _shape(shape: Any) -> Any:
    return (shape,) if isinstance(shape, int) else shape


def full(shape: Any, fill_value: Any, *, dtype: DType = None, device: str | None = None) -> Array:
    """An array of the given shape with one value throughout."""
    with _on(device):
        return tf.fill(tf.cast(_shape(shape), tf.int32), asarray(fill_value, dtype=dtype))


def zeros(shape: Any, *, dtype: DType = None, device: str | None = None) -> Array:
    """An array of zeros, of float32 where no type is given."""
    with _on(device):
        return tf.zeros(_shape(shape), DEFAULT_FLOAT if dtype is None else as_dtype(dtype))


def ones(shape: Any, *, dtype: DType = None, device: str | None = None) -> Array:
    """An array of ones, of float32 where no type is given."""
    with _on(device):
        return tf.ones(_shape(shape), DEFAULT_FLOAT if dtype is None else as_dtype(dtype))


empty = zeros


def full_like(x: Array, /, fill_value: Any, *, dtype: DType = None, device: str | None = None) -> Array:
    """An array with one value throughout, of the shape of `x` and, where none is given, of its type."""
    x = operand("full_like", x)
    return full(shape_of(x), fill_value, dtype=x.dtype if dtype is None else dtype, device=device)


def zeros_like(x: Array, /, *, dtype: DType = None, device: str | None = None) -> Array:
    """Zeros of the shape of `x` and, where none is given, of its type."""
    with _on(device):
        return tf.zeros_like(operand("zeros_like", x), dtype=None if dtype is None else as_dtype(dtype))


def ones_like(x: Array, /, *, dtype: DType = None, device: str | None = None) -> Array:
    """Ones of the shape of `x` and, where none is given, of its type."""
    with _on(device):
        return tf.ones_like(operand("ones_like", x), dtype=None if dtype is None else as_dtype(dtype))


empty_like = zeros_like


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: DType = None, device: str | None = None
) -> Array:
    """`start, start + step, ...` below `stop`; without `dtype` int64 where all are integers, else float32."""
    begin, end = (0, start) if stop is None else (start, stop)
    for name, value in (("start", begin), ("stop", end), ("step", step)):
        if not isinstance(value, (int, float)):
            raise InvalidTypeError(f"arange: {name} is of {type(value).__name__}, expected a Python number")
    values = np.arange(begin, end, step)
    with _on(device):
        return tf.constant(values, _default(values.dtype.kind) if dtype is None else as_dtype(dtype))


def linspace(
    start: Any,
    stop: Any,
    /,
    num: int,
    *,
    dtype: DType = None,
    device: str | None = None,
    endpoint: bool = True,
) -> Array:
    """`num` evenly spaced values from `start` to `stop`, which is the last one where `endpoint` holds."""
    given = [x.dtype for x in (start, stop) if is_array(x)]
    target = as_dtype(dtype) if dtype is not None else given[0] if given else DEFAULT_FLOAT
    if target not in KINDS["real floating"]:
        raise InvalidTypeError(f"linspace: got type {target.name}, expected a real floating one")
    with _on(device):
        first, last = scalar(start, target), scalar(stop, target)
        intervals = max(num - 1, 1) if endpoint else max(num, 1)
        steps = tf.constant(np.arange(num) / intervals, target)
        return first * (1 - steps) + last * steps


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: DType = None, device: str | None = None
) -> Array:
    """Ones on the `k`-th diagonal, zeros elsewhere; float32 where no type is given."""
    with _on(device):
        return tf.constant(np.eye(n_rows, n_cols, k), DEFAULT_FLOAT if dtype is None else as_dtype(dtype))


def meshgrid(*arrays: Array, indexing: str = "xy") -> list[Array]:
    """Coordinate arrays of the grid that vectors span, with `indexing` 'xy' (Cartesian) or 'ij' (matrix)."""
    return list(tf.meshgrid(*common("meshgrid", arrays), indexing=indexing))


def _triangle(name: str, x: Array, k: int, *, lower: bool) -> Array:
    x = operand(name, x)
    if x.shape.rank < 2:
        raise InvalidArgumentError(f"{name}: got an array of {x.shape.rank} dimensions, expected at least 2")
    rows, columns = shape_of(x)[-2:]
    offset = tf.range(columns)[None, :] - tf.range(rows)[:, None]
    return tf.where(offset <= k if lower else offset >= k, x, tf.zeros_like(x))


def tril(x: Array, /, *, k: int = 0) -> Array:
    """The lower triangles of matrices, up to and with the `k`-th diagonal."""
    return _triangle("tril", x, k, lower=True)


def triu(x: Array, /, *, k: int = 0) -> Array:
    """The upper triangles of matrices, from the `k`-th diagonal on."""
    return _triangle("triu", x, k, lower=False)
