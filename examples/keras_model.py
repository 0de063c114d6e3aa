"""A Keras 3 model on TensorFlow as it is: `from_model` makes its loss a function of its trainable variables."""

import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras  # type: ignore[import-untyped]
import tensorflow as tf

import metaspec as ms
from metaspec import data

LR, STEPS = 0.05, 3
keras.utils.set_random_seed(0)
net = keras.Sequential([keras.Input((1,)), *(keras.layers.Dense(40, "tanh") for _ in range(2)), keras.layers.Dense(1)])
model = ms.from_model(net, lambda net, batch: tf.reduce_mean((net(batch["x"]) - batch["y"]) ** 2))


@tf.function  # type: ignore[untyped-decorator]
def unrolled(start: list[Any], tasks: ms.Task) -> Any:
    """Return the meta-gradient by TensorFlow alone: a tape around the unrolled inner loop, task by task."""
    with tf.GradientTape() as outer:
        outer.watch(start)
        total = 0.0
        for i in range(tasks.support["x"].shape[0]):
            support, query = ({name: leaf[i] for name, leaf in part.items()} for part in tasks)
            theta = start
            for _ in range(STEPS):
                with tf.GradientTape() as tape:
                    tape.watch(theta)
                    value = model.loss(theta, support)
                theta = [p - LR * g for p, g in zip(theta, tape.gradient(value, theta), strict=True)]
            total += model.loss(theta, query)
        mean = total / tasks.support["x"].shape[0]
    return outer.gradient(mean, start)


def flat(leaves: list[Any]) -> Any:
    """The leaves as one vector."""
    return tf.concat([tf.reshape(leaf, [-1]) for leaf in leaves], 0)


def main() -> tuple[dict[str, float], list[float]]:
    """Returns each algorithm's relative distance from the unrolled gradient, and query losses, means of 20 steps."""
    tasks = ms.asarray(data.Sinusoid().batch(step=0, size=8), backend="tensorflow")
    inner = ms.GradientDescent(LR, STEPS)
    expected, distances = flat(unrolled(model.params, tasks)), {}
    for algo in (ms.FOMAML(inner), ms.MAML(inner)):
        step = ms.compile(lambda params, tasks, algo=algo: ms.batch_meta_gradient(algo, model.loss, params, tasks))
        error = flat(step(model.params, tasks).delta) - expected
        distances[type(algo).__name__] = float(tf.norm(error) / tf.norm(expected))
    print(f"distance from backpropagation through the unrolled loop: {distances}")

    adam = keras.optimizers.Adam(0.005)
    run = ms.meta_train(algo, model.loss, model.params, data.Sinusoid(), steps=60, tasks_per_step=8, optimizer=adam)
    losses = [record.query_loss for record in run.history]
    history = [sum(losses[k : k + 20]) / 20 for k in (0, 20, 40)]
    trained = model.restore(run.params)
    print(f"{type(trained).__name__}: query loss after adaptation, {history[0]:.4f} -> {history[-1]:.4f}")
    return distances, history


if __name__ == "__main__":
    main()
