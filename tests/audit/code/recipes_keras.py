"""A Keras model with a `train_step` of its own, as docs/audit.md shows it."""

from typing import Any

import keras
import tensorflow as tf


class KerasMeta(keras.Model):
    """MAML; `first_order` forgets the second derivatives."""

    def __init__(self, lr: float, steps: int, first_order: bool = False) -> None:
        super().__init__()
        form = {"dtype": "float64"}
        layers = [keras.layers.Dense(3, "tanh", **form), keras.layers.Dense(3, **form)]
        self.net = keras.Sequential([keras.Input((3,), **form), *layers])
        self.lr, self.inner_steps, self.first_order = lr, steps, first_order
        self.outer = keras.optimizers.SGD(0.5)

    def loss_of(self, weights: Any, x: Any, y: Any) -> Any:
        return tf.reduce_mean((self.net.stateless_call(weights, [], x)[0] - y) ** 2)

    def train_step(self, data: Any) -> dict[str, Any]:
        variables = self.net.trainable_variables
        with tf.GradientTape() as outer:
            values = []
            for xs, ys, xq, yq in zip(*map(tf.unstack, data), strict=True):
                weights = [tf.convert_to_tensor(v) for v in variables]
                for _ in range(self.inner_steps):
                    with tf.GradientTape() as inner:
                        inner.watch(weights)
                        loss = self.loss_of(weights, xs, ys)
                    grads = inner.gradient(loss, weights)
                    grads = [tf.stop_gradient(g) for g in grads] if self.first_order else grads
                    weights = [w - self.lr * g for w, g in zip(weights, grads, strict=True)]
                values.append(self.loss_of(weights, xq, yq))
            loss = tf.reduce_mean(tf.stack(values))
        self.outer.apply_gradients(zip(outer.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}
