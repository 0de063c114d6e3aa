"""Data types of the standard and how they combine."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import tensorflow as tf

from metaspec.errors import InvalidArgumentError, InvalidTypeError

DType: TypeAlias = Any

bool = tf.bool
int8, int16, int32, int64 = tf.int8, tf.int16, tf.int32, tf.int64
uint8, uint16, uint32, uint64 = tf.uint8, tf.uint16, tf.uint32, tf.uint64
float16, bfloat16, float32, float64 = tf.float16, tf.bfloat16, tf.float32, tf.float64
complex64, complex128 = tf.complex64, tf.complex128

DEFAULT_FLOAT, DEFAULT_INT, DEFAULT_COMPLEX = float32, int64, complex64

_SIGNED, _UNSIGNED = (int8, int16, int32, int64), (uint8, uint16, uint32, uint64)
_REAL, _COMPLEX = (float16, bfloat16, float32, float64), (complex64, complex128)
KINDS: Mapping[str, frozenset[DType]] = {
    "bool": frozenset({bool}),
    "signed integer": frozenset(_SIGNED),
    "unsigned integer": frozenset(_UNSIGNED),
    "integral": frozenset(_SIGNED + _UNSIGNED),
    "real floating": frozenset(_REAL),
    "complex floating": frozenset(_COMPLEX),
    "floating": frozenset(_REAL + _COMPLEX),
    "real numeric": frozenset(_SIGNED + _UNSIGNED + _REAL),
    "numeric": frozenset(_SIGNED + _UNSIGNED + _REAL + _COMPLEX),
    "integral or bool": frozenset((bool, *_SIGNED, *_UNSIGNED)),
    "any": frozenset((bool, *_SIGNED, *_UNSIGNED, *_REAL, *_COMPLEX)),
}
STANDARD_KINDS = (
    "bool",
    "signed integer",
    "unsigned integer",
    "integral",
    "real floating",
    "complex floating",
    "numeric",
)


def as_dtype(dtype: DType) -> DType:
    """The `tf.DType` that `dtype` (a constant of this namespace, or its name) stands for.

    Raises:
        InvalidTypeError: where it stands for none of the standard's types.
    """
    try:
        found = tf.as_dtype(dtype)
    except TypeError:
        found = None
    if found not in KINDS["any"]:
        raise InvalidTypeError(f"dtype: {dtype!r} is not a data type of this namespace; take one such as xp.float32")
    return found


def _promote_pair(a: DType, b: DType) -> DType | None:
    if a == b:
        return a
    for kind in (_SIGNED, _UNSIGNED, _COMPLEX):
        if a in kind and b in kind:
            return max(a, b, key=lambda d: d.size)
    if a in _REAL and b in _REAL:
        return float32 if a.size == b.size else max(a, b, key=lambda d: d.size)
    if a in KINDS["integral"] and b in KINDS["integral"]:
        signed, unsigned = (a, b) if a in _SIGNED else (b, a)
        return next((d for d in _SIGNED if d.size >= signed.size and d.size > unsigned.size), None)
    if a in KINDS["floating"] and b in KINDS["floating"]:
        return complex128 if float64 in (a, b) or complex128 in (a, b) else complex64
    return None


def promote_types(name: str, *dtypes: DType) -> DType:
    """The type that values of all `dtypes` combine to; kinds are not mixed, as the standard leaves that undefined.

    Raises:
        InvalidTypeError: where the types are of different kinds (an integer and a float, say).
    """

    def pair(a: DType, b: DType) -> DType:
        found = _promote_pair(a, b)
        if found is None:
            raise InvalidTypeError(
                f"{name}: {a.name} and {b.name} have no common type in the array API standard; "
                f"convert one of them first, xp.astype(x, xp.{max(a, b, key=lambda d: d in KINDS['floating']).name})"
            )
        return found

    return reduce(pair, dtypes)


def check_weak(name: str, scalar: Any, dtype: DType) -> None:
    """Refuses a Python scalar that cannot take the type of the arrays beside it."""
    if isinstance(scalar, builtins.bool):
        kind = "bool"
    elif isinstance(scalar, int):
        kind = "numeric"
    elif isinstance(scalar, float):
        kind = "floating"
    elif isinstance(scalar, complex):
        kind = "complex floating"
    else:
        raise InvalidTypeError(
            f"{name}: got {type(scalar).__name__}, expected a TensorFlow tensor or a Python scalar; "
            "convert other arrays with xp.asarray"
        )
    if dtype not in KINDS[kind]:
        raise InvalidTypeError(
            f"{name}: the Python scalar {scalar!r} does not combine with {dtype.name}; convert the array with xp.astype"
        )


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The type that the operands combine to; Python scalars are weak: they never change it."""
    scalars = [x for x in arrays_and_dtypes if isinstance(x, (int, float, complex))]
    dtypes = [
        x.dtype if isinstance(x, (tf.Tensor, tf.Variable)) else as_dtype(x)
        for x in arrays_and_dtypes
        if not isinstance(x, (int, float, complex))
    ]
    if not dtypes:
        raise InvalidArgumentError("result_type: got no array and no data type; give at least one")
    dtype = promote_types("result_type", *dtypes)
    for scalar in scalars:
        check_weak("result_type", scalar, dtype)
    return dtype


def can_cast(from_: Any, to: DType, /) -> builtins.bool:
    """Whether `from_` (array or type) converts to `to` by the rules of type promotion."""
    source, target = from_.dtype if isinstance(from_, (tf.Tensor, tf.Variable)) else as_dtype(from_), as_dtype(to)
    return builtins.bool(_promote_pair(source, target) == target)


def isdtype(dtype: DType, kind: Any) -> builtins.bool:
    """Whether `dtype` is of `kind`: a type, the standard's name of a kind, or a tuple of these."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in STANDARD_KINDS:
            raise InvalidArgumentError(f"kind: got {kind!r}, expected one of {', '.join(map(repr, STANDARD_KINDS))}")
        return dtype in KINDS[kind]
    return builtins.bool(dtype == as_dtype(kind))


@dataclass(frozen=True)
class FloatInfo:
    """Limits of a floating type."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True)
class IntInfo:
    """Limits of an integer type."""

    bits: int
    max: int
    min: int
    dtype: DType


def _dtype_of(x: Any, kind: str, name: str) -> DType:
    dtype = x.dtype if isinstance(x, (tf.Tensor, tf.Variable)) else as_dtype(x)
    if dtype not in KINDS[kind]:
        raise InvalidTypeError(f"{name}: got {dtype.name}, expected a type of kind {kind!r}")
    return dtype


def finfo(type: Any, /) -> FloatInfo:
    """Limits of a floating type, or of an array's; those of its components for a complex one."""
    real = _dtype_of(type, "floating", "finfo").real_dtype
    i: Any = ml_dtypes.finfo(real.as_numpy_dtype)  # type: ignore[no-untyped-call]
    return FloatInfo(int(i.bits), float(i.eps), float(i.max), float(i.min), float(i.smallest_normal), real)


def iinfo(type: Any, /) -> IntInfo:
    """Limits of an integer type, or of an array's."""
    dtype = _dtype_of(type, "integral", "iinfo")
    i = np.iinfo(dtype.as_numpy_dtype)
    return IntInfo(i.bits, int(i.max), int(i.min), dtype)
