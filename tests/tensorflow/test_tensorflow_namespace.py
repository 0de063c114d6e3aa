"""The TensorFlow namespace gives NumPy's values, eager and traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from metaspec_tensorflow import namespace as xp  # noqa: E402

RNG = np.random.default_rng(7)
M = RNG.normal(size=(3, 4))
N = RNG.normal(size=(3, 4))
P = RNG.uniform(0.1, 0.9, size=(2, 3))
ROW = RNG.normal(size=(4,))
CUBE = RNG.normal(size=(2, 3, 4))
SCALAR = np.asarray(0.7)
EMPTY = np.zeros((0, 3))
INTS = np.asarray([[7, -7, 3], [2, 0, -5]])
DIVISORS = np.asarray([[2, 2, -3], [-3, 4, 2]])
BITS = np.asarray([True, False, True])
MASK = np.asarray([True, True, False])
SPD = np.stack([a @ a.T + 3 * np.eye(3) for a in RNG.normal(size=(2, 3, 3))])
ODD = np.asarray([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan])

Case = tuple[str, Callable[..., Any], tuple[np.ndarray, ...]]
CASES: list[Case] = []


def words(text: str) -> list[str]:
    return text.split()


def case(name: str, f: Callable[..., Any], *arrays: np.ndarray) -> None:
    CASES.append((name, f, arrays))


for _name in words(
    "sin cos tan asin acos atan sinh cosh tanh asinh atanh exp expm1 log log1p log2 log10 sqrt square reciprocal"
):
    for _x in (P, P[0, 0], EMPTY):
        case(_name, lambda xp, x, n=_name: getattr(xp, n)(x), np.asarray(_x))
for _name in words("abs negative positive sign floor ceil round trunc isfinite isinf isnan signbit"):
    for _x in (ODD, M, SCALAR, EMPTY):
        case(_name, lambda xp, x, n=_name: getattr(xp, n)(x), _x)
for _name in words("abs negative sign floor ceil round trunc square isfinite isnan bitwise_invert"):
    case(_name, lambda xp, x, n=_name: getattr(xp, n)(x), INTS)
for _name in words("add subtract multiply maximum minimum less less_equal greater greater_equal equal not_equal"):
    for _x, _y in ((M, ROW), (CUBE, SCALAR), (INTS, DIVISORS), (EMPTY, EMPTY[:, :1]), (M[:, :1], M[:1])):
        case(_name, lambda xp, x, y, n=_name: getattr(xp, n)(x, y), _x, _y)
for _name in words("divide pow atan2 hypot logaddexp remainder floor_divide copysign nextafter"):
    for _x, _y in ((abs(M), ROW), (abs(CUBE), SCALAR)):
        case(_name, lambda xp, x, y, n=_name: getattr(xp, n)(x, y), _x, _y)
for _name in words("floor_divide remainder bitwise_and bitwise_or bitwise_xor"):
    case(_name, lambda xp, x, y, n=_name: getattr(xp, n)(x, y), INTS, DIVISORS)
for _name in words("bitwise_left_shift bitwise_right_shift"):
    case(_name, lambda xp, x, y, n=_name: getattr(xp, n)(x, y), INTS, abs(DIVISORS))
for _name in words("logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor equal"):
    case(_name, lambda xp, x, y, n=_name: getattr(xp, n)(x, y), BITS, MASK)
case("logical_not", lambda xp, x: xp.logical_not(x), BITS)
case("acosh", lambda xp, x: xp.acosh(x), 1 + P)
for _n in (0, 1, 2, 3, 7, -2, 2.0, 0.5):
    case("pow scalar", lambda xp, x, n=_n: xp.pow(x, n), P)
case("pow ints", lambda xp, x: xp.pow(x, 3), INTS)
case(
    "hypot limits",
    lambda xp, x, y: xp.hypot(x, y),
    np.asarray([1e200, 0.0, np.inf, 1e-200]),
    np.asarray([1e200, 0, 1, 0]),
)
case(
    "logaddexp limits",
    lambda xp, x, y: xp.logaddexp(x, y),
    np.asarray([-np.inf, np.inf, 1e3, -np.inf, 1e-3]),
    np.asarray([-np.inf, 1, -1e3, 2, -1e8]),
)
case("clip", lambda xp, x: (xp.clip(x, -0.5, 0.5), xp.clip(x, min=0.1), xp.clip(x, max=0.2)), M)
case("where", lambda xp, x, y: (xp.where(x > 0, x, y), xp.where(x > 0, x, 0.0), xp.where(x > 0, 1, x)), M, ROW)

for _name in words("sum prod mean var std max min any all count_nonzero"):
    for _axis in (None, 0, -1, (0, 2), ()):
        case(_name, lambda xp, x, n=_name, a=_axis: getattr(xp, n)(x, axis=a), CUBE)
        case(_name, lambda xp, x, n=_name, a=_axis: getattr(xp, n)(x, axis=a, keepdims=True), CUBE)
for _name in words("sum prod any all"):
    for _axis in (None, 0, 1):
        case(_name, lambda xp, x, n=_name, a=_axis: getattr(xp, n)(x, axis=a), EMPTY)
for _name in words("sum prod max min any all count_nonzero argmax argmin cumulative_sum cumulative_prod sort argsort"):
    case(_name, lambda xp, x, n=_name: getattr(xp, n)(x, axis=1), INTS)
for _name in words("argmax argmin"):
    for _axis in (None, 1, -1):
        case(_name, lambda xp, x, n=_name, a=_axis: getattr(xp, n)(x, axis=a, keepdims=True), CUBE)
case("var", lambda xp, x: (xp.var(x, axis=1, correction=1), xp.std(x, correction=0.5)), CUBE)
for _name in words("cumulative_sum cumulative_prod"):
    for _axis in (0, 1, -1):
        case(_name, lambda xp, x, n=_name, a=_axis: getattr(xp, n)(x, axis=a), CUBE)
        case(_name, lambda xp, x, n=_name, a=_axis: getattr(xp, n)(x, axis=a, include_initial=True), CUBE)
case("diff", lambda xp, x: (xp.diff(x), xp.diff(x, axis=0, n=2), xp.diff(x, append=x, prepend=x[:, :, :1])), CUBE)

case("matmul", lambda xp, x, y: (x @ y, xp.matmul(x, y)), CUBE, M.T)
case(
    "matmul vectors",
    lambda xp, x, y: (
        xp.matmul(x, y),
        xp.matmul(xp.matrix_transpose(x)[0], x[0, :, 0]),
        xp.matmul(y, xp.matrix_transpose(x)),
        xp.matmul(y, y),
    ),
    CUBE,
    ROW,
)
case("matmul ints", lambda xp, x, y: xp.matmul(x, xp.matrix_transpose(y)), INTS, DIVISORS)
case("matmul empty", lambda xp, x, y: xp.matmul(x, y), EMPTY, SPD[0])
for _axes in (0, 1, 2, ((0, 1), (1, 0)), ((-1,), (0,))):
    case("tensordot", lambda xp, x, y, a=_axes: xp.tensordot(x, y, axes=a), SPD[0], SPD[1])
case("vecdot", lambda xp, x, y: (xp.vecdot(x, y), xp.vecdot(x, y[:, :1], axis=-2)), CUBE, M)
case("reshape", lambda xp, x: (xp.reshape(x, (4, 6)), xp.reshape(x, (-1, 2)), xp.reshape(x[:0], (0, 5))), CUBE)
case("reshape scalar", lambda xp, x: xp.reshape(x, (1, 1)), SCALAR)
case("broadcast", lambda xp, x, y: (xp.broadcast_to(x, (2, 3, 4)), *xp.broadcast_arrays(x[:, :1], y)), M, ROW)
case(
    "permute",
    lambda xp, x: (xp.permute_dims(x, (2, 0, 1)), xp.moveaxis(x, 0, -1), xp.moveaxis(x, (0, 1), (2, 0))),
    CUBE,
)
case("matrix_transpose", lambda xp, x: xp.matrix_transpose(x), CUBE)
case("concat", lambda xp, x, y: (xp.concat([x, y]), xp.concat((x, y), axis=-1), xp.concat([x, y], axis=None)), M, N)
case("stack", lambda xp, x, y: (xp.stack([x, y]), xp.stack([x, y], axis=-1), *xp.unstack(x, axis=1)), M, N)
case("squeeze", lambda xp, x: (xp.squeeze(x[None], 0), xp.expand_dims(x, axis=-1), xp.expand_dims(x, axis=1)), CUBE)
case("flip", lambda xp, x: (xp.flip(x), xp.flip(x, axis=1), xp.flip(x, axis=(0, -1))), CUBE)
case("roll", lambda xp, x: (xp.roll(x, 5), xp.roll(x, -1, axis=1), xp.roll(x, (1, 2), axis=(0, 2))), CUBE)
case("repeat", lambda xp, x: (xp.repeat(x, 2), xp.repeat(x, 3, axis=1)), CUBE)
case("repeat each", lambda xp, x, n: xp.repeat(x, n, axis=0), M, np.asarray([2, 0, 1]))
case("tile", lambda xp, x: (xp.tile(x, (2,)), xp.tile(x, (2, 1, 3)), xp.tile(x, (2, 1, 1, 2))), CUBE)
for _axis in (0, 1, -1):
    case("take", lambda xp, x, i, a=_axis: xp.take(x, i, axis=a), CUBE, np.asarray([1, 0, -1, 1]))
case("take grid", lambda xp, x, i: xp.take(x, i, axis=1), CUBE, np.asarray([[2, 0], [1, 1]]))
for _axis in (0, 1, -1):
    case("take_along_axis", lambda xp, x, a=_axis: xp.take_along_axis(x, xp.argsort(x, axis=a), axis=a), CUBE)
case("take_along_axis wide", lambda xp, x, i: xp.take_along_axis(x, i, axis=1), CUBE, np.asarray([[[1], [-1]]]))
for _axis in (0, 1, -1):
    case("sort", lambda xp, x, a=_axis: (xp.sort(x, axis=a), xp.argsort(x, axis=a)), CUBE)
case("argsort stable", lambda xp, x: xp.argsort(x, stable=True), np.asarray([1.0, 0.0, 1.0, 0.0, 1.0]))
case("searchsorted", lambda xp, x, y: (xp.searchsorted(x, y), xp.searchsorted(x, y, side="right")), np.sort(ROW), M)
case("nonzero", lambda xp, x: xp.nonzero(x), INTS)
case("triangles", lambda xp, x: (xp.tril(x), xp.tril(x, k=1), xp.triu(x), xp.triu(x, k=-1)), CUBE)
case("meshgrid", lambda xp, x, y: (*xp.meshgrid(x, y), *xp.meshgrid(x, y, indexing="ij")), ROW, M[0])

case("solve", lambda xp, a, b: (xp.linalg.solve(a, b[0]), xp.linalg.solve(a[0], b[0, :, 0])), SPD, CUBE)
for _name in words("inv det cholesky eigvalsh svdvals pinv matrix_rank matrix_norm"):
    case(_name, lambda xp, x, n=_name: getattr(xp.linalg, n)(x), SPD)
case("slogdet", lambda xp, x: tuple(xp.linalg.slogdet(x)), -SPD)
case("upper", lambda xp, x: xp.linalg.cholesky(x, upper=True), SPD)
case("power", lambda xp, x: tuple(xp.linalg.matrix_power(x, n) for n in (0, 1, 5, -2)), SPD)
case(
    "norms", lambda xp, x: tuple(xp.linalg.matrix_norm(x, ord=o) for o in ("nuc", 1, -1, 2, -2, np.inf, -np.inf)), CUBE
)
case("matrix_norm keepdims", lambda xp, x: xp.linalg.matrix_norm(x, ord=1, keepdims=True), CUBE)
for _o in (2, 1, 0, 3, 2.5, np.inf, -np.inf):
    case("vector_norm", lambda xp, x, o=_o: xp.linalg.vector_norm(x, ord=o, axis=1, keepdims=True), CUBE)
case("vector_norm", lambda xp, x: (xp.linalg.vector_norm(x), xp.linalg.vector_norm(x, axis=(0, 2))), CUBE)
case("diagonal", lambda xp, x: tuple(xp.linalg.diagonal(x, offset=k) for k in (0, 1, -2)), CUBE)
case("trace", lambda xp, x: tuple(xp.linalg.trace(x, offset=k) for k in (0, 1)), CUBE)
case("outer", lambda xp, x, y: xp.linalg.outer(x, y[0]), ROW, M)
case("cross", lambda xp, x, y: (xp.linalg.cross(x, y), xp.linalg.cross(x, y[0], axis=0)), SPD[0], SPD)
case("qr", lambda xp, x: xp.matmul(*xp.linalg.qr(x)), CUBE)
case("svd", lambda xp, x: xp.matmul(xp.linalg.svd(x, full_matrices=False)[0] ** 2, x), CUBE)
case("eigh", lambda xp, x: (xp.linalg.eigh(x)[0], xp.square(xp.linalg.eigh(x)[1])), SPD)


def flat(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


FIRST_OF_NAME = [i for i, c in enumerate(CASES) if c[0] not in [d[0] for d in CASES[:i]]]
RUNS = [(i, False) for i in range(len(CASES))] + [(i, True) for i in FIRST_OF_NAME]


@pytest.mark.parametrize(
    ("index", "traced"), RUNS, ids=[f"{CASES[i][0]}-{i}-{'traced' if t else 'eager'}" for i, t in RUNS]
)
def test_values_and_types_are_those_of_numpy(index: int, traced: bool) -> None:
    _, f, arrays = CASES[index]
    with np.errstate(all="ignore"):
        expected = flat(f(np, *arrays))

    def call(*xs: Any) -> list[Any]:
        return flat(f(xp, *xs))

    tensors = [tf.constant(a) for a in arrays]
    got = (tf.function(call, autograph=False) if traced else call)(*tensors)
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        assert g.dtype.as_numpy_dtype == np.asarray(e).dtype
        assert tuple(g.shape) == np.shape(e)
        np.testing.assert_allclose(g.numpy(), e, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["sum", "mean", "var", "tanh", "exp", "cumulative_prod", "sort", "roll", "tril"])
def test_float32_stays_float32_and_is_right(name: str) -> None:
    x = M.astype(np.float32)
    axis = {"axis": 0} if name in ("cumulative_prod", "sort") else {}
    args = (1,) if name == "roll" else ()
    got = getattr(xp, name)(tf.constant(x), *args, **axis)
    assert got.dtype == tf.float32
    np.testing.assert_allclose(got.numpy(), getattr(np, name)(x, *args, **axis), rtol=2e-6, atol=1e-6)


def test_open_shapes_can_be_traced() -> None:
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, 3], tf.float64)])
    def f(x: Any) -> Any:
        centred = x - xp.mean(x, axis=0, keepdims=True)
        taken = xp.take(xp.reshape(xp.tril(centred), (-1, 3)), xp.asarray([0, 2]), axis=1)
        return xp.var(x, axis=0), xp.take_along_axis(taken, xp.argsort(taken, axis=0), axis=0), xp.full_like(x, 2.0)

    var, ordered, twos = f(tf.constant(CUBE[:, :, 0]))
    x = CUBE[:, :, 0]
    np.testing.assert_allclose(var.numpy(), x.var(axis=0), rtol=1e-12)
    np.testing.assert_allclose(ordered.numpy(), np.sort(np.tril(x - x.mean(axis=0))[:, [0, 2]], axis=0), rtol=1e-12)
    np.testing.assert_array_equal(twos.numpy(), np.full_like(x, 2.0))
