"""Where functions have no derivative, and where naive formulas overflow."""

import mpmath
import numpy as np
import pytest

import metaspec as ms
from metaspec import nn
from tests.helpers import whole
from tests.nn.blocks import SCALAR
from tests.nn.helpers import EPS, arrays, at, close

SMOOTH = ("sigmoid", "softplus", "tanh", "silu", "gelu")
POINTS = np.array([-1000.0, -90.0, -31.0, -20.0, -3.0, -0.125, 0.0, 0.125, 3.0, 20.0, 31.0, 90.0, 1000.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_activations_to_second_order(B: ms.Backend, name: str, dtype: str) -> None:
    with mpmath.workdps(60):
        f = SCALAR[name]
        truth = [[np.longdouble(mpmath.nstr(mpmath.diff(f, mpmath.mpf(x), n), 25)) for x in POINTS] for n in range(3)]
    with at(B, dtype):
        x, ones = arrays(B, [POINTS, np.ones_like(POINTS)], dtype)
        block = getattr(nn, name)
        total = lambda x: B.xp.sum(block(x))  # noqa: E731
        orders = whole(B, lambda x, v: (block(x), B.grad(total)(x), B.hvp(total)(x, v)))(x, ones)
    for order, got in enumerate(map(B.to_numpy, orders)):
        for x_i, g, t in zip(POINTS, got, truth[order], strict=True):
            assert abs(g - t) <= 16 * EPS[dtype] * max(1.0, abs(t)), f"order {order} at {x_i}: {g}, not {t}"


@pytest.mark.parametrize("name", ["sigmoid", "softplus"])
def test_small_values_keep_their_digits(B: ms.Backend, name: str) -> None:
    x = np.array([-5.0, -20.0, -60.0])
    with mpmath.workdps(40):
        truth = np.array([np.longdouble(mpmath.nstr(SCALAR[name](mpmath.mpf(v)), 25)) for v in x])
    with at(B, "float32"):
        got = B.to_numpy(getattr(nn, name)(B.asarray(x, "float32")))
    assert np.all(np.abs(got - truth) <= 16 * EPS["float32"] * truth)


def test_relu_has_derivative_zero_at_zero(B: ms.Backend) -> None:
    with at(B, "float64"):
        x = B.asarray(np.array([-1.0, -0.0, 0.0, 2.0]))
        gradient = B.to_numpy(B.grad(lambda x: B.xp.sum(nn.relu(x)))(x))
    np.testing.assert_array_equal(gradient, [0.0, 0.0, 0.0, 1.0])


def test_max_pool_sends_a_tie_to_the_first_in_reading_order(B: ms.Backend) -> None:
    windows = np.array([[[1, 2], [2, 1]], [[3, 3], [3, 3]], [[0, 1], [0, 1]]], dtype=float)[..., None]
    with at(B, "float64"):
        gradient = B.grad(lambda x: B.xp.sum(nn.max_pool2d(x)))(B.asarray(windows))
    expected = [[[0, 1], [0, 0]], [[1, 0], [0, 0]], [[0, 1], [0, 0]]]
    np.testing.assert_array_equal(B.to_numpy(gradient)[..., 0], expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_of_large_logits(B: ms.Backend, dtype: str) -> None:
    z = np.array([[1000.0, -1000.0, 0.0], [-1000.0, -1000.0, -1000.0], [1000.0, 1000.0, -1000.0]])
    v = np.array([[1.0, 2.0, 3.0]] * 3)
    p = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [1 / 2, 1 / 2, 0]])
    onehot = np.eye(3)[[1, 0, 2]]
    with at(B, dtype):
        logits, direction = arrays(B, [z, v], dtype)
        labels = B.asarray(np.array([1, 0, 2]))
        loss = nn.softmax_cross_entropy
        value, gradient, product = whole(B, lambda z, v, y: (*B.value_and_grad(loss)(z, y), B.hvp(loss)(z, v, y)))(
            logits, direction, labels
        )
    close(B.to_numpy(value), (2000 + np.log(3) + 2000 + np.log(2)) / 3, 4 * EPS[dtype], "value")
    close(B.to_numpy(gradient), (p - onehot) / 3, 8 * EPS[dtype], "gradient")
    close(B.to_numpy(product), (p * v - p * np.sum(p * v, axis=1, keepdims=True)) / 3, 16 * EPS[dtype], "hvp")


def test_batch_norm_of_a_constant_channel(B: ms.Backend) -> None:
    """Variance 0: the derivative is finite, eps standing under the root."""
    with at(B, "float64"):
        x, one, zero = arrays(B, [np.full((4, 1), 3.0), np.ones(1), np.zeros(1)], "float64")
        v = B.asarray(np.array([[1.0], [0.0], [-1.0], [2.0]]))
        gradient = B.grad(lambda x: B.xp.sum(v * nn.batch_norm(x, one, zero)))(x)
        product = B.hvp(lambda x: B.xp.sum(v * nn.batch_norm(x, one, zero)))(x, v)
    centred = np.array([[0.5], [-0.5], [-1.5], [1.5]])
    close(B.to_numpy(gradient), centred / np.sqrt(1e-3), 8 * EPS["float64"], "gradient")
    close(B.to_numpy(product), np.zeros((4, 1)), 8 * EPS["float64"], "product")


@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_out_of_range_is_reported(B: ms.Backend, label: int) -> None:
    net = nn.MLP((2, 5), classifier=True)
    batch = {"x": np.ones((2, 2), "float32"), "y": np.array([0, label], "int32")}
    params, task = ms.asarray((net.init(0), ms.Task(batch, batch)), backend=B)
    assert np.isnan(B.to_numpy(net.loss(params, task.support)))
    with pytest.raises(ms.errors.NonFiniteError, match="inner step 1"):
        ms.meta_gradient(ms.MAML(ms.GradientDescent(0.1, 1)), net.loss, params, task)
    assert B.to_numpy(net.accuracy(params, task.support)) <= 0.5
