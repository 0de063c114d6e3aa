"""`from_model` of Keras models on JAX and on PyTorch: Keras keeps to one backend a process, so each has its own."""

import importlib.util
import os
import subprocess
import sys

import pytest

PROGRAM = """
import importlib, sys
importlib.import_module(sys.argv[1])
import keras, numpy as np, metaspec as ms
name, rng = sys.argv[1], np.random.default_rng(0)
net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "tanh"), keras.layers.BatchNormalization(),
                        keras.layers.LayerNormalization(), keras.layers.Dense(1)])
net.set_weights([rng.normal(size=x.shape) ** 2 for x in net.get_weights()])
before = net.get_weights()
draw = lambda *shape: rng.normal(size=(2, 6, *shape)).astype("float32")
tasks = ms.Task(*({"x": draw(2), "y": draw(1)} for _ in range(2)))

def loss(net, batch):
    return keras.ops.mean((net(batch["x"], training=True) - batch["y"]) ** 2)

m = ms.from_model(net, loss, running_statistics="leave")
algo = ms.MAML(ms.GradientDescent(0.05, 2))
B, given = ms.get_backend(name), ms.asarray(tasks, backend=name)
meta = lambda p, t: ms.batch_meta_gradient(algo, m.loss, p, t)
eager, compiled = ([B.to_numpy(x) for x in f(m.params, given).delta] for f in (meta, ms.compile(meta)))
# float32: batch normalisation cancels
assert all((a == b).all() for a, b in zip(before, net.get_weights(), strict=True)), "the model was altered"

def written(p, batch):  # the same network by hand, in NumPy
    w, b, gamma, beta, gamma2, beta2, v, c = p
    h = np.tanh(batch["x"] @ w + b)
    h = (h - h.mean(0)) / np.sqrt(((h - h.mean(0)) ** 2).mean(0) + 1e-3) * gamma + beta
    centred = h - h.mean(-1, keepdims=True)
    h = centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-3) * gamma2 + beta2
    return ((h @ v + c - batch["y"]) ** 2).mean()

wide = lambda tree: ms.asarray(tree, dtype="float64", backend="numpy")
exact = ms.batch_meta_gradient(algo, written, wide([B.to_numpy(p) for p in m.params]), wide(tasks)).delta
size = max(abs(x).max() for x in exact)
for found in (eager, compiled):
    assert all(abs(a - b).max() < 2e-4 * size for a, b in zip(found, exact, strict=True)), (found, exact)

m.restore([p + 1 for p in m.params])
assert all(np.allclose(B.to_numpy(p) + 1, keras.ops.convert_to_numpy(v))
           for p, v in zip(m.params, net.trainable_variables, strict=True))
try:
    ms.from_model(net, loss).loss(m.params, {k: B.asarray(x[0]) for k, x in tasks.support.items()})
except ms.MetaspecError as error:
    assert "running statistics" in str(error) and "moving_mean" in str(error), error
else:
    raise AssertionError("running statistics were not refused")
dropped = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
m = ms.from_model(dropped, loss)
try:
    m.loss(m.params, {k: B.asarray(x[0]) for k, x in tasks.support.items()})
except ms.MetaspecError as error:
    assert "draws random numbers" in str(error), error
else:
    raise AssertionError("dropout was not refused")
"""


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_keras_models_on(name):
    if not (importlib.util.find_spec("keras") and importlib.util.find_spec(name)):
        pytest.skip(f"Keras on {name} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name],
        env={**os.environ, "KERAS_BACKEND": name},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
