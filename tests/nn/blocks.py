"""Every block with inputs away from kinks, and the same thing computed by plain loops or by mpmath."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

from metaspec import nn
from tests.nn.helpers import generator


@dataclass(frozen=True)
class Block:
    """A block as a function of floating arrays, the shapes of these, and an independent way to its value."""

    name: str
    f: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    truth: Callable[..., Any]

    def inputs(self, part: str = "") -> list[np.ndarray]:
        rng = generator(self.name + part)
        # Distinct multiples of 1/64, none of them 0: exact in every format, and no maximum is a tie.
        grids = []
        for shape in self.shapes:
            size = math.prod(shape)
            grids.append(
                (rng.permutation(size) - size // 2 + 0.5).reshape(shape) * 2.0 ** -round(math.log2(size) - 0.5)
            )
        return grids


def loops_conv2d(x, kernel, bias=None, stride=(1, 1), padding="same"):
    n, H, W, C = x.shape
    h, w, _, F = kernel.shape
    rows, columns = (
        (-(-H // stride[0]), -(-W // stride[1]))
        if padding == "same"
        else (
            (H - h) // stride[0] + 1,
            (W - w) // stride[1] + 1,
        )
    )
    top, left = (
        (max((rows - 1) * stride[0] + h - H, 0) // 2, max((columns - 1) * stride[1] + w - W, 0) // 2)
        if padding == "same"
        else (0, 0)
    )
    y = np.zeros((n, rows, columns, F), dtype=x.dtype)
    for r in range(rows):
        for c in range(columns):
            for i in range(h):
                for j in range(w):
                    a, b = r * stride[0] + i - top, c * stride[1] + j - left
                    if 0 <= a < H and 0 <= b < W:
                        for k in range(C):
                            y[:, r, c, :] += x[:, a, b, k, None] * kernel[i, j, k]
    return y if bias is None else y + bias


def loops_pool(x, window, stride, combine):
    n, H, W, C = x.shape
    rows, columns = (H - window[0]) // stride[0] + 1, (W - window[1]) // stride[1] + 1
    y = np.zeros((n, rows, columns, C), dtype=x.dtype)
    for r in range(rows):
        for c in range(columns):
            a, b = r * stride[0], c * stride[1]
            y[:, r, c, :] = combine(x[:, a : a + window[0], b : b + window[1], :].reshape(n, -1, C), axis=1)
    return y


def loops_batch_norm(x, scale, shift, eps=1e-3):
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        column = x[..., c]
        y[..., c] = (column - column.mean()) / np.sqrt(column.var() + np.longdouble(eps)) * scale[c] + shift[c]
    return y


def exactly(f):
    """A function of mpmath, entry by entry, with 40 digits."""

    def of_array(x):
        with mpmath.workdps(40):
            return np.vectorize(
                lambda v: np.longdouble(mpmath.nstr(f(mpmath.mpf(str(v))), 25)), otypes=[np.longdouble]
            )(x)

    return of_array


SCALAR = {
    "relu": lambda x: x if x > 0 else mpmath.mpf(0),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "tanh": mpmath.tanh,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "gelu": lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3))),
}

LABELS = np.array([2, 0, 1, 2])


def loops_log_softmax(z):
    return np.array([[v - np.log(np.sum(np.exp(row))) for v in row] for row in z])


ACTIVATIONS = [Block(name, getattr(nn, name), ((7,),), exactly(f)) for name, f in SCALAR.items()]
LAYERS = [
    Block("dense", nn.dense, ((4, 3), (3, 2), (2,)), lambda x, w, b: np.array([[r @ c for c in w.T] for r in x]) + b),
    Block("dense of pictures", nn.dense, ((2, 2, 2, 3), (3, 2)), lambda x, w: np.einsum("nijc,cf->nijf", x, w)),
    Block("batch_norm", nn.batch_norm, ((2, 3, 2, 2), (2,), (2,)), loops_batch_norm),
    Block("batch_norm of vectors", nn.batch_norm, ((6, 3), (3,), (3,)), loops_batch_norm),
]
PICTURES = [
    Block("conv2d", nn.conv2d, ((2, 5, 4, 2), (3, 3, 2, 3), (3,)), loops_conv2d),
    Block(
        "conv2d, stride 2",
        lambda x, k: nn.conv2d(x, k, stride=2),
        ((1, 6, 5, 2), (3, 3, 2, 2)),
        lambda x, k: loops_conv2d(x, k, stride=(2, 2)),
    ),
    Block(
        "conv2d, 2 x 3, valid, stride (1, 2)",
        lambda x, k: nn.conv2d(x, k, stride=(1, 2), padding="valid"),
        ((2, 4, 6, 1), (2, 3, 1, 2)),
        lambda x, k: loops_conv2d(x, k, None, (1, 2), "valid"),
    ),
    Block("max_pool2d", nn.max_pool2d, ((2, 5, 4, 2),), lambda x: loops_pool(x, (2, 2), (2, 2), np.max)),
    Block(
        "max_pool2d, overlapping",
        lambda x: nn.max_pool2d(x, (3, 2), stride=(2, 1)),
        ((1, 7, 4, 1),),
        lambda x: loops_pool(x, (3, 2), (2, 1), np.max),
    ),
    Block("avg_pool2d", nn.avg_pool2d, ((2, 4, 5, 2),), lambda x: loops_pool(x, (2, 2), (2, 2), np.mean)),
    Block(
        "avg_pool2d, overlapping",
        lambda x: nn.avg_pool2d(x, 3, stride=1),
        ((1, 4, 5, 1),),
        lambda x: loops_pool(x, (3, 3), (1, 1), np.mean),
    ),
]
LOSSES = [
    Block("log_softmax", nn.log_softmax, ((3, 4),), loops_log_softmax),
    Block(
        "mean_squared_error",
        nn.mean_squared_error,
        ((4, 2), (4, 2)),
        lambda p, t: sum((p - t).ravel() ** 2) / np.longdouble(8),
    ),
]
ALL = ACTIVATIONS + LAYERS + PICTURES + LOSSES
