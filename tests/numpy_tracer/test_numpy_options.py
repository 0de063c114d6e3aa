"""NumPy's functions and methods on traced arrays: every option, by position and by keyword, gives NumPy's values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metaspec.errors import InvalidArgumentError, InvalidTypeError, UnsupportedError
from metaspec_numpy import tracer
from tests.numpy_tracer.checks import as_tuple, close

RNG = np.random.default_rng(8)
X = RNG.normal(size=(2, 3, 4))
M = RNG.normal(size=(3, 4)) * 10
V = RNG.normal(size=5)

Call = Callable[[Any], Any]
OPTIONS: dict[str, tuple[Any, list[Call]]] = {
    "round": (M, [lambda x, n=n: np.round(x, n) for n in (-1, 0, 1, 2)] + [lambda x: x.round(1), lambda x: x.round()]),
    "norm of a vector": (
        V,
        [
            lambda x: np.linalg.norm(x),
            *(lambda x, p=p: np.linalg.norm(x, p) for p in (0, 1, 2, 3, np.inf, -np.inf)),
            lambda x: np.linalg.norm(x, keepdims=True),
        ],
    ),
    "norm of a matrix": (
        M,
        [
            lambda x: np.linalg.norm(x),
            *(lambda x, p=p: np.linalg.norm(x, p) for p in ("fro", 1, np.inf)),
            *(lambda x, p=p: np.linalg.norm(x, p, axis=0) for p in (None, 1, 2, np.inf)),
            lambda x: np.linalg.norm(x, axis=(0, 1)),
            lambda x: np.linalg.norm(x, axis=1, keepdims=True),
            lambda x: np.linalg.norm(x, "fro", keepdims=True),
        ],
    ),
    "norm of a stack": (X, [lambda x: np.linalg.norm(x), lambda x: np.linalg.norm(x, axis=-1)]),
    "clip": (
        X,
        [
            lambda x: np.clip(x, -0.5, 0.5),
            lambda x: np.clip(x, None, 0.2),
            lambda x: np.clip(x, -0.2, None),
            lambda x: np.clip(x, min=-0.3, max=0.4),
            lambda x: np.clip(x, a_min=-0.3, a_max=0.4),
            lambda x: x.clip(-0.5, 0.5),
        ],
    ),
    "diagonals": (
        X,
        [
            lambda x: np.diagonal(x),
            lambda x: np.diagonal(x, 1),
            lambda x: np.diagonal(x, 1, 1, 2),
            lambda x: np.diagonal(x, offset=-1, axis1=2, axis2=0),
            lambda x: np.trace(x),
            lambda x: np.trace(x, -1, 2, 1),
            lambda x: np.trace(x, offset=1, axis1=0, axis2=2),
        ],
    ),
    "joining matrices": (
        M,
        [
            lambda x: np.hstack([x, 2 * x]),
            lambda x: np.vstack([x, 2 * x]),
            lambda x: np.concatenate([x, x]),
            lambda x: np.concatenate([x, x], 1),
            lambda x: np.concatenate([x, x], axis=None),
            lambda x: np.stack([x, x]),
            lambda x: np.stack([x, x], 2),
            lambda x: np.stack((x, x), axis=-2),
        ],
    ),
    "joining vectors": (
        V,
        [
            lambda x: np.hstack([x, 2 * x]),
            lambda x: np.vstack([x, 2 * x]),
            lambda x: np.hstack([x[0], x[1]]),
            lambda x: np.vstack([x[0], x[1]]),
        ],
    ),
    "joining stacks": (X, [lambda x: np.hstack([x, 2 * x]), lambda x: np.vstack([x, 2 * x])]),
    "statistics": (
        X,
        [
            lambda x: np.std(x),
            lambda x: np.std(x, 1),
            lambda x: np.std(x, axis=(0, 2), ddof=2, keepdims=True),
            lambda x: np.var(x, 0, ddof=1),
            lambda x: np.var(x, axis=-1, keepdims=True),
            lambda x: np.var(x, axis=-1, correction=1),
            lambda x: x.var(1, ddof=1),
            lambda x: x.std(),
            lambda x: np.mean(x, 1, keepdims=True),
            lambda x: np.mean(x, axis=0, dtype=None, out=None),
            lambda x: x.mean(-1),
        ],
    ),
    "reductions": (
        X,
        [
            *(lambda x, f=f: f(x) for f in (np.sum, np.prod, np.max, np.min, np.argmax, np.argmin, np.any, np.all)),
            *(lambda x, f=f: f(x, 1) for f in (np.sum, np.prod, np.max, np.min, np.argmax, np.argmin, np.any, np.all)),
            *(lambda x, f=f: f(x, axis=-1, keepdims=True) for f in (np.sum, np.prod, np.max, np.min, np.argmax)),
            *(lambda x, f=f: f.reduce(x) for f in (np.add, np.multiply, np.maximum, np.minimum)),
            *(lambda x, f=f: f.reduce(x, axis=2) for f in (np.add, np.multiply, np.maximum, np.minimum)),
            lambda x: np.sum(x, dtype=np.float32),
            lambda x: np.count_nonzero(x > 0),
            lambda x: np.count_nonzero(x > 0, 1),
            lambda x: np.count_nonzero(x > 0, axis=0, keepdims=True),
            lambda x: x.sum(0),
            lambda x: x.prod(axis=(0, 1)),
            lambda x: x.max(2, keepdims=True),
            lambda x: x.argmin(1),
            lambda x: (x > 0).any(1),
            lambda x: (x > 0).all(axis=0),
        ],
    ),
    "cumulations": (
        X,
        [
            lambda x: np.cumsum(x),
            lambda x: np.cumsum(x, 1),
            lambda x: np.cumsum(x, axis=0),
            lambda x: np.cumprod(x, axis=2),
            lambda x: np.cumprod(x),
            lambda x: x.cumsum(-1),
            lambda x: x.cumprod(1),
            lambda x: np.diff(x),
            lambda x: np.diff(x, 2),
            lambda x: np.diff(x, 1, 1),
            lambda x: np.diff(x, n=2, axis=1),
        ],
    ),
    "sorting": (
        X,
        [
            lambda x: np.sort(x),
            lambda x: np.sort(x, 0),
            lambda x: np.sort(x, axis=1),
            lambda x: np.argsort(x),
            lambda x: np.argsort(x, 1),
            lambda x: x.argsort(axis=0),
            lambda x: x.argsort(),
        ],
    ),
    "shapes": (
        X,
        [
            lambda x: x.reshape(-1),
            lambda x: x.reshape(2, -1),
            lambda x: x.reshape((6, 4)),
            lambda x: np.reshape(x, (4, 6)),
            lambda x: np.reshape(x, -1),
            lambda x: x.ravel(),
            lambda x: x.flatten(),
            lambda x: x.T,
            lambda x: x.mT,
            lambda x: x.transpose(),
            lambda x: x.transpose(None),
            lambda x: x.transpose(2, 0, 1),
            lambda x: x.transpose((1, 2, 0)),
            lambda x: np.transpose(x),
            lambda x: np.transpose(x, (2, 0, 1)),
            lambda x: np.swapaxes(x, 0, -1),
            lambda x: x.swapaxes(1, 2),
            lambda x: np.moveaxis(x, 0, -1),
            lambda x: np.moveaxis(x, (0, 1), (2, 0)),
            lambda x: np.expand_dims(x, 0),
            lambda x: np.expand_dims(x, (0, -1)),
            lambda x: np.squeeze(x[:1]),
            lambda x: np.squeeze(x[:, :1], 1),
            lambda x: x[:1, :1].squeeze(),
            lambda x: x[:1, :1].squeeze(0),
            lambda x: np.flip(x),
            lambda x: np.flip(x, 1),
            lambda x: np.flip(x, (0, 2)),
            lambda x: np.roll(x, 2),
            lambda x: np.roll(x, -1, 2),
            lambda x: np.roll(x, (1, 2), (0, 1)),
            lambda x: np.tile(x, (2, 1, 1)),
            lambda x: np.repeat(x, 2),
            lambda x: np.repeat(x, 3, 1),
            lambda x: x.repeat(2, axis=2),
            lambda x: x.repeat(2),
            lambda x: np.pad(x, ((1, 0), (0, 2), (1, 1))),
            lambda x: np.broadcast_to(x, (3, 2, 3, 4)),
            lambda x: np.matrix_transpose(x),
            lambda x: np.tril(x),
            lambda x: np.tril(x, -1),
            lambda x: np.triu(x, 2),
            lambda x: np.triu(x, k=-1),
        ],
    ),
    "parts": (
        X,
        [
            lambda x: np.split(x, 2),
            lambda x: np.split(x, 2, 2),
            lambda x: np.split(x, [1], axis=1),
            lambda x: np.unstack(x),
            lambda x: np.unstack(x, axis=-1),
            lambda x: np.take(x, [0, 5, -1]),
            lambda x: np.take(x, [1, 0], 0),
            lambda x: np.take(x, [[1, 0], [2, 3]], axis=2),
            lambda x: x.take([3, 0]),
            lambda x: x.take([1, 1], 1),
            lambda x: np.take_along_axis(x, np.argsort(-X), -1),
            lambda x: np.take_along_axis(x, np.argsort(-X)),
            lambda x: np.take_along_axis(x, np.zeros((2, 1, 4), dtype=int), axis=1),
        ],
    ),
    "products": (
        X,
        [
            lambda x: np.inner(x, x[0]),
            lambda x: np.inner(x[0, 0], x[1, 2]),
            lambda x: np.dot(x, x[0].T),
            lambda x: np.dot(x, x[0, 0]),
            lambda x: np.dot(x, 3.0),
            lambda x: x.dot(x[1].T),
            lambda x: np.outer(x, x[0, 0]),
            lambda x: np.tensordot(x, x.transpose(1, 2, 0)),
            lambda x: np.tensordot(x, x.T, 1),
            lambda x: np.tensordot(x, x, axes=([0, 2], [0, 2])),
            lambda x: np.cross(x[..., :3], x[..., 1:]),
            lambda x: np.cross(x, 2 * x[:, ::-1], axis=1),
            lambda x: np.vecdot(x, x[0]),
            lambda x: np.matmul(x, x.mT),
        ],
    ),
    "likes": (
        X,
        [
            lambda x: np.full_like(x, 2.5) + 0 * x,
            lambda x: np.full_like(x, 2.5, dtype=np.float32),
            lambda x: np.zeros_like(x, dtype=np.int32),
            lambda x: np.ones_like(x),
            lambda x: np.astype(x, np.float32),
            lambda x: x.astype(np.float32),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_values_are_numpys(name: str) -> None:
    x, calls = OPTIONS[name]
    for f in calls:
        for traced in (
            lambda f=f: tracer.jvp(f, [x], [np.ones_like(x)])[0],
            lambda f=f: tracer.record(f, (x * 0.5,))(x),
        ):
            for a, b in zip(as_tuple(traced()), as_tuple(f(x)), strict=True):
                assert np.asarray(a).dtype == np.asarray(b).dtype
                close(a, b, 1e-15)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: np.where(x > 0), UnsupportedError, "give both branches"),
        (lambda x: np.cumsum(x, out=np.zeros(24)), InvalidTypeError, r"numpy.cumsum: .* y = y \+ x in place"),
        (lambda x: np.add(x, x, where=x > 0), UnsupportedError, r"numpy.add: where= without out="),
        (lambda x: np.concatenate([x, x], out=np.zeros(24)), InvalidTypeError, "numpy.concatenate: the result"),
        (lambda x: np.zeros(4).__iadd__(x[0, 0]), InvalidTypeError, r"numpy.add: .* y = y \+ x in place"),
        (lambda x: np.add.at(np.zeros(4), [0], x[0, 0, 0]), InvalidTypeError, "numpy.add.at: the result is traced"),
        (lambda x: np.copyto(np.zeros(4), x[0, 0]), InvalidTypeError, r"np.zeros_like\(traced array\)"),
        (lambda x: x.sum(0, 1, 2, 3, 4, 5, 6), InvalidTypeError, "numpy.ndarray.sum takes 7 arguments by position"),
        (lambda x: np.stack([x, x[0]]), InvalidArgumentError, ""),
        (lambda x: x.partition, AttributeError, r"numpy.ndarray.partition.*np.sort"),
        (lambda x: x.view(np.int64), AttributeError, r"numpy.ndarray.view"),
        (lambda x: x.no_such_thing, AttributeError, "no attribute 'no_such_thing'"),
        (lambda x: x + "a", TypeError, "unsupported operand"),
        (lambda x: x + None, TypeError, "unsupported operand"),
        (lambda x: iter(x[0, 0, 0]), InvalidTypeError, "iteration over an array of rank 0"),
        (lambda x: x.transpose(0, 1), InvalidArgumentError, "not a permutation"),
        (lambda x: len(x) and bool(x[0, 0, 0]), InvalidTypeError, r"bool\(\) of a traced array of shape \(\)"),
        (lambda x: float(x[0, 0, 0]), InvalidTypeError, r"float\(\) of a traced array"),
        (lambda x: int(x[0, 0, 0]), InvalidTypeError, r"int\(\) of a traced array"),
        (lambda x: complex(x[0, 0, 0]), InvalidTypeError, r"complex\(\) of a traced array"),
        (lambda x: [0, 1][x[0, 0, 0]], InvalidTypeError, r"index\(\) of a traced array"),
        (lambda x: np.asarray(x), InvalidTypeError, r"numpy.asarray\(\) of a traced array"),
        (lambda x: x.item(), InvalidTypeError, r"item\(\) of a traced array"),
        (lambda x: x.tolist(), InvalidTypeError, r"tolist\(\) of a traced array"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_what_cannot_be_had_says_so(call: Call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tracer.record(call, (X,))
