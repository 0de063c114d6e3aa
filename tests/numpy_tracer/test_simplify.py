"""What a recorded program leaves out, and what it must not."""

from typing import Any

import numpy as np
import pytest

from metaspec_numpy import tracer
from tests.numpy_tracer.checks import close, names

XP = tracer.namespace(np)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))


def test_dead_code_common_parts_and_constants() -> None:
    def f(x: Any) -> Any:
        XP.exp(x)  # dead
        table = XP.tanh(XP.ones((3, 3)) * 0.5)  # constant
        return XP.sin(x) @ table + XP.sin(x) @ table

    program = tracer.record(f, (X,))
    assert names(program) == ["sin", "matmul", "add"]
    close(program(X), 2 * np.sin(X) @ np.tanh(np.full((3, 3), 0.5)), 1e-15)


def test_simplifications() -> None:
    def f(x: Any) -> Any:
        y = XP.permute_dims(XP.permute_dims(x, (1, 0)), (1, 0)) * 1.0 / 1.0 - 0.0
        z = XP.broadcast_to(XP.sum(y, axis=1, keepdims=True), (4, 3))
        return XP.reshape(XP.reshape(y * z * XP.ones((4, 3)), (12,)), (4, 3)) * XP.full((4, 3), 0.1)

    program = tracer.record(f, (X,))
    assert names(program) == ["sum", "multiply", "multiply"]
    close(program(X), f(X), 0)


@pytest.mark.parametrize(
    ("f", "left"),
    [
        (lambda x: x * 1.0, []), (lambda x: 1.0 * x, []), (lambda x: x / 1.0, []), (lambda x: x - 0.0, []),
        (lambda x: x + -0.0, []), (lambda x: -0.0 + x, []), (lambda x: +x, []), (lambda x: XP.negative(-x), []),
        (lambda x: XP.stop_gradient(x), []), (lambda x: x * XP.ones((4, 3)), []), (lambda x: x[:], []),
        (lambda x: 1.0 / x, ["divide"]), (lambda x: 0.0 - x, ["subtract"]), (lambda x: x + 0.0, ["add"]),
        (lambda x: x + -1.0, ["add"]), (lambda x: x - 1.0, ["subtract"]), (lambda x: x / 2.0, ["divide"]),
        (lambda x: x - -0.0, ["subtract"]), (lambda x: x * -1.0, ["multiply"]), (lambda x: x * 2.0, ["multiply"]),
        (lambda x: XP.broadcast_to(x[0], (4, 3)) * x, ["slice", "reshape", "multiply"]),
        (lambda x: XP.sum(XP.sum(x[None], axis=0)), ["sum"]), (lambda x: XP.permute_dims(x, (1, 0)).T, []),
    ],
)  # fmt: skip
def test_neutral_operations_are_left_out_and_no_others(f: Any, left: list[str]) -> None:
    program = tracer.record(f, (X,))
    assert [name for name in names(program) if name != "reshape"] == [name for name in left if name != "reshape"]
    np.testing.assert_array_equal(program(X), f(X))


@pytest.mark.parametrize("value", [0.0, -0.0])
def test_signed_zeros_survive(value: float) -> None:
    x = np.asarray([0.0, -0.0, 1.0])
    for f in (
        lambda x: x + value,
        lambda x: x - value,
        lambda x: value + x,
        lambda x: x * 1.0,
        lambda x: XP.negative(-x),
    ):
        assert np.array_equal(np.signbit(tracer.record(f, (x,))(x)), np.signbit(f(x)))


def test_scalars_that_compare_equal_are_kept_apart() -> None:
    x = np.asarray([3, 4])
    out = tracer.record(lambda x: (x + 1, x + 1.0, x + True, x * 0.0, x * -0.0), (x,))(x)
    assert [y.dtype for y in out] == [np.int64, np.float64, np.int64, np.float64, np.float64]
    assert not np.signbit(out[3]).any()
    assert np.signbit(out[4]).all()


