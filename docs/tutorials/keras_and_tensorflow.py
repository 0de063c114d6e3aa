"""TensorFlow and Keras

A Keras model as it is, meta-trained, put back, and fine-tuned with `fit`. Needs `metaspec[tensorflow-cpu]` (or
`[tensorflow]` for a GPU) and `metaspec[plots]`.
"""

# %%
# `from_model` makes the loss a function of the model's trainable variables. Keras 3 runs on JAX and PyTorch too; say which
# before it is imported:

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf

import metaspec as ms
from metaspec import data, plots

keras.utils.set_random_seed(0)
net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(40, "tanh"), keras.layers.Dense(1)])
model = ms.from_model(net, lambda net, batch: tf.reduce_mean((net(batch["x"]) - batch["y"]) ** 2))

# %%
# Keras's own optimiser is the outer one; the step is compiled by `tf.function` with XLA:

maml = ms.MAML(ms.GradientDescent(lr=0.05, steps=3))
run = ms.meta_train(
    maml,
    model.loss,
    model.params,
    data.Sinusoid(),
    steps=150,
    tasks_per_step=8,
    optimizer=keras.optimizers.Adam(0.005),
)
early, late = (sum(r.query_loss for r in part) / 30 for part in (run.history[:30], run.history[-30:]))
print(f"query loss {early:.3f} -> {late:.3f}")
assert late < early
plots.save(plots.curves([plots.losses_of("", [run.history])], y="query loss after adaptation"), "keras_loss.svg")

# %%
# ![Query loss over the outer steps](pictures/keras_loss.svg)
#
# The trained parameters go back into the model, which is an ordinary Keras model again. Fine-tuning on a new task is what
# MAML prepared it for, and plain `fit` with plain gradient descent does it:

net = model.restore(run.params)
net.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
task = data.Sinusoid(stream="test").task(3)
before = net.evaluate(task.query["x"], task.query["y"], verbose=0)
net.fit(task.support["x"], task.support["y"], epochs=10, batch_size=10, verbose=0)
after = net.evaluate(task.query["x"], task.query["y"], verbose=0)
print(f"a new task: {before:.3f} before, {after:.3f} after ten steps of fit")
assert after < before

# %%
# A loop of your own in TensorFlow, with `tf.function`:

maml_step = ms.compile(lambda params, tasks: ms.batch_meta_gradient(maml, model.loss, params, tasks))
r = maml_step(model.params, ms.asarray(data.Sinusoid().batch(step=0, size=8), backend="tensorflow"))
keras.optimizers.SGD(0.01).apply(list(r.delta), net.trainable_variables)

# %%
# Tasks from a `tf.data.Dataset`, and which layers need care: [Training](../training.md#tasks-from-tfdata).
