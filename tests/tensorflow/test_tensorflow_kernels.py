"""The TensorFlow namespace computes in every type of the standard, though TensorFlow lacks kernels for some of them."""

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from metaspec_tensorflow import namespace  # noqa: E402

X, Y = np.array([[1, 2, 5], [3, 0, 4]]), np.array([[2, 1, 3], [3, 4, 1]])
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
OF_ALL = ("bool", *INTEGERS, "float32", "float64", "complex64", "complex128")

COPIED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "concat": lambda xp, x, y: xp.concat([x, y], axis=0),
    "flip": lambda xp, x, y: xp.flip(x),
    "repeat": lambda xp, x, y: xp.repeat(x, 2, axis=0),
    "repeat, each": lambda xp, x, y: xp.repeat(x, xp.asarray([1, 2]), axis=0),
    "roll": lambda xp, x, y: xp.roll(x, 1),
    "stack": lambda xp, x, y: xp.stack([x, y]),
    "take": lambda xp, x, y: xp.take(x, xp.asarray([1, 0]), axis=0),
    "take_along_axis": lambda xp, x, y: xp.take_along_axis(x, xp.asarray([[1, 0, 0], [0, 0, 1]]), axis=0),
    "tile": lambda xp, x, y: xp.tile(x, (2, 1)),
    "triu": lambda xp, x, y: xp.triu(x),
    "unstack": lambda xp, x, y: xp.unstack(x)[1],
    "where": lambda xp, x, y: xp.where(x == x[:1, :], x, y),
    "linalg.diagonal": lambda xp, x, y: xp.linalg.diagonal(x),
}
COUNTED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "argmax": lambda xp, x, y: xp.argmax(x, axis=1),
    "argsort": lambda xp, x, y: xp.argsort(x, descending=True),
    "clip": lambda xp, x, y: xp.clip(x, 1, 3),
    "cumulative_prod": lambda xp, x, y: xp.cumulative_prod(x, axis=1),
    "cumulative_sum": lambda xp, x, y: xp.cumulative_sum(x, axis=1, include_initial=True),
    "floor_divide": lambda xp, x, y: xp.floor_divide(x, y),
    "linalg.cross": lambda xp, x, y: xp.linalg.cross(x, y),
    "matmul": lambda xp, x, y: xp.matmul(x, xp.matrix_transpose(y)),
    "max": lambda xp, x, y: xp.max(x, axis=0),
    "negative": lambda xp, x, y: xp.negative(x),
    "pow": lambda xp, x, y: xp.pow(x, y),
    "prod of this type": lambda xp, x, y: xp.prod(x + 3 * y, dtype=x.dtype),
    "remainder": lambda xp, x, y: xp.remainder(x, y),
    "searchsorted": lambda xp, x, y: xp.searchsorted(xp.sort(x[0, :]), y[0, :], side="right"),
    "sign": lambda xp, x, y: xp.sign(x),
    "sort": lambda xp, x, y: xp.sort(x),
    "sum": lambda xp, x, y: xp.sum(x * 40 + y),
    "tensordot": lambda xp, x, y: xp.tensordot(x, y, axes=2),
    "vecdot": lambda xp, x, y: xp.vecdot(x, y),
}
CASES = [
    (kind, table[name]) for table, kinds in ((COPIED, OF_ALL), (COUNTED, INTEGERS)) for kind in kinds for name in table
]
NAMES = [
    f"{name} of {kind}" for table, kinds in ((COPIED, OF_ALL), (COUNTED, INTEGERS)) for kind in kinds for name in table
]


@pytest.mark.parametrize(("kind", "f"), CASES, ids=NAMES)
def test_every_type_has_its_kernel(kind: str, f: Callable[[Any, Any, Any], Any]) -> None:
    x, y = X.astype(kind), Y.astype(kind)
    with np.errstate(all="ignore"):
        expected = np.asarray(f(array_api_compat.numpy, x, y))
    got = f(namespace, namespace.asarray(x), namespace.asarray(y)).numpy()
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
def test_the_logarithm_of_a_complex_determinant_is_real(kind: str) -> None:
    x = (np.eye(3) * (2 + 1j) + X[:1] * 0.1j).astype(kind)
    sign, logarithm = namespace.linalg.slogdet(namespace.asarray(x))
    expected = np.linalg.slogdet(x)
    assert (sign.dtype.name, logarithm.dtype.name) == (kind, expected.logabsdet.dtype.name)
    np.testing.assert_allclose(logarithm.numpy(), expected.logabsdet, rtol=1e-5)
    np.testing.assert_allclose(sign.numpy(), expected.sign, rtol=1e-5)
