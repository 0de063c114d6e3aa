"""The TensorFlow namespace creates, promotes and refuses as the array API standard says, and is complete."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from metaspec.errors import InvalidArgumentError, InvalidTypeError  # noqa: E402
from metaspec_tensorflow import namespace as xp  # noqa: E402

M = np.random.default_rng(7).normal(size=(3, 4))


def words(text: str) -> list[str]:
    return text.split()


def same(got: Any, expected: np.ndarray) -> None:
    assert got.dtype.as_numpy_dtype == expected.dtype
    np.testing.assert_array_equal(got.numpy(), expected)


def test_creation() -> None:
    f32, i64 = np.float32, np.int64
    same(xp.zeros((2, 3)), np.zeros((2, 3), f32))
    same(xp.ones(3, dtype=xp.int32), np.ones(3, np.int32))
    same(xp.full((2,), 3), np.full(2, 3, i64))
    same(xp.full((2,), 0.1, dtype=xp.float64), np.full(2, 0.1))
    same(xp.full_like(xp.zeros((1, 2)), 3), np.full((1, 2), 3, f32))
    same(xp.zeros_like(xp.ones(2), dtype=xp.int64), np.zeros(2, i64))
    same(xp.empty((0, 2)), np.zeros((0, 2), f32))
    same(xp.arange(5), np.arange(5))
    same(xp.arange(1, 7, 2, dtype=xp.float64), np.arange(1.0, 7, 2))
    same(xp.arange(0.0, 0.3, 0.1), np.arange(0.0, 0.3, 0.1).astype(f32))
    same(xp.eye(2, 3, k=1, dtype=xp.float64), np.eye(2, 3, k=1))
    same(xp.asarray([[1, 2], [3, 4]]), np.asarray([[1, 2], [3, 4]], i64))
    same(xp.asarray([0.1, 2]), np.asarray([0.1, 2], f32))
    same(xp.asarray(0.1, dtype=xp.float64), np.asarray(0.1))
    same(xp.asarray([True]), np.asarray([True]))
    same(xp.asarray([]), np.asarray([], f32))
    same(xp.asarray(M), M)
    same(xp.asarray(M, dtype=xp.float32), M.astype(f32))
    same(xp.asarray(xp.asarray([1.7]), dtype=xp.int32), np.asarray([1], np.int32))
    same(xp.astype(xp.asarray([0.0, 2.0]), xp.bool), np.asarray([False, True]))
    same(xp.from_dlpack(M), M)
    for num, endpoint in ((5, True), (5, False), (1, True), (0, True)):
        got = xp.linspace(0.1, 0.7, num, endpoint=endpoint, dtype=xp.float64)
        np.testing.assert_allclose(got.numpy(), np.linspace(0.1, 0.7, num, endpoint=endpoint), rtol=1e-15)
    same(xp.linspace(-3.0, 7.1, 11, dtype=xp.float64)[-1], np.asarray(7.1))


@pytest.mark.parametrize(
    "a",
    sorted(np.dtype(t).name for t in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "c8", "c16")),
)
@pytest.mark.parametrize("b", ["bool", "int8", "int32", "int64", "uint8", "uint32", "float32", "float64", "complex64"])
def test_types_promote_as_the_standard_says(a: str, b: str) -> None:
    kinds = {np.dtype(a).kind, np.dtype(b).kind}
    allowed = len(kinds) == 1 or kinds in ({"i", "u"}, {"f", "c"})
    expected = np.result_type(np.dtype(a), np.dtype(b))
    if allowed and not (kinds == {"i", "u"} and expected.kind == "f"):
        assert xp.result_type(getattr(xp, a), getattr(xp, b)).as_numpy_dtype == expected
        assert xp.can_cast(getattr(xp, a), getattr(xp, b)) == (expected == np.dtype(b))
    else:
        with pytest.raises(InvalidTypeError, match="no common type"):
            xp.result_type(getattr(xp, a), getattr(xp, b))


def test_arrays_promote_and_scalars_do_not() -> None:
    x32, x64, i32 = xp.asarray([0.5]), xp.asarray([0.25], dtype=xp.float64), xp.asarray([3], dtype=xp.int32)
    assert xp.add(x32, x64).dtype == xp.concat([x32, x64]).dtype == xp.where(x32 > 0, x32, x64).dtype == xp.float64
    assert xp.matmul(x32[None], x64[:, None]).dtype == xp.float64
    for scalar in (2, 0.1, np.pi):
        assert xp.multiply(x32, scalar).dtype == xp.maximum(scalar, x32).dtype == (scalar * x32).dtype == xp.float32
        assert xp.multiply(x64, scalar).dtype == xp.float64
        assert xp.result_type(x32, scalar) == xp.float32
    np.testing.assert_array_equal(xp.multiply(x64, 0.1).numpy(), [0.25 * 0.1])
    assert xp.add(i32, 1).dtype == xp.int32
    assert xp.sum(i32).dtype == xp.argmax(i32).dtype == xp.int64


REFUSED: list[tuple[str, Callable[[], Any], type[Exception]]] = [
    ("no common type", lambda: xp.add(xp.ones(2), xp.arange(2)), InvalidTypeError),
    ("no common type", lambda: xp.equal(xp.ones(2), xp.ones(2) > 0), InvalidTypeError),
    ("xp.astype", lambda: xp.multiply(xp.ones(2), xp.ones(2) > 0), InvalidTypeError),
    ("does not combine", lambda: xp.add(xp.arange(2), 0.5), InvalidTypeError),
    ("xp.asarray", lambda: xp.add(xp.ones(2), np.ones(2)), InvalidTypeError),
    ("xp.asarray", lambda: xp.add(1.0, 2.0), InvalidTypeError),
    ("xp.asarray", lambda: xp.exp(1.0), InvalidTypeError),
    ("xp.astype", lambda: xp.exp(xp.arange(3)), InvalidTypeError),
    ("xp.astype", lambda: xp.divide(xp.arange(3), 2), InvalidTypeError),
    ("xp.astype", lambda: xp.sum(xp.ones(2) > 0), InvalidTypeError),
    ("xp.stack", lambda: xp.asarray([xp.ones(2), xp.ones(2)]), InvalidTypeError),
    ("equal lengths", lambda: xp.asarray([[1], [1, 2]]), InvalidArgumentError),
    ("out of range", lambda: xp.sum(xp.ones(2), axis=1), InvalidArgumentError),
    ("twice", lambda: xp.sum(xp.ones((2, 2)), axis=(0, -2)), InvalidArgumentError),
    ("no element", lambda: xp.max(xp.zeros((0, 3)), axis=0), InvalidArgumentError),
    ("does not take", lambda: xp.reshape(xp.ones(4), (3,)), InvalidArgumentError),
    ("do not match", lambda: xp.matmul(xp.ones((2, 3)), xp.ones((2, 3))), InvalidArgumentError),
    ("do not combine", lambda: xp.broadcast_arrays(xp.ones(2), xp.ones(3)), InvalidArgumentError),
    ("needs an axis", lambda: xp.take(xp.ones((2, 2)), xp.asarray([0])), InvalidArgumentError),
    ("not of length 1", lambda: xp.squeeze(xp.ones((2, 2)), 0), InvalidArgumentError),
    ("expected all 2", lambda: xp.permute_dims(xp.ones((2, 2)), (0,)), InvalidArgumentError),
    ("not a data type", lambda: xp.zeros(2, dtype="string"), InvalidTypeError),
    ("expected one of", lambda: xp.isdtype(xp.float32, "float"), InvalidArgumentError),
    ("(..., M, M)", lambda: xp.linalg.inv(xp.ones((2, 3))), InvalidArgumentError),
]


@pytest.mark.parametrize("index", range(len(REFUSED)), ids=[f"{i}-{r[0]}" for i, r in enumerate(REFUSED)])
def test_wrong_calls_are_refused_with_advice(index: int) -> None:
    words, call, error = REFUSED[index]
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


def test_inspection() -> None:
    for name in ("float32", "float64"):
        ours, theirs = xp.finfo(getattr(xp, name)), np.finfo(name)
        for field in ("bits", "eps", "max", "min", "smallest_normal"):
            assert getattr(ours, field) == getattr(theirs, field)
    assert (xp.iinfo(xp.int32).max, xp.iinfo(xp.ones(1, dtype=xp.uint8)).min) == (2**31 - 1, 0)
    assert xp.isdtype(xp.float64, "real floating")
    assert xp.isdtype(xp.int8, ("bool", "integral"))
    assert not xp.isdtype(xp.int8, (xp.int16, "complex floating"))
    info = xp.__array_namespace_info__()
    assert info.default_dtypes()["real floating"] == xp.float32
    assert info.dtypes(kind="bool") == {"bool": xp.bool}
    assert (xp.pi, xp.e, xp.inf, xp.newaxis) == (math.pi, math.e, math.inf, None)
    assert math.isnan(xp.nan)


STANDARD = words("""
e inf nan newaxis pi __array_api_version__ __array_namespace_info__ arange asarray empty empty_like eye from_dlpack
full full_like linspace meshgrid ones ones_like tril triu zeros zeros_like astype can_cast finfo iinfo isdtype
result_type bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128 abs acos acosh
add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert bitwise_or bitwise_right_shift
bitwise_xor ceil clip conj copysign cos cosh divide equal exp expm1 floor floor_divide greater greater_equal hypot
imag isfinite isinf isnan less less_equal log log1p log2 log10 logaddexp logical_and logical_not logical_or
logical_xor maximum minimum multiply negative nextafter not_equal positive pow real reciprocal remainder round sign
signbit sin sinh square sqrt subtract tan tanh trunc take take_along_axis matmul matrix_transpose tensordot vecdot
broadcast_arrays broadcast_to concat expand_dims flip moveaxis permute_dims repeat reshape roll squeeze stack tile
unstack argmax argmin count_nonzero nonzero searchsorted where argsort sort cumulative_prod cumulative_sum max mean
min prod std sum var all any diff linalg.cholesky linalg.cross linalg.det linalg.diagonal linalg.eigh linalg.eigvalsh
linalg.inv linalg.matmul linalg.matrix_norm linalg.matrix_power linalg.matrix_rank linalg.matrix_transpose
linalg.outer linalg.pinv linalg.qr linalg.slogdet linalg.solve linalg.svd linalg.svdvals linalg.tensordot linalg.trace
linalg.vecdot linalg.vector_norm
""")


def test_every_name_of_the_standard_is_there() -> None:
    missing = []
    for name in STANDARD:
        holder, _, last = name.rpartition(".")
        if not hasattr(xp.linalg if holder else xp, last):
            missing.append(name)
    assert not missing
    assert {n for n in xp.__all__ if n not in STANDARD} == {"linalg", "float16", "bfloat16"}
