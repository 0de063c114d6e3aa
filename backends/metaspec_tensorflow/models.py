"""Keras's models on TensorFlow as a loss of their trainable variables."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from metaspec.losses.from_model import Model
from metaspec.task import Array, Tree
from metaspec_keras.models import pure_model
from metaspec_tensorflow.moments import differentiable_moments


def from_model(model: Any, loss: Callable[[Any, Tree], Array], variables: Tree, running_statistics: str) -> Model:
    """See `metaspec.from_model`. Normalisation layers have right second derivatives within the loss."""
    return pure_model(model, loss, variables, running_statistics, _value, differentiable_moments)


def _value(variable: Any) -> Array:
    return tf.identity(tf.convert_to_tensor(variable))
