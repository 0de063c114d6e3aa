"""`check_loss` on what TensorFlow does with losses: moments, custom gradients, variables, Keras, draws."""

import os
from typing import Any

import numpy as np
import pytest

import metaspec as ms

from .problems import kinds

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
tf = pytest.importorskip("tensorflow")
import keras  # noqa: E402


def problem(dtype: str = "float32") -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    params = {"w": tf.constant(rng.normal(size=(3, 4)), dtype), "v": tf.constant(rng.normal(size=4), dtype)}
    return params, {"x": tf.constant(rng.normal(size=(12, 3)), dtype)}


def normalised(x: Any) -> Any:
    """By tf.nn.moments, which takes the mean within the variance as a constant."""
    mean, variance = tf.nn.moments(x, [0])
    return (x - mean) / tf.sqrt(variance + 1e-3)


def written_out(x: Any) -> Any:
    centred = x - tf.reduce_mean(x, 0)
    return centred / tf.sqrt(tf.reduce_mean(centred**2, 0) + 1e-3)


@tf.custom_gradient
def cube(x: Any) -> Any:
    return x**3, lambda g: 3 * g * tf.stop_gradient(x) ** 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("f", "right"), [(normalised, False), (written_out, True), (cube, False), (tf.nn.relu, True)])
def test_second_derivatives(f: Any, right: bool, dtype: str) -> None:
    def loss(p: Any, b: Any) -> Any:
        return tf.reduce_mean(tf.linalg.matvec(tf.tanh(f(b["x"] @ p["w"])), p["v"]) ** 2)

    check = ms.check_loss(loss, *problem(dtype), compiled=False)
    assert kinds(check) == (set() if right else {("second-derivative", "error")}), check


def test_draws_state_and_use() -> None:
    p, b = problem()
    seen = tf.Variable(0.0)

    def counted(p: Any, b: Any) -> Any:
        seen.assign_add(1.0)
        return tf.reduce_mean((b["x"] @ p["w"]) ** 2) + tf.reduce_sum(p["v"] ** 2)

    dropped = ms.check_loss(lambda p, b: tf.reduce_mean((tf.nn.dropout(b["x"], 0.5) @ p["w"]) ** 2), p, b)
    assert ("random", "error") in kinds(dropped)
    (state,) = ms.check_loss(counted, p, b, compiled=False).findings
    assert state.kind == "state"
    assert "seen" in state.seen


def test_a_compiled_form_that_is_another_function() -> None:
    def loss(p: Any, b: Any) -> Any:
        return tf.reduce_sum(tf.tanh(b["x"] @ p["w"])) * (1.0 if tf.executing_eagerly() else 2.0)

    assert ("compiled", "error") in kinds(ms.check_loss(loss, *problem()))
    right = ms.check_loss(lambda p, b: tf.reduce_sum(tf.tanh(b["x"] @ p["w"]) @ p["v"][:, None]), *problem())
    assert not right.findings


def test_a_keras_model_that_the_loss_closes_over_ignores_the_parameters() -> None:
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    params = [tf.convert_to_tensor(v) for v in net.trainable_variables]
    check = ms.check_loss(lambda p, b: tf.reduce_mean(net(b["x"]) ** 2), params, problem()[1], compiled=False)
    assert kinds(check) == {("ignores-params", "error")}


@pytest.mark.parametrize("seed", range(6))
def test_a_small_share_that_is_wrong_is_found_beside_a_large_one_that_is_right(seed: int) -> None:
    rng = np.random.default_rng(seed)
    params = {"w": tf.constant(rng.normal(size=(4, 5))), "v": tf.constant(rng.normal(size=5))}
    batch = {"x": tf.constant(rng.normal(size=(7, 4))), "y": tf.constant(rng.normal(size=7))}

    def loss(params: Any, batch: Any, normalise: Any) -> Any:
        h = batch["x"] @ params["w"]
        right = tf.reduce_mean((tf.linalg.matvec(h, params["v"]) - batch["y"]) ** 2)
        return right + 0.1 * tf.reduce_mean(normalise(tf.transpose(h)) ** 3 * params["v"][:, None])

    wrong = ms.check_loss(lambda p, b: loss(p, b, normalised), params, batch)
    assert ("second-derivative", "error") in kinds(wrong), wrong
    assert ms.check_loss(lambda p, b: loss(p, b, written_out), params, batch).ok
