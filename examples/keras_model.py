"""A Keras 3 model on TensorFlow as it is: its variables are the parameters, its forward pass is stateless_call."""

import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras  # type: ignore[import-untyped]
import tensorflow as tf

import metaspec as ms
from metaspec import data

LR, STEPS = 0.05, 3
keras.utils.set_random_seed(0)
model = keras.Sequential(
    [keras.Input((1,)), *(keras.layers.Dense(40, "tanh") for _ in range(2)), keras.layers.Dense(1)]
)


def loss(params: list[Any], batch: dict[str, Any]) -> Any:
    """Mean squared error of the model with these parameters in place of its own."""
    outputs, _ = model.stateless_call(params, model.non_trainable_variables, batch["x"])
    return tf.reduce_mean((outputs - batch["y"]) ** 2)


@tf.function  # type: ignore[untyped-decorator]
def unrolled(start: list[Any], tasks: ms.Task) -> Any:
    """The same meta-gradient by TensorFlow alone: a tape around the inner loop, task by task."""
    with tf.GradientTape() as outer:
        outer.watch(start)
        total = 0.0
        for i in range(tasks.support["x"].shape[0]):
            support, query = ({name: leaf[i] for name, leaf in part.items()} for part in tasks)
            theta = start
            for _ in range(STEPS):
                with tf.GradientTape() as tape:
                    tape.watch(theta)
                    value = loss(theta, support)
                theta = [p - LR * g for p, g in zip(theta, tape.gradient(value, theta), strict=True)]
            total += loss(theta, query)
        mean = total / tasks.support["x"].shape[0]
    return outer.gradient(mean, start)


def flat(leaves: list[Any]) -> Any:
    """The leaves as one vector."""
    return tf.concat([tf.reshape(leaf, [-1]) for leaf in leaves], 0)


def main() -> tuple[dict[str, float], list[float]]:
    """Returns each algorithm's relative distance from the unrolled gradient, and the query loss of each outer step."""
    params = model.trainable_variables
    tasks = ms.asarray(data.Sinusoid().batch(step=0, size=8), backend="tensorflow")
    inner = ms.GradientDescent(LR, STEPS)
    expected, distances = flat(unrolled([tf.convert_to_tensor(p) for p in params], tasks)), {}
    for algo in (ms.FOMAML(inner), ms.MAML(inner)):
        step = ms.compile(lambda params, tasks, algo=algo: ms.batch_meta_gradient(algo, loss, params, tasks))
        error = flat(step(params, tasks).delta) - expected
        distances[type(algo).__name__] = float(tf.norm(error) / tf.norm(expected))
    print(f"distance from backpropagation through the unrolled loop: {distances}")

    optimizer, history = keras.optimizers.Adam(0.005), []
    for _ in range(10):
        r = step(params, tasks)
        optimizer.apply(r.delta, model.trainable_variables)
        history.append(float(r.query_loss))
    print(f"query loss after adaptation: {history[0]:.4f} -> {history[-1]:.4f}")
    return distances, history


if __name__ == "__main__":
    main()
