"""Keras models, losses and optimisers, for audits of code that works on them."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import tensorflow as tf


class KerasModels:
    """See `metaspec_conformance.audit.calls.native_models.NativeModels`."""

    layout = (("w1", False), ("b1", False), ("w2", False), ("b2", False))

    def is_model(self, x: Any) -> bool:
        """Whether it is a Keras model."""
        return isinstance(x, keras.Model)

    def inside(self, x: Any) -> dict[str, Any]:
        """Return the models among an object's attributes."""
        return {name: m for name, m in vars(x).items() if self.is_model(m) and not name.startswith("_")}

    def predicted(self, model: Any, x: Any) -> Any:
        """Outputs in evaluation."""
        return model(tf.constant(x, dtype=model.trainable_variables[0].dtype), training=False).numpy()

    def backpropagate(self, returned: Any) -> bool:
        """Keras leaves no gradients on its variables."""
        return False

    def prepare(self, learner: Any) -> None:
        """A Keras model has its optimiser from `compile`."""

    def network(self, weights: Mapping[str, Any], dtype: str) -> Any:
        """Sequential of two Dense layers."""
        (a, b), c = weights["w1"].shape, weights["w2"].shape[1]
        layers = [keras.layers.Dense(b, activation="tanh", dtype=dtype), keras.layers.Dense(c, dtype=dtype)]
        model = keras.Sequential([keras.Input((a,), dtype=dtype), *layers])
        model.set_weights([weights[name] for name, _ in self.layout])
        return model

    def parameters(self, model: Any) -> dict[str, Any]:
        """The trainable variables, by path."""
        return {f"{i}:{v.path}": v.numpy().copy() for i, v in enumerate(model.trainable_variables)}

    def assign(self, model: Any, values: Mapping[str, Any]) -> None:
        """Assigned to the variables."""
        for variable, value in zip(model.trainable_variables, values.values(), strict=True):
            variable.assign(value)

    def gradients(self, model: Any) -> None:
        """Keras leaves none."""
        return

    def buffers(self, model: Any) -> dict[str, Any]:
        """The variables that are not trained."""
        return {f"{i}:{v.path}": v.numpy().copy() for i, v in enumerate(model.non_trainable_variables)}

    def criterion(self, kind: str) -> Callable[[Any, Any], Any]:
        """(target, prediction) -> mean, in the format of the prediction."""
        if kind == "regression":
            return lambda y, z: tf.reduce_mean(tf.square(tf.cast(y, z.dtype) - z))
        return lambda y, z: tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=z))

    def loss(self, kind: str) -> Callable[[Any, Any], Any]:
        """Return the loss (model, batch) -> scalar of the model's prediction from the inputs, against the targets."""
        criterion = self.criterion(kind)
        return lambda model, batch: criterion(batch[1], model(batch[0], training=True))

    def optimizer(self, model: Any, lr: float) -> Any:
        """SGD."""
        return keras.optimizers.SGD(lr)

    def functional(self, model: Any, loss: Callable[[Any, Any], Any]) -> Callable[[Mapping[str, Any], Any], Any]:
        """By a stateless scope; other variables as they are at the start."""
        fixed = [(v, tf.constant(v.numpy())) for v in model.non_trainable_variables]

        def value(params: Mapping[str, Any], batch: Any) -> Any:
            ordered = [params[f"{i}:{v.path}"] for i, v in enumerate(model.trainable_variables)]
            pairs = [*zip(model.trainable_variables, ordered, strict=True), *fixed]
            with keras.StatelessScope(state_mapping=pairs):
                return loss(model, batch)

        return value

    def noting_autocast(self) -> AbstractContextManager[set[str]]:
        """Return nothing ever: in Keras a layer's policy, not a context, says in which format it computes."""
        return nullcontext(set())

    def random_state(self) -> bytes:
        """Cannot be looked at without a change."""
        return b""
