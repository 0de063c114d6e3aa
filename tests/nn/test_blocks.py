"""Every block on every backend, in both formats: values, first and second derivatives, and batching over tasks."""

import importlib

import numpy as np
import pytest

import metaspec as ms
from metaspec import nn
from tests.conftest import fewer_compiled
from tests.helpers import whole
from tests.nn.blocks import ALL, LABELS, LOSSES, Block, loops_log_softmax
from tests.nn.helpers import DTYPES, EPS, arrays, at, close, differences, generator

KINDS = ("gelu", "dense", "batch_norm", "conv2d, stride 2", "max_pool2d, overlapping", "avg_pool2d", "log_softmax")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("backend", "block"),
    fewer_compiled(ALL, [block for block in ALL if block.name in KINDS]),
    ids=lambda x: getattr(x, "name", x),
)
def test_value_derivatives_and_batching(B: ms.Backend, block: Block, dtype: str) -> None:
    inputs = block.inputs()
    truth = block.truth(*[x.astype(np.longdouble) for x in inputs])
    rng = generator(block.name + "weights")
    weights, directions = rng.integers(-4, 5, truth.shape) / 4, [rng.integers(-4, 5, x.shape) / 4 for x in inputs]
    with at(B, dtype):
        xs, vs, (c,) = arrays(B, inputs, dtype), arrays(B, directions, dtype), arrays(B, [weights], dtype)

        def scalar(xs, c):
            return B.xp.sum(c * block.f(*xs))

        def everything(xs, vs, c):
            batched = B.vmap(lambda *xs: block.f(*xs))(*[B.xp.stack([x * 0.5, x]) for x in xs])
            return (
                block.f(*xs),
                B.grad(scalar)(xs, c),
                B.hvp(scalar)(xs, vs, c),
                batched,
                block.f(*[x * 0.5 for x in xs]),
            )

        value, gradient, product, batched, half = whole(B, everything)(xs, vs, c)
        close(B.to_numpy(value), truth, 32 * EPS[dtype], "value")
        close(B.to_numpy(batched[1, ...]), truth, 32 * EPS[dtype], "batched")
        close(B.to_numpy(batched[0, ...]), B.to_numpy(half), 32 * EPS[dtype], "batched, at half the arguments")
        gradient, product = ([B.to_numpy(leaf) for leaf in leaves] for leaves in (gradient, product))
        assert {str(leaf.dtype) for leaf in gradient + product} == {dtype}

    def along(t):
        moved = [x + t * v for x, v in zip(inputs, directions, strict=True)]
        with ms.backend_context("numpy"):
            return np.sum(weights * block.f(*moved))

    first, second = differences(along)
    scale = max(1.0, sum(float(np.sum(np.abs(g))) for g in gradient + product))
    slope = sum(np.sum(g * v) for g, v in zip(gradient, directions, strict=True))
    bend = sum(np.sum(p * v) for p, v in zip(product, directions, strict=True))
    assert abs(slope - first) <= 64 * EPS[dtype] * scale
    assert abs(bend - second) <= max(64 * EPS[dtype], 1e-12) * scale


@pytest.mark.parametrize(("dtype", "label_dtype"), [("float32", "int32"), ("float64", "int64")])
def test_cross_entropy_and_accuracy(B: ms.Backend, dtype: str, label_dtype: str) -> None:
    z = LOSSES[0].inputs()[0].repeat(2, axis=0)[:4]
    log_p = loops_log_softmax(z.astype(np.longdouble))
    onehot = np.eye(4)[LABELS]
    v = generator("direction").standard_normal(z.shape).astype(dtype)
    p = np.exp(log_p)
    with at(B, dtype):
        logits, direction = arrays(B, [z, v], dtype)
        labels = B.asarray(LABELS, label_dtype)

        def everything(logits, direction, labels):
            loss = nn.softmax_cross_entropy
            two = B.vmap(loss)(B.xp.stack([logits, logits]), B.xp.stack([labels, labels]))
            accuracy = nn.accuracy(logits, labels)
            return *B.value_and_grad(loss)(logits, labels), B.hvp(loss)(logits, direction, labels), two, accuracy

        value, gradient, product, two, right = map(B.to_numpy, whole(B, everything)(logits, direction, labels))
        close(value, -np.mean(np.sum(onehot * log_p, axis=1)), 8 * EPS[dtype], "value")
        close(gradient, (p - onehot) / 4, 8 * EPS[dtype], "softmax minus one-hot")
        H_v = (p * v - p * np.sum(p * v, axis=1, keepdims=True)) / 4
        close(product, H_v, 16 * EPS[dtype], "(diag p - p p^T) v")
        close(two, np.full(2, value), 8 * EPS[dtype], "batched")
        assert right.dtype == dtype
        assert right == np.mean(np.argmax(z, axis=1) == LABELS)


def test_sequences_of_logits(B: ms.Backend) -> None:
    """Leading axes of any number are examples."""
    z, y = generator("sequence").standard_normal((2, 3, 5)), np.array([[0, 4, 2], [1, 1, 3]])
    with at(B, "float64"):
        logits, labels = B.asarray(z), B.asarray(y)
        flat = nn.softmax_cross_entropy(B.asarray(z.reshape(6, 5)), B.asarray(y.reshape(6)))
        close(B.to_numpy(nn.softmax_cross_entropy(logits, labels)), B.to_numpy(flat), 8 * EPS["float64"], "value")
        close(B.to_numpy(nn.accuracy(logits, labels)), np.mean(np.argmax(z, axis=-1) == y), 0.0, "accuracy")


@pytest.mark.parametrize("block", ALL, ids=lambda block: block.name)
def test_nothing_beyond_the_standard_is_used(block: Block) -> None:
    strict = pytest.importorskip("array_api_strict")
    B = importlib.import_module("metaspec_numpy.adapter").NumpyBackend(strict)
    with ms.backend_context(B):
        xs = arrays(B, block.inputs(), "float64")
        close(B.to_numpy(block.f(*xs)), block.truth(*block.inputs()), 32 * EPS["float64"], "value")
