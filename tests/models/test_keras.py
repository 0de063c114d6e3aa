"""`from_model` of Keras models on TensorFlow, against the models' own forward pass and a gradient tape."""

import os
import sys

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("keras")

import metaspec as ms  # noqa: E402
from metaspec.errors import BackendMismatchError, InvalidArgumentError, MutationError  # noqa: E402
from tests.models.problems import LR, arrays, close  # noqa: E402

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras was imported with another backend in this process", allow_module_level=True)

TASK = ms.asarray(arrays(), backend="tensorflow")


def mse(model, batch):
    return tf.reduce_mean((model(batch["x"], training=True) - batch["y"]) ** 2)


def network(*middle):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "tanh"), *middle, keras.layers.Dense(1)])


def test_loss_and_meta_gradient_are_the_models_own():
    model = network()
    m = ms.from_model(model, mse)
    with tf.GradientTape() as tape:
        value = mse(model, TASK.support)
    gradient = tape.gradient(value, [v.value for v in model.trainable_variables])
    close(m.loss(m.params, TASK.support), value)
    for found, leaf in zip(ms.get_backend("tensorflow").grad(m.loss)(m.params, TASK.support), gradient, strict=True):
        close(found, leaf)
    delta = ms.meta_gradient(ms.FOMAML(ms.GradientDescent(LR, 1)), m.loss, m.params, TASK).delta
    first = [p.numpy() for p in m.params]
    adapted = m.restore([p - LR * g for p, g in zip(m.params, gradient, strict=True)])
    assert adapted is model
    with tf.GradientTape() as tape:
        value = mse(adapted, TASK.query)
    for found, leaf in zip(delta, tape.gradient(value, [v.value for v in adapted.trainable_variables]), strict=True):
        close(found, leaf)
    for p, leaf in zip(m.params, first, strict=True):
        np.testing.assert_array_equal(p, leaf)


def test_running_statistics_are_refused_or_left():
    model = network(keras.layers.BatchNormalization())
    before = [v.numpy() for v in model.variables]
    refused = ms.from_model(model, mse)
    with pytest.raises(MutationError, match=r'running statistics \(.*moving_mean, .*moving_variance\).*"leave"'):
        refused.loss(refused.params, TASK.support)
    with pytest.warns(UserWarning, match="second derivatives through batch_normalization.* are wrong in TensorFlow"):
        m = ms.from_model(model, mse, running_statistics="leave")
    r = ms.meta_gradient(ms.FOMAML(ms.GradientDescent(LR, 1)), m.loss, m.params, TASK)
    assert len(r.delta) == 6
    value = m.loss(m.params, TASK.support)
    for v, leaf in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(v, leaf)
    close(value, mse(model, TASK.support))  # last: it alters the model


class Written(keras.layers.Layer):
    """Batch normalisation by the batch's own statistics, written out."""

    def call(self, x):
        mean = tf.reduce_mean(x, 0, keepdims=True)
        return (x - mean) / tf.sqrt(tf.reduce_mean((x - mean) ** 2, 0, keepdims=True) + 1e-3)


NORMALISED = {
    "batch": lambda **of: keras.layers.BatchNormalization(center=False, scale=False, **of),
    "groups": lambda **of: keras.layers.GroupNormalization(2, center=False, scale=False, **of),
    "layer": keras.layers.LayerNormalization,
    "written out": Written,
}


@pytest.mark.parametrize("kind", NORMALISED)
def test_whoever_is_warned_has_wrong_second_derivatives_and_nobody_else(kind, recwarn):
    keras.utils.set_random_seed(0)
    inputs, first, last = (
        keras.Input((2,), dtype="float64"),
        keras.layers.Dense(4, dtype="float64"),
        keras.layers.Dense(1, dtype="float64"),
    )
    model = keras.Sequential(
        [inputs, first, NORMALISED[kind](dtype="float64"), keras.layers.Activation("tanh", dtype="float64"), last]
    )
    m = ms.from_model(model, mse, running_statistics="leave")
    warned = [str(w.filename) for w in recwarn if "second derivatives" in str(w.message)]
    assert warned == ([__file__] if kind != "written out" else [])
    B, step = ms.get_backend("tensorflow"), 1e-6
    batch = {name: tf.cast(leaf, tf.float64) for name, leaf in TASK.support.items()}
    v = [tf.sin(tf.reshape(tf.range(tf.cast(tf.size(p), tf.float64)), p.shape)) for p in map(tf.identity, m.params)]
    ends = [B.grad(m.loss)([p + e * t for p, t in zip(m.params, v, strict=True)], batch) for e in (step, -step)]
    right, found = ([x.numpy().ravel() for x in tree] for tree in (ends[0], B.hvp(m.loss)(m.params, v, batch)))
    right = [(a - b.numpy().ravel()) / (2 * step) for a, b in zip(right, ends[1], strict=True)]
    error = np.abs(np.concatenate(found) - np.concatenate(right)).max() / np.abs(np.concatenate(right)).max()
    assert error > 1e-3 if warned else error < 1e-7, error


def test_random_numbers_and_a_model_without_variables_are_refused():
    m = ms.from_model(network(keras.layers.Dropout(0.5)), mse, running_statistics="leave")
    with pytest.raises(MutationError, match="draws random numbers"):
        m.loss(m.params, TASK.support)
    with pytest.raises(InvalidArgumentError, match="no trainable variables; build it first"):
        ms.from_model(keras.Sequential([keras.layers.Dense(1)]), mse)


def test_keras_on_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(sys.modules["keras"].backend, "backend", lambda: "jax")
    with pytest.raises(BackendMismatchError, match="set the environment variable KERAS_BACKEND=tensorflow"):
        ms.from_model(network(), mse)
