"""The namespace's functions against NumPy's own of the same name, bit for bit, over what their options can say."""

import itertools
from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest

from metaspec_numpy import tracer
from metaspec_numpy.tracer.functions import contractions, shaping
from metaspec_numpy.tracer.functions import linalg_functions as linalg
from metaspec_numpy.tracer.functions.einsum import einsum
from metaspec_numpy.tracer.functions.indexing_functions import getitem
from tests.numpy_tracer.checks import as_tuple, close

XP = tracer.namespace(np)
RNG = np.random.default_rng(5)
X = RNG.normal(size=(2, 3, 4))
I = RNG.integers(-4, 5, size=(2, 3, 4))  # noqa: E741
Z = np.zeros((2, 0, 3))
V = RNG.normal(size=5)
M = RNG.normal(size=(3, 4))
S = RNG.normal(size=(4, 2, 3, 3)) + 3.0 * np.eye(3)


def counting(*shape: int) -> Any:
    return np.arange(1.0 * np.prod(shape)).reshape(shape)


Call = Callable[[Any], Any]
SAME: dict[str, list[Call]] = {
    "reshape": [
        *(lambda xp, s=s: xp.reshape(X, s) for s in [(-1,), (4, -1), (2, -1, 2), (24,), (1, 24, 1), (2, 3, 4)]),
        *(lambda xp, s=s: xp.reshape(Z, s) for s in [(0,), (3, 0), (7, 0)]),
        lambda xp: xp.reshape(np.float64(3.0), (1, -1)),
    ],
    "broadcast_to": [
        lambda xp: xp.broadcast_to(X[:, :1], (5, 2, 3, 4)),
        lambda xp: xp.broadcast_to(V, (5,)),
        lambda xp: xp.broadcast_to(Z[:, :, :1], (2, 0, 6)),
    ],
    "broadcast_arrays": [
        lambda xp: xp.broadcast_arrays(X, M[:1], V[:1]),
        lambda xp: xp.broadcast_arrays(Z, np.ones((1, 1, 3))),
        lambda xp: xp.broadcast_arrays(M[:, :1], M[0]),
    ],
    "permute_dims": [lambda xp, a=a: xp.permute_dims(X, a) for a in [(2, 0, 1), (-1, 0, -2), (0, 1, 2), (1, 0, 2)]],
    "swapaxes": [lambda xp, a=a: xp.swapaxes(X, *a) for a in [(0, 1), (0, -1), (1, 1), (-2, -1)]],
    "moveaxis": [
        lambda xp, a=a: xp.moveaxis(X, *a) for a in [(0, 2), (0, -1), (-1, 0), ((0, 2), (-1, 0)), ([2, 1], [0, 1])]
    ],
    "expand_dims": [lambda xp, a=a: xp.expand_dims(X, axis=a) for a in [0, 1, -1, -4, (0, -1), (1, 3), (2, 0)]],
    "squeeze": [
        lambda xp: xp.squeeze(X[:1, :, :1], axis=(0, 2)),
        lambda xp: xp.squeeze(X[:1, :, :1], axis=-1),
        lambda xp: xp.squeeze(X[:1, :1], axis=1),
    ],
    "concat": [
        lambda xp: xp.concat([X, I, X[:, :1]], axis=1),
        lambda xp: xp.concat([X, V], axis=None),
        lambda xp: xp.concat([X[..., :2], X], axis=-1),
        lambda xp: xp.concat([X]),
    ],
    "stack": [lambda xp, a=a: xp.stack([X, 2.0 * X, X], axis=a) for a in [0, 1, -1, -2, 3]],
    "unstack": [lambda xp, a=a: xp.unstack(X, axis=a) for a in [0, 1, -1]],
    "split": [
        lambda xp: xp.split(X, 2, axis=2),
        lambda xp: xp.split(X, 3, axis=-2),
        lambda xp: xp.split(X, 1),
        lambda xp: xp.split(V, [1, 3]),
        lambda xp: xp.split(X, [1, 2], axis=-1),
    ],
    "flip": [lambda xp, a=a: xp.flip(X, axis=a) for a in [None, 0, -1, (0, 2), (1,)]],
    "roll": [
        *(lambda xp, s=s: xp.roll(X, s) for s in [0, 1, -1, 5, -7, 24, 25]),
        *(lambda xp, s=s: xp.roll(X, s, axis=1) for s in [0, 1, 2, 3, -1, -4]),
        lambda xp: xp.roll(X, (1, -2), axis=(0, -1)),
        lambda xp: xp.roll(X, 1, axis=(1, 2)),
        lambda xp: xp.roll(Z, 1, axis=1),
    ],
    "repeat": [
        *(lambda xp, a=a: xp.repeat(X, 2, axis=a) for a in [None, 0, 1, -1]),
        lambda xp: xp.repeat(X, 1, axis=0),
        lambda xp: xp.repeat(X, 0, axis=1),
        lambda xp: xp.repeat(X, np.asarray([2, 0, 1]), axis=1),
        lambda xp: xp.repeat(V, np.asarray([1, 2, 0, 0, 3])),
    ],
    "tile": [lambda xp, r=r: xp.tile(X, r) for r in [(2,), (1, 3), (2, 1, 3), (2, 1, 1, 2), (1, 1, 1), (0,)]],
    "pad": [
        lambda xp: xp.pad(M, 2),
        lambda xp: xp.pad(M, (1, 3)),
        lambda xp: xp.pad(M, ((2, 1),)),
        lambda xp: xp.pad(M, ((0, 1), (3, 2)), constant_values=1.5),
        lambda xp: xp.pad(I[0], 1, constant_values=-2),
        lambda xp: xp.pad(V, [(2, 0)]),
    ],
    "tril": [lambda xp, k=k, x=x: xp.tril(x, k=k) for k in [-3, -2, -1, 0, 1, 3] for x in (X, I)],
    "triu": [lambda xp, k=k, x=x: xp.triu(x, k=k) for k in [-3, -2, -1, 0, 1, 3] for x in (X, I)],
    "meshgrid": [
        lambda xp, n=n, how=how: tuple(xp.meshgrid(*[V[: i + 2] for i in range(n)], indexing=how))
        for n in [1, 2, 3, 4]
        for how in ["xy", "ij"]
    ],
    "sum": [
        *(lambda xp, a=a, k=k: xp.sum(X, axis=a, keepdims=k) for a in [(0, 2), 1, -1] for k in [False, True]),
        lambda xp: xp.sum(I, axis=1, dtype=np.float32),
        lambda xp: xp.sum(I),
        lambda xp: xp.sum(Z, axis=1),
    ],
    "mean": [lambda xp, a=a: xp.mean(I, axis=a, keepdims=True) for a in [None, 0, (1, 2)]],
    "max": [lambda xp, a=a, k=k: xp.max(X, axis=a, keepdims=k) for a in [None, -1, (0, 1)] for k in [False, True]],
    "min": [lambda xp, a=a, k=k: xp.min(X, axis=a, keepdims=k) for a in [None, -1, (0, 1)] for k in [False, True]],
    "any": [lambda xp, a=a, k=k: xp.any(I > 3, axis=a, keepdims=k) for a in [None, -1, (0, 1)] for k in [False, True]],
    "all": [lambda xp, a=a, k=k: xp.all(I < 4, axis=a, keepdims=k) for a in [None, -1, (0, 1)] for k in [False, True]],
    "count_nonzero": [
        lambda xp, a=a, k=k: xp.count_nonzero(I, axis=a, keepdims=k) for a in [None, 0, (1, 2)] for k in [False, True]
    ],
    "argmax": [lambda xp, a=a, k=k: xp.argmax(X, axis=a, keepdims=k) for a in [None, 0, -1] for k in [False, True]],
    "argmin": [lambda xp, a=a, k=k: xp.argmin(X, axis=a, keepdims=k) for a in [None, 0, -1] for k in [False, True]],
    "argsort": [lambda xp, a=a: xp.argsort(X, axis=a) for a in [0, 1, -1]],
    "sort": [lambda xp, a=a: xp.sort(X, axis=a) for a in [0, 1, -1]],
    "cumulative_sum": [
        *(
            lambda xp, a=a, i=i: xp.cumulative_sum(I * 0.5, axis=a, include_initial=i)
            for a in [0, 1, -1]
            for i in [False, True]
        ),
        lambda xp: xp.cumulative_sum(I[0, 0], dtype=np.float32),
    ],
    "cumulative_prod": [
        *(lambda xp, n=n: xp.cumulative_prod(np.arange(1.0, n + 1), include_initial=n % 2 == 0) for n in range(10)),
        lambda xp: xp.cumulative_prod(I, axis=-1),
        lambda xp: xp.cumulative_prod(I[0, 0], dtype=np.float32),
        lambda xp: xp.cumulative_prod(I, axis=1, include_initial=True),
    ],
    "diff": [lambda xp, n=n, a=a: xp.diff(I, n=n, axis=a) for n in [0, 1, 2] for a in [0, 1, -1]],
    "prod": [
        *(lambda xp, a=a, k=k: xp.prod(I, axis=a, keepdims=k) for a in [None, 1, (0, 2), -1] for k in [False, True]),
        *(lambda xp, k=k: xp.prod(Z, axis=1, keepdims=k) for k in [False, True]),
        *(lambda xp, n=n: xp.prod(np.arange(1.0, n + 1)) for n in range(1, 10)),
        lambda xp: xp.prod(I, dtype=np.float64, axis=0),
    ],
    "take": [
        lambda xp: xp.take(V, np.asarray([0, -1, 3])),
        lambda xp: xp.take(X, np.asarray([-1, 0]), axis=-1),
        lambda xp: xp.take(X, np.asarray([[1, 0], [0, 1]]), axis=0),
        lambda xp: xp.take(V, 2, axis=0),
    ],
    "take_along_axis": [
        lambda xp: xp.take_along_axis(X, np.asarray([[[1], [-1], [0]]]), axis=2),
        lambda xp: xp.take_along_axis(X, np.zeros((1, 1, 4), dtype=np.int64), axis=1),
        lambda xp: xp.take_along_axis(X, np.ones((2, 3, 1), dtype=np.int64), axis=0)[..., 0],
    ],
    "matmul": [
        lambda xp, a=a, b=b: xp.matmul(counting(*a), 1.0 + counting(*b))
        for a, b in [
            ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((3,), (4, 3, 2)), ((4, 2, 3), (3,)), ((4, 2, 3), (3, 5)),
            ((2, 1), (1, 3)), ((4, 2, 1), (1, 3)), ((1, 2, 3), (4, 3, 2)), ((2, 0), (0, 3)), ((2, 2, 2, 3), (3, 2)),
        ]
    ],
    "vecdot": [
        lambda xp: xp.vecdot(I, I, axis=-1),
        lambda xp: xp.vecdot(I * 1.0, I[:, :1] * 1.0, axis=0) if xp is not np else np.sum(I * (I[:, :1] * 1.0), axis=0),
    ],
    "tensordot": [
        *(lambda xp, n=n: xp.tensordot(I, np.moveaxis(I, 0, 2), axes=n) for n in [0]),
        lambda xp: xp.tensordot(I, np.transpose(I, (2, 1, 0)), axes=1),
        lambda xp: xp.tensordot(I, np.transpose(I, (1, 2, 0)), axes=2),
        lambda xp: xp.tensordot(I, np.transpose(I, (1, 2, 0))),
        lambda xp: xp.tensordot(I, I, axes=((0, -1), (0, -1))),
        lambda xp: xp.tensordot(I, I, axes=([1], [1])),
    ],
    "what is meant where nothing is said": [
        *(lambda xp, n=n: getattr(xp, n)(X) for n in ["triu", "tril", "diff", "sort", "argsort", "flip", "unstack"]),
        *(lambda xp, n=n: getattr(xp, n)(X) for n in ["max", "min", "argmax", "argmin", "any", "all"]),
        lambda xp: xp.stack([X, X]),
        lambda xp: xp.concat([X, X]),
        lambda xp: xp.linalg.diagonal(X),
        lambda xp: xp.linalg.trace(I),
        lambda xp: xp.prod(I),
        lambda xp: xp.tensordot(I, np.transpose(I, (1, 2, 0))),
        lambda xp: xp.cumulative_sum(I[0, 0]),
        lambda xp: xp.cumulative_prod(I[0, 0]),
        lambda xp: xp.take_along_axis(X, np.argsort(-X)),
    ],
    "matrix_transpose": [lambda xp: xp.matrix_transpose(X)],
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_function_is_numpys(name: str) -> None:
    for f in SAME[name]:
        for a, b in zip(as_tuple(f(XP)), as_tuple(f(np)), strict=True):
            assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
            np.testing.assert_array_equal(a, b)


PARTS = [np.asarray([1, 0]), slice(None), None, Ellipsis, 1]
KEYS = [
    key
    for length in range(1, 5)
    for key in itertools.product(PARTS, repeat=length)
    if sum(k is Ellipsis for k in key) < 2 and sum(k is not None and k is not Ellipsis for k in key) < 4
]


def test_keys_of_every_kind_index_as_numpys_do() -> None:
    for key in [*KEYS, (np.zeros(0, dtype=int),), (slice(None), np.zeros((0, 2), dtype=int))]:
        np.testing.assert_array_equal(getitem(X, key), X[key], err_msg=str(key))


def test_slices_are_numpys() -> None:
    ends = (None, *range(-5, 6))
    for start, stop, step in itertools.product(ends, ends, (None, 1, 2, 3, -1, -2, -3)):
        key = slice(start, stop, step)
        np.testing.assert_array_equal(getitem(X, (0, 0, key)), X[0, 0, key], err_msg=str(key))
        np.testing.assert_array_equal(getitem(V, key), V[key], err_msg=str(key))


def test_indices_out_of_bounds_are_refused() -> None:
    for key in (2, -3, np.asarray([0, 2]), np.asarray([-3, 0])):
        with pytest.raises(IndexError, match="out of bounds for an axis of length 2"):
            getitem(X, key)
    for index in (5, -6):
        with pytest.raises(IndexError, match="out of bounds for an axis of length 5"):
            XP.take(V, np.asarray([index]))
    with pytest.raises(IndexError, match="single ellipsis"):
        getitem(X, (..., 0, ...))


def test_functions_of_numbers_alone_are_numpys() -> None:
    assert XP.add(1.0, 2.0) == 3.0
    assert XP.exp(0.0) == 1.0
    assert XP.where(True, 1.0, 2.0) == 1.0
    assert XP.sum(3.0) == XP.mean(3.0) == 3.0


def test_nothing_broadcasts_to_nothing() -> None:
    assert shaping.broadcast_shapes() == ()
    assert XP.broadcast_arrays() == []


def test_a_new_axis_stands_in_front() -> None:
    assert XP.expand_dims(X).shape == (1, 2, 3, 4)


def test_arrays_made_of_traced_numbers_have_the_dtype_asked_for() -> None:
    def f(x: Any) -> Any:
        s = XP.sum(x)
        like = (
            XP.full_like(x, s, dtype=np.float32),
            XP.full_like(x, s),
            XP.zeros_like(x, dtype=np.int64),
            XP.ones_like(x),
        )
        return (*like, XP.full((2,), s), XP.full((2,), s, dtype=np.float32), XP.full((2,), 1.5), XP.asarray([s, s]))

    for a, b in zip(tracer.record(f, (M,))(M), f(M), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_squeeze_takes_all_axes_of_length_one() -> None:
    assert XP.squeeze(X[:1, :, :1]).shape == (3,)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_descending_sorts_keep_equal_elements_in_order(axis: int) -> None:
    expected = array_api_strict.argsort(array_api_strict.asarray(I), axis=axis, descending=True)
    np.testing.assert_array_equal(XP.argsort(I, axis=axis, descending=True), np.asarray(expected))
    np.testing.assert_array_equal(XP.sort(I, axis=axis, descending=True), -np.sort(-I, axis=axis))


@pytest.mark.parametrize("axis", [None, 1, (0, -1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_statistics_and_exponentials(axis: Any, keepdims: bool) -> None:
    wide = X.astype(np.longdouble)
    options = {"axis": axis, "keepdims": keepdims}
    for correction in (0.0, 1.0, 0.5):
        expected = np.var(wide, ddof=correction, **options)
        close(XP.var(wide, correction=correction, **options), expected, 1e-18)
        close(XP.std(wide, correction=correction, **options), np.sqrt(expected), 1e-18)
    close(XP.var(wide, **options), np.var(wide, **options), 1e-18)
    close(XP.std(wide, **options), np.std(wide, **options), 1e-18)
    close(XP.logsumexp(wide, **options), np.log(np.sum(np.exp(wide), **options)), 1e-18)
    spread = np.exp(wide) / np.sum(np.exp(wide), axis=axis, keepdims=True)
    close(XP.softmax(wide, axis=axis), spread, 1e-18)
    close(XP.log_softmax(wide, axis=axis), np.log(spread), 1e-17)


def test_statistics_of_everything() -> None:
    for name in ("mean", "var", "std"):
        close(getattr(XP, name)(X), getattr(np, name)(X), 1e-15)
    for name in ("vector_norm", "trace", "diagonal"):
        close(getattr(XP.linalg, name)(X), getattr(np.linalg, name)(X), 1e-14)
    close(XP.linalg.matrix_norm(X), np.linalg.matrix_norm(X), 1e-15)
    close(XP.linalg.cross(X[..., :3], X[..., 1:]), np.linalg.cross(X[..., :3], X[..., 1:]), 1e-15)
    close(XP.vecdot(X, X), np.vecdot(X, X), 1e-15)
    close(XP.logsumexp(X), np.log(np.sum(np.exp(X))), 1e-15)
    rows = np.linalg.cholesky(S @ S.mT)
    close(XP.linalg.cholesky(S @ S.mT), rows, 1e-14)
    close(XP.linalg.cholesky(S @ S.mT, upper=True), rows.mT, 1e-14)


def test_softmax_is_over_the_last_axis() -> None:
    close(XP.softmax(X), XP.softmax(X, axis=2), 0)
    close(XP.log_softmax(X), XP.log_softmax(X, axis=2), 0)


@pytest.mark.parametrize("order", [0, 0.5, 1, 2, 3, 3.5, np.inf, -np.inf])
def test_vector_norms(order: float) -> None:
    x = np.where(X > 1, 0.0, X)
    for axis in (None, 1, (0, 2)):
        for keepdims in (False, True):
            ours = XP.linalg.vector_norm(x, axis=axis, ord=order, keepdims=keepdims)
            close(ours, np.linalg.vector_norm(x, axis=axis, ord=order, keepdims=keepdims), 1e-15)


def test_norms_of_nothing_but_zeros() -> None:
    for order in (2, 3, 0.5):
        value, pullback = tracer.vjp(lambda x, p=order: XP.linalg.vector_norm(x, ord=p), np.zeros(3))
        assert value == 0
        np.testing.assert_array_equal(pullback(np.ones(()))[0], 0.0)


@pytest.mark.parametrize("order", ["fro", 1, np.inf])
def test_matrix_norms(order: Any) -> None:
    for keepdims in (False, True):
        expected = np.linalg.matrix_norm(X, ord=order, keepdims=keepdims)
        close(XP.linalg.matrix_norm(X, ord=order, keepdims=keepdims), expected, 1e-15)


@pytest.mark.parametrize("offset", range(-4, 6))
def test_diagonals(offset: int) -> None:
    for x in (X, np.swapaxes(X, 1, 2), X[:, :, :3], X[:, :1], X[..., :1], X[..., :0], X[:, :0]):
        np.testing.assert_array_equal(XP.linalg.diagonal(x, offset=offset), np.linalg.diagonal(x, offset=offset))
        close(XP.linalg.trace(x, offset=offset), np.linalg.trace(x, offset=offset), 1e-15)
        strict = tracer.namespace(array_api_strict).linalg.diagonal(array_api_strict.asarray(x), offset=offset)
        np.testing.assert_array_equal(np.asarray(strict), np.linalg.diagonal(x, offset=offset))
    assert XP.linalg.trace(I, offset=offset, dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize("n", range(-3, 8))
def test_matrix_powers(n: int) -> None:
    close(XP.linalg.matrix_power(S, n), np.linalg.matrix_power(S, n), 1e-14)


def test_one_right_hand_side_for_a_stack_of_systems() -> None:
    close(XP.linalg.solve(S, V[:3]), np.linalg.solve(S, V[:3]), 1e-14)
    close(XP.linalg.solve(S[0, 0], V[:3]), np.linalg.solve(S[0, 0], V[:3]), 1e-14)


def test_products_of_three_dimensions() -> None:
    a, b = X[:, :, :3], X[:, :, 1:]
    close(XP.linalg.cross(a, b), np.cross(a, b), 1e-15)
    close(XP.linalg.cross(X, X[:, ::-1], axis=1), np.cross(X, X[:, ::-1], axis=1), 1e-15)
    close(XP.linalg.cross(X, X[:, ::-1], axis=-2), np.cross(X, X[:, ::-1], axis=-2), 1e-15)
    close(linalg.outer(V, M[0]), np.outer(V, M[0]), 0)


@pytest.mark.parametrize(
    "shapes", [((), (3,)), ((3,), ()), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3, 2)), ((3,), (3, 2))]
)
def test_dot(shapes: Any) -> None:
    a, b = (RNG.integers(-4, 5, size=shape) * 1.0 for shape in shapes)
    np.testing.assert_array_equal(contractions.dot(a, b), np.dot(a, b))


EINSUMS = {
    "ij,jk->ik": ((2, 3), (3, 4)), "ij,jk": ((2, 3), (3, 4)), "ba,cb": ((3, 2), (4, 3)), "ii": ((3, 3),),
    "ii->i": ((3, 3),), "iji->j": ((3, 2, 3),), "iijj->ij": ((2, 2, 3, 3),), "iii": ((2, 2, 2),), "ij->ji": ((2, 3),),
    "ij->": ((2, 3),), "ij->j": ((2, 3),), "i,i->i": ((3,), (3,)), "i,j->ij": ((3,), (2,)), "i,j": ((3,), (2,)),
    "ij,k->i": ((2, 3), (4,)), "...ij,...jk->...ik": ((5, 2, 3), (5, 3, 4)), "...ij,jk": ((5, 2, 3), (3, 4)),
    "...i->...": ((2, 3, 4),), "i...,i...": ((3, 2), (3, 2)), "...,...": ((2, 3), (3,)),
    " ij , jk -> ik ": ((2, 3), (3, 4)), "ij,jk,kl->il": ((2, 3), (3, 4), (4, 2)),
    "bij,bkj,k->bi": ((2, 3, 4), (2, 5, 4), (5,)),
    "i,i,i": ((3,), (3,), (3,)), "ij,j,k->ik": ((2, 3), (3,), (4,)), "...->...": ((2, 3),),
    "A...a,a...->...A": ((2, 3, 4), (4, 3)),
    "jii->j": ((2, 3, 3),),
    "kjii,j": ((2, 4, 3, 3), (4,)),
    "Zz,z->Z": ((2, 3), (3,)),
}  # fmt: skip


@pytest.mark.parametrize("subscripts", EINSUMS)
def test_einsum(subscripts: str) -> None:
    arrays = [RNG.integers(-4, 5, size=shape) * 1.0 for shape in EINSUMS[subscripts]]
    ours, expected = einsum(subscripts, *arrays), np.einsum(subscripts, *arrays)
    assert ours.shape == expected.shape
    np.testing.assert_array_equal(ours, expected)