def test_permutations_of_permutations() -> None:
    x = RNG.normal(size=(2, 3, 4))
    f = lambda x: XP.permute_dims(XP.permute_dims(x, (1, 2, 0)), (0, 2, 1)) * 2.0  # noqa: E731
    program = tracer.record(f, (x,))
    assert names(program) == ["permute", "multiply"]
    close(program(x), f(x), 0)
    there_and_back = lambda x: XP.permute_dims(XP.permute_dims(x, (1, 2, 0)), (2, 0, 1)) * 2.0  # noqa: E731
    assert names(tracer.record(there_and_back, (x,))) == ["multiply"]


def test_sums_over_axes_of_length_one() -> None:
    for keepdims in (False, True):
        for axis in (1, (1, 3), (0, 1)):
            f = lambda x, a=axis, k=keepdims: XP.sum(x, axis=a, keepdims=k)  # noqa: E731
            for x in (X[:, None, :, None], X[:, None, :, None].astype(np.int32)):
                program = tracer.record(f, (x,))
                np.testing.assert_array_equal(program(x), f(x))
                assert program(x).dtype == f(x).dtype
                summed = 0 in np.atleast_1d(axis) or x.dtype == np.int32
                assert names(program) == (["sum"] if summed else [] if f(x).shape == x.shape else ["reshape"])


def test_only_what_changes_nothing_is_left_out() -> None:
    row, narrow = X[0], X[0].astype(np.float32)
    one, grid = np.float64(1.0), np.ones((4, 3))
    for f, x in (
        (lambda x: x * grid, row),
        (lambda x: grid * x, row),
        (lambda x: x / grid, row),
        (lambda x: x - 0.0 * grid, row),
        (lambda x: -0.0 * grid + x, row),
        (lambda x: x * XP.asarray(one), narrow),
        (lambda x: XP.asarray(one) * x, narrow),
        (lambda x: 1.0 / x, row),
        (lambda x: 0.0 - x, row),
        (lambda x: x - -0.0, np.asarray([0.0, -0.0])),
        (lambda x: x * -1.0, row),
        (lambda x: XP.asarray(1.0) / XP.asarray(2.0) * x, row),
        (lambda x: XP.negative(XP.reciprocal(x)), row),
        (lambda x: XP.broadcast_to(XP.broadcast_to(x, (2, 3)), (4, 2, 3)), row),
        (lambda x: XP.reshape(XP.broadcast_to(x, (2, 3)), (6,)) * 2.0, row),
        (lambda x: XP.broadcast_to(x, (4, 3)) * np.full((4, 1), 2.0), row),
        (lambda x: XP.broadcast_to(x[:1], (3,)) * XP.broadcast_to(x[1:2], (3,)), row),
        (lambda x: x * np.asarray([0.0, -0.0, 0.0]), row),
        (lambda x: x * np.broadcast_to(np.float64(2.0), (4, 3)), row),
        (lambda x: XP.permute_dims(x[None, :, None], (1, 0, 2)) + XP.permute_dims(x[None, :, None], (2, 1, 0)), row),
    ):
        out = tracer.record(f, (x,))(x)
        assert (out.shape, out.dtype) == (f(x).shape, f(x).dtype)
        np.testing.assert_array_equal(out, f(x))
        np.testing.assert_array_equal(np.signbit(out), np.signbit(f(x)))


def test_equal_constants_are_one() -> None:
    def f(x: Any) -> Any:
        return x * np.asarray([1.0, 2.0, 3.0]) + XP.exp(x * np.asarray([1.0, 2.0, 3.0])) - np.asarray([1.0, 2.0, 4.0])

    source = tracer.record(f, (X,)).source
    assert "c1" in source
    assert "c2" not in source
    close(tracer.record(f, (X,))(X), f(X), 0)


def test_constants_that_differ_in_kind_are_several() -> None:
    wide, narrow = np.asarray([1.0, 2.0, 3.0]), np.asarray([1.0, 2.0, 3.0], dtype=np.float32)
    f = lambda x: (x * wide, x * narrow, x + wide[:, None].T, x + wide.astype(np.longdouble))  # noqa: E731
    x = X.astype(np.float32)
    for a, b in zip(tracer.record(f, (x,))(x), f(x), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(a, b)
