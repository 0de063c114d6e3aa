"""`from_model` of Keras models on TensorFlow, against the models' own forward pass and a gradient tape."""

import os
from threading import Thread

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("keras")

import metaspec as ms  # noqa: E402
from metaspec.errors import InvalidArgumentError, MutationError  # noqa: E402
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
    m = ms.from_model(model, mse, running_statistics="leave")
    r = ms.meta_gradient(ms.FOMAML(ms.GradientDescent(LR, 1)), m.loss, m.params, TASK)
    assert len(r.delta) == 6
    value = m.loss(m.params, TASK.support)
    for v, leaf in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(v, leaf)
    close(value, mse(model, TASK.support))  # last: it alters the model


class Moments(keras.layers.Layer):
    """A normalisation of one's own on tf.nn.moments."""

    def call(self, x):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return (x - mean) / tf.sqrt(variance + 1e-3)


NORMALISED = {
    "batch": lambda **of: keras.layers.BatchNormalization(**of),
    "groups": lambda **of: keras.layers.GroupNormalization(2, **of),
    "layer": lambda **of: keras.layers.LayerNormalization(**of),
    "unit": lambda **of: keras.layers.UnitNormalization(**of),
    "root mean square": lambda **of: keras.layers.RMSNormalization(**of),
    "own": Moments,
}


def errors_of_second_derivatives(loss, params, batch):
    """The norm of H v less differences of gradients, relative."""
    B, step = ms.get_backend("tensorflow"), 1e-6
    v = [tf.sin(tf.reshape(tf.range(tf.cast(tf.size(p), tf.float64)), p.shape)) for p in params]
    ends = [B.grad(loss)([p + e * t for p, t in zip(params, v, strict=True)], batch) for e in (step, -step)]
    right = np.concatenate([((a - b) / (2 * step)).numpy().ravel() for a, b in zip(*ends, strict=True)])
    found = np.concatenate([x.numpy().ravel() for x in B.hvp(loss)(params, v, batch)])
    return np.abs(found - right).max() / np.abs(right).max()


@pytest.mark.parametrize("kind", NORMALISED)
def test_normalisation_layers_have_right_second_derivatives_without_a_warning(kind, recwarn):
    keras.utils.set_random_seed(0)
    of = {"dtype": "float64"}
    inputs = keras.Input((2,), **of)
    h = keras.layers.Dense(4, **of)(inputs)
    h = keras.layers.Add(**of)([h, NORMALISED[kind](**of)(h)])  # else a layer's shift would leave nothing to see
    model = keras.Model(inputs, keras.layers.Dense(1, **of)(keras.layers.Activation("tanh", **of)(h)))
    m = ms.from_model(model, mse, running_statistics="leave")
    batch = {name: tf.cast(leaf, tf.float64) for name, leaf in TASK.support.items()}
    assert errors_of_second_derivatives(m.loss, m.params, batch) < 1e-7
    assert not recwarn.list
    assert tf.nn.moments.__module__ != "metaspec_tensorflow.moments"


def test_moments_are_tensorflows_own_for_everybody_else():
    original = tf.nn.moments
    x = tf.constant([[1.0, 2.0, 4.0]], tf.float64)
    seen = []

    def loss(model, batch):
        thread = Thread(target=lambda: seen.append(hessian_of_variance(x)))
        thread.start()
        thread.join()
        seen.append(hessian_of_variance(x))
        return mse(model, batch)

    m = ms.from_model(network(), loss)
    m.loss(m.params, TASK.support)
    others, ours = seen
    np.testing.assert_allclose(others, np.eye(3) * 2 / 3)  # what TensorFlow gives
    np.testing.assert_allclose(ours, np.eye(3) * 2 / 3 - 2 / 9, atol=1e-15)
    assert tf.nn.moments is original


def hessian_of_variance(x):
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            variance = tf.nn.moments(x, 1)[1]
        gradient = tape.gradient(variance, x)
    return outer.jacobian(gradient, x).numpy()[0, :, 0]


def test_random_numbers_and_a_model_without_variables_are_refused():
    m = ms.from_model(network(keras.layers.Dropout(0.5)), mse, running_statistics="leave")
    with pytest.raises(MutationError, match="draws random numbers"):
        m.loss(m.params, TASK.support)
    with pytest.raises(InvalidArgumentError, match="no trainable variables; build it first"):
        ms.from_model(keras.Sequential([keras.layers.Dense(1)]), mse)
