"""Wrong shapes, types and sizes: the message names the block, what was given and what was expected."""

import numpy as np
import pytest

from metaspec import nn
from metaspec.errors import BackendNotChosenError, InvalidArgumentError, InvalidTypeError
from metaspec.nn.initializers import normal

X = np.ones((2, 4, 4, 3))
K = np.ones((3, 3, 3, 2))
V = np.ones(3)

CASES = [
    (lambda: nn.conv2d(X[0], K), InvalidArgumentError, r"conv2d: x: expected 4 dimensions, \[N, H, W, C\]; got shape"),
    (lambda: nn.conv2d(X, K[0]), InvalidArgumentError, "conv2d: kernel: expected 4 dimensions"),
    (lambda: nn.conv2d(X, K[:, :, :2]), InvalidArgumentError, "kernel has 2 input channels, x has 3"),
    (lambda: nn.conv2d(X, K, V), InvalidArgumentError, r"expected bias of shape \(2,\), got \(3,\)"),
    (lambda: nn.conv2d(X, K, stride=0), InvalidArgumentError, "stride: expected integers >= 1, got 0"),
    (lambda: nn.conv2d(X, K, stride=1.5), InvalidTypeError, "stride: expected an integer or a pair of integers"),
    (lambda: nn.conv2d(X, K, stride=(1, 2, 3)), InvalidTypeError, "stride: expected an integer or a pair"),
    (lambda: nn.conv2d(X, K, padding="full"), InvalidArgumentError, "padding must be 'same' or 'valid', got 'full'"),
    (lambda: nn.conv2d(X[:, :2], K, padding="valid"), InvalidArgumentError, "window of 3 does not fit into 2 pixels"),
    (lambda: nn.max_pool2d(X[0]), InvalidArgumentError, "max_pool2d: x: expected 4 dimensions"),
    (lambda: nn.max_pool2d(X, 5), InvalidArgumentError, "window of 5 does not fit into 4 pixels"),
    (lambda: nn.avg_pool2d(X, 2, stride=True), InvalidTypeError, "avg_pool2d: stride"),
    (lambda: nn.dense(X, K), InvalidArgumentError, "dense: weight: expected 2 dimensions"),
    (lambda: nn.dense(X, np.ones((4, 2))), InvalidArgumentError, r"weight takes 4 features, expected x \[..., 4\]"),
    (lambda: nn.dense(X, np.ones((3, 2)), V), InvalidArgumentError, r"dense: expected bias of shape \(2,\)"),
    (lambda: nn.batch_norm(V, V, V), InvalidArgumentError, r"expected x \[N, ..., C\], got shape \(3,\)"),
    (lambda: nn.batch_norm(X, V, V[:2]), InvalidArgumentError, r"expected shift of shape \(3,\), got \(2,\)"),
    (lambda: nn.mean_squared_error(V, V[:, None]), InvalidArgumentError, r"equal shapes, got \(3,\) and \(3, 1\)"),
    (lambda: nn.softmax_cross_entropy(X[0, 0], V[:1]), InvalidTypeError, "expected integer labels 0 .. C - 1, got f"),
    (lambda: nn.softmax_cross_entropy(V, [0, 1]), InvalidTypeError, "expected integer labels 0 .. C - 1, got list"),
    (lambda: nn.accuracy(X[0, 0], np.array([0, 1])), InvalidArgumentError, r"accuracy: .* got \(4, 3\) and \(2,\)"),
    (lambda: nn.relu([1.0]), BackendNotChosenError, "got list; convert it with metaspec.asarray"),
    (lambda: nn.MLP((3,)), InvalidArgumentError, "at least inputs and outputs"),
    (lambda: nn.MLP((3, 0)), InvalidArgumentError, "sizes: expected integers >= 1, got 0"),
    (lambda: nn.MLP((3, 2.0)), InvalidTypeError, "expected integers, got 2.0"),
    (lambda: nn.MLP(3), InvalidTypeError, "expected a sequence of integers, got 3"),
    (lambda: nn.omniglot_convnet(0), InvalidArgumentError, "ways: expected integers >= 1, got 0"),
    (lambda: nn.omniglot_convnet(5, filters=None), InvalidTypeError, "filters: expected integers, got None"),
    (lambda: nn.sinusoid_mlp().init(-1), InvalidArgumentError, r"0 <= seed < 2\^64, got -1"),
    (lambda: nn.sinusoid_mlp().init(2**64), InvalidArgumentError, r"0 <= seed < 2\^64, got 18446744073709551616"),
    (lambda: nn.sinusoid_mlp().init(True), InvalidTypeError, "seed: expected an integer, got True"),
    (lambda: nn.sinusoid_mlp().init(1.0), InvalidTypeError, "seed: expected an integer, got 1.0"),
    (lambda: nn.sinusoid_mlp().init(0, "float16"), InvalidArgumentError, "dtype: expected one of"),
]


@pytest.mark.parametrize(("call", "error", "message"), CASES, ids=[case[2][:40] for case in CASES])
def test_bad_input(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


def test_pictures_too_small_for_the_network() -> None:
    net = nn.omniglot_convnet(5, filters=2, pool=True)
    with pytest.raises(InvalidArgumentError, match="window of 2 does not fit into 1 pixels"):
        net.apply(net.init(0), np.zeros((5, 8, 8), "float32"))


def test_the_truncated_normal_is_bounded() -> None:
    draws = normal(0, "w", (2000,), 0.5, 2.0)
    assert np.abs(draws).max() <= 1.0
    assert abs(draws.std() - 0.5 * 0.8796) < 0.02  # the deviation of a normal truncated at two of its own


def test_the_largest_seed() -> None:
    assert nn.sinusoid_mlp().init(2**64 - 1)["w0"].shape == (1, 40)
